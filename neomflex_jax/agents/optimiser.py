"""Adam, one optimiser an agent: clipping and moments never mix agents. Rates and norms are traced values.

D. P. Kingma, J. Ba, "Adam", arXiv:1412.6980; clipping by the global norm of one agent's gradient.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

Params: TypeAlias = PyTree
ADAM = optax.scale_by_adam()
Decay = Literal["none", "linear", "cosine"]
DECAYS = get_args(Decay)


def start(params: Params) -> optax.OptState:
    """Fresh moments for parameters with a leading agent axis: one vector an agent, which is less to compile."""
    return jax.vmap(lambda own: ADAM.init(ravel_pytree(own)[0]))(params)


def apply(
    gradients: Params,
    state: optax.OptState,
    params: Params,
    learning_rate: Array,
    max_gradient_norm: Array | float = jnp.inf,
) -> tuple[Params, optax.OptState]:
    """Make one step for every agent by itself."""

    def one(gradients: Params, state: optax.OptState, params: Params) -> tuple[Params, optax.OptState]:
        gradient, (vector, unravel) = ravel_pytree(gradients)[0], ravel_pytree(params)
        scale = jnp.minimum(1.0, max_gradient_norm / jnp.maximum(jnp.linalg.norm(gradient), 1e-30))
        update, state = ADAM.update(gradient * scale, state)
        return unravel(vector - learning_rate * update), state

    return jax.vmap(one)(gradients, state, params)


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
