"""Muon: a layer's matrix moves equally far in all directions that its gradients know.

``step = sqrt(width) U V',  U S V' = beta M + (1 - beta) G``: M is the moving average of the gradients G, and width that
of the hidden layers, so that padding changes nothing, and entries of a square matrix move by the learning rate on
average, as by Adam. Costs are steep in few directions and flat in many; Adam scales entries, no directions.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, PyTree

JORDAN = 3.4445, -4.775, 2.0315  # of his polynomial: steep at 0, and between 0.7 and 1.2 from 0.1 on
N_ITERATIONS = 5
SMALLEST_NORM = 1e-8
TALL = 3  # rows a column, from which on one Gram matrix in the place of five saves a third, and more above


def orthogonal(matrix: Float[Array, "*leading n m"]) -> Float[Array, "*leading n m"]:
    """Return U V' of every matrix U S V', to within a third where singular values are above a hundredth of S's norm.

    His iteration is ``X <- X (a + b G + c G^2)``, ``G = X' X``. Its factors commute, so G goes on without X: where X
    has many more rows than columns, it is multiplied once, by all factors together.
    """
    if matrix.shape[-2] < matrix.shape[-1]:
        return jnp.swapaxes(orthogonal(jnp.swapaxes(matrix, -1, -2)), -1, -2)
    a, b, c = JORDAN
    identity, is_tall = jnp.eye(matrix.shape[-1]), matrix.shape[-2] >= TALL * matrix.shape[-1]
    found = matrix / (jnp.linalg.norm(matrix, axis=(-2, -1), keepdims=True) + SMALLEST_NORM)
    gram, factors = _gram(found), identity
    for _ in range(N_ITERATIONS):
        factor = a * identity + b * gram + c * gram @ gram
        if is_tall:
            factors, gram = factors @ factor, factor @ gram @ factor
        else:
            found = found @ factor
            gram = _gram(found)
    return found @ factors if is_tall else found


def _gram(matrix: Float[Array, "*leading n m"]) -> Float[Array, "*leading m m"]:
    return jnp.swapaxes(matrix, -1, -2) @ matrix


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
