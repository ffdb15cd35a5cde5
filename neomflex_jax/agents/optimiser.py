"""Adam, one optimiser an agent: clipping and moments never mix agents. Rates and norms are traced values.

D. P. Kingma, J. Ba, "Adam", arXiv:1412.6980; clipping by the global norm of one agent's gradient.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

Params = Any
ADAM = optax.scale_by_adam()
DECAYS = ("none", "linear", "cosine")


def start(params: Params) -> optax.OptState:
    """Fresh moments for parameters with a leading agent axis."""
    return jax.vmap(ADAM.init)(params)


def apply(
    gradients: Params,
    state: optax.OptState,
    params: Params,
    learning_rate: Array,
    max_gradient_norm: Array | float = jnp.inf,
) -> tuple[Params, optax.OptState]:
    """Make one step for every agent by itself."""

    def one(gradients: Params, state: optax.OptState) -> tuple[Params, optax.OptState]:
        norm = optax.tree.norm(gradients)
        scale = jnp.minimum(1.0, max_gradient_norm / jnp.maximum(norm, 1e-30))
        updates, state = ADAM.update(jax.tree.map(lambda g: g * scale, gradients), state)
        return jax.tree.map(lambda u: -learning_rate * u, updates), state

    updates, state = jax.vmap(one)(gradients, state)
    return optax.apply_updates(params, updates), state


def decayed(decay: str, share: Array | float, final: float = 0.01) -> Array:
    """Factor on the learning rate after a `share` 0..1 of the budget: from 1 down to `final`."""
    share = jnp.clip(jnp.asarray(share, float), 0.0, 1.0)
    if decay == "linear":
        return 1.0 - (1.0 - final) * share
    if decay == "cosine":
        return final + (1.0 - final) * 0.5 * (1.0 + jnp.cos(jnp.pi * share))
    return jnp.ones_like(share)


def mean_over_devices(tree: Params, axis: str | None) -> Params:
    """Average over the devices of a mesh axis; None: there is one."""
    pmean: Any = lax.pmean
    return tree if axis is None else pmean(tree, axis)
