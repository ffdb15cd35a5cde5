"""Muon: a layer's matrix moves equally far in all directions that its gradients know.

``step = sqrt(width) U V',  U S V' = beta M + (1 - beta) G``: M is the moving average of the gradients G, and width that
of the hidden layers, so that padding changes nothing, and entries of a square matrix move by the learning rate on
average, as by Adam. Costs are steep in few directions and flat in many; Adam scales entries, no directions.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024); orthogonalised by Optax.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import optax
from jax import Array
from jaxtyping import Float, PyTree


def _as_they_are(matrices: PyTree) -> Any:
    return jax.tree.map(lambda _: optax.contrib.MuonDimensionNumbers(), matrices)


ORTHOGONAL = optax.contrib.scale_by_muon(beta=0.0, nesterov=False, weight_dimension_numbers=_as_they_are)


def orthogonal(matrices: Float[Array, "*leading n m"]) -> Float[Array, "*leading n m"]:
    """Return U V' of every matrix U S V', to within a third where singular values are above a hundredth of S's norm."""

    def one(matrix: Array) -> Array:
        return ORTHOGONAL.update(matrix, ORTHOGONAL.init(matrix))[0]

    return jax.vmap(one)(matrices.reshape(-1, *matrices.shape[-2:])).reshape(matrices.shape)


@dataclass(frozen=True)
class Matrices:
    """Where an array of many networks' parameters has its matrices: in what Flax calls kernels."""

    parted: Callable[[Array], PyTree]  # of such an array, the layers
    joined: Callable[[PyTree], Array]
    width: int  # of the hidden layers

    def steps(self, average: Array, others: Array) -> Array:
        """Return Muon's steps along an average of gradients; `others` are the steps of what is no matrix."""

        def of(path: tuple[Any, ...], average: Array, other: Array) -> Array:
            return self.width**0.5 * orthogonal(average) if path[-1].key == "kernel" else other

        return self.joined(jax.tree_util.tree_map_with_path(of, self.parted(average), self.parted(others)))
