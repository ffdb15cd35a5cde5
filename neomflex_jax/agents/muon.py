"""Muon: a layer's matrix moves equally far in all directions that its gradients know.

``step = sqrt(width) U V',  U S V' = beta M + (1 - beta) G``: M is the moving average of the gradients G, and width that
of the hidden layers, so that padding changes nothing, and entries of a square matrix move by the learning rate on
average, as by Adam. Costs are steep in few directions and flat in many; Adam scales entries, no directions.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024). U V' is come near by odd polynomials
of S, one after the other, each of other coefficients: N. Amsel et al., "The Polar Express" (2025).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, PyTree

# a s + b s^3 + c s^5: all four in turn lie within a tenth of 1 for s from 0.005 to 1, where the 16th power of what they
# are off is least on a geometric grid; five times Jordan's one polynomial lie within a third
POLYNOMIALS = (
    (7.3184, -21.3284, 15.7335),
    (3.9835, -3.7740, 0.9185),
    (5.4240, -4.9580, 1.2689),
    (1.3970, -0.4105, 0.0442),
)
NOISE = 1e-8  # as in Adam: averages of gradients that are gone make no steps; squares of some would be 0


def orthogonal(matrices: Float[Array, "*leading n m"]) -> Float[Array, "*leading n m"]:
    """Return U V' of every matrix U S V', to within a tenth where singular values are above 0.005 of S's norm."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    wide = matrices.mT if tall else matrices
    norm = jnp.sqrt(jnp.sum(wide**2, axis=(-2, -1), keepdims=True))
    near = wide / (norm + NOISE)
    for a, b, c in POLYNOMIALS if near.shape[-2] > 1 else ():  # a row's one singular value is its norm
        square = near @ near.mT
        near = a * near + (b * square + c * square @ square) @ near
    return near.mT if tall else near


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
