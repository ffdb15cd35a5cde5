"""One optimiser an agent, Muon for matrices (`muon.py`) and Adam for the rest: clipping and moments never mix agents.

D. P. Kingma, J. Ba, "Adam", arXiv:1412.6980; clipping by the global norm of one agent's gradient. Rates and norms are
traced values.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jax.flatten_util import ravel_pytree
from jaxtyping import PyTree

from neomflex_jax.agents.muon import Matrices

Params: TypeAlias = PyTree
MEAN_DECAY, SQUARE_DECAY = 0.9, 0.99  # as short as some trainings are (a thousand updates), 0.999 settles late
ADAM = optax.scale_by_adam(b1=MEAN_DECAY, b2=SQUARE_DECAY)
Decay = Literal["none", "linear", "cosine"]
DECAYS = get_args(Decay)


class Vectors(NamedTuple):
    """Parameters and the moments of their gradients, arrays (n_agents, ...) of one shape."""

    values: Array
    mean: Array
    square: Array


def start(params: Params) -> optax.OptState:
    """Fresh moments for parameters with a leading agent axis: one vector an agent, which is less to compile."""
    return jax.vmap(ADAM.init)(ravelled(params))


def ravelled(params: Params) -> Array:
    """Parameters with a leading agent axis as one vector an agent, (n_agents, size)."""
    return jax.vmap(lambda own: ravel_pytree(own)[0])(params)


def unravelled(like: Params, vectors: Array) -> Params:
    """Return parameters as these are of one vector an agent, (n_agents, size)."""
    return jax.vmap(ravel_pytree(jax.tree.map(lambda leaf: leaf[0], like))[1])(vectors)


def stepped(
    vectors: Vectors,
    gradient: Array,
    count: Array,
    learning_rate: Array,
    max_gradient_norm: Array | float = jnp.inf,
    matrices: Matrices | None = None,
) -> Vectors:
    """Make one step for every agent by itself, after `count` steps, () or (n_agents, 1); None: all of it by Adam."""
    norm = jnp.sqrt(jnp.sum(gradient**2, axis=tuple(range(1, gradient.ndim)), keepdims=True))
    gradient = gradient * jnp.minimum(1.0, max_gradient_norm / jnp.maximum(norm, 1e-30))
    update, state = ADAM.update(gradient, optax.ScaleByAdamState(count, vectors.mean, vectors.square))
    moments: Any = state
    if matrices is not None:
        update = matrices.steps(MEAN_DECAY * moments.mu + (1.0 - MEAN_DECAY) * gradient, update)
    return Vectors(vectors.values - learning_rate * update, moments.mu, moments.nu)


def apply(
    gradients: Params,
    state: Any,
    params: Params,
    learning_rate: Array,
    max_gradient_norm: Array | float = jnp.inf,
    width: int | None = None,
) -> tuple[Params, optax.OptState]:
    """Make one step for every agent by itself: of networks whose hidden layers are so wide; None: all of it by Adam."""
    matrices = None if width is None else Matrices(partial(unravelled, params), ravelled, width)
    vectors = Vectors(ravelled(params), state.mu, state.nu)
    vectors = stepped(vectors, ravelled(gradients), state.count[:, None], learning_rate, max_gradient_norm, matrices)
    return unravelled(params, vectors.values), optax.ScaleByAdamState(state.count + 1, vectors.mean, vectors.square)


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
