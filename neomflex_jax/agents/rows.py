"""Parameters as rows of one width, one array for all: as a loop of updates carries them.

Parameters leaf by leaf are as many operations an update, and on an accelerator each of them is a launch. Rows, unlike
one long vector, are cut into matrices without a copy: what multiplies a matrix reads its rows where they lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.agents.optimiser import Params


@dataclass(frozen=True)
class Rows:
    """Where parameters with some leading axes lie in an array (*leading, n_row, width)."""

    structure: Any  # of the parameters, as a pytree
    shapes: tuple[tuple[int, ...], ...]  # of the leaves, without the leading axes
    turned: tuple[bool, ...]  # leaves that lie transposed: of few columns, which would be rows of little
    width: int

    @classmethod
    def of(cls, params: Params, n_leading: int) -> Rows:
        """Lay out parameters like these, with so many leading axes."""
        leaves, structure = jax.tree.flatten(params)
        shapes = tuple(leaf.shape[n_leading:] for leaf in leaves)
        width = max((shape[-1] for shape in shapes if shape), default=1)
        turned = tuple(len(shape) > 1 and shape[-1] < shape[-2] <= width for shape in shapes)
        return cls(structure, shapes, turned, width)

    def joined(self, params: Params) -> Array:
        """Return parameters as rows, 0 beside those that are narrower."""
        parts = []
        for leaf, shape, turned in zip(jax.tree.leaves(params), self.shapes, self.turned, strict=True):
            values = jnp.swapaxes(leaf, -1, -2) if turned else leaf
            leading = leaf.shape[: leaf.ndim - len(shape)]
            values = values.reshape(*leading, -1, values.shape[-1] if shape else 1)
            parts.append(jnp.pad(values, ((0, 0),) * (values.ndim - 1) + ((0, self.width - values.shape[-1]),)))
        return jnp.concatenate(parts, axis=-2)

    def parted(self, rows: Array) -> Params:
        """Return the parameters that rows stand for."""
        leading, leaves, first = rows.shape[:-2], [], 0
        for shape, turned in zip(self.shapes, self.turned, strict=True):
            lies = (*shape[:-2], shape[-1], shape[-2]) if turned else shape or (1,)
            n_row = int(np.prod(lies[:-1]))
            values = rows[..., first : first + n_row, : lies[-1]].reshape(*leading, *lies)
            leaves.append(jnp.swapaxes(values, -1, -2) if turned else values.reshape(*leading, *shape))
            first += n_row
        return jax.tree.unflatten(self.structure, leaves)
