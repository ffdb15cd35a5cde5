"""``a = tanh(u)``, with a derivative that lets a saturated action come back.

Where ``|u|`` is large, ``da/du = 1 - a^2`` vanishes, and an action that was driven to its bound in the first steps
stays there for good, however much better it would be inside. So a gradient that points back inside passes with a slope
of at least `INWARD_SLOPE`; one that points outwards, and everything where ``1 - a^2`` is larger, is exact.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

INWARD_SLOPE = 0.1


@jax.custom_vjp
def squash(unsquashed: Array) -> Array:
    """Map any values to (-1, 1); the gradient is that of descent on a loss."""
    return jnp.tanh(unsquashed)


def _forward(unsquashed: Array) -> tuple[Array, Array]:
    action = jnp.tanh(unsquashed)
    return action, action


def _backward(action: Array, gradient: Array) -> tuple[Array]:
    slope = 1.0 - action**2
    inward = gradient * action > 0.0  # a step against the gradient makes |a| smaller
    return (gradient * jnp.where(inward, jnp.maximum(slope, INWARD_SLOPE), slope),)


squash.defvjp(_forward, _backward)
