"""Rounds of learning, as many as the host asks for, in one compiled program.

A round is the least that can be asked for: an update of the gradient learner, a step of SAC's copies with its updates.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Int

from neomflex_jax.training.step_metrics import Metrics, over_devices

S = TypeVar("S")


def make_rounds(
    one_round: Callable[[S], tuple[S, Metrics]],
    state: S,
    n_rounds: Int[Array, ""],
    most_rounds: int,
    mesh_axis: str | None = None,
) -> tuple[S, Metrics]:
    """Make some rounds.

    Parameters
    ----------
    one_round
        Returns the state after a round, and its metrics.
    state
        Before the first.
    n_rounds, most_rounds
        How many, and how many at most; the former is traced, so that any number runs the same program.
    mesh_axis
        Devices that the metrics are gathered from.

    Returns
    -------
    S, Metrics
        The state after the last round, and of each its metrics, (most_rounds, ...); 0 of those not made.
    """
    traced_once = jax.jit(one_round, inline=True)  # for its shapes here, and in the loop
    shapes = jax.eval_shape(traced_once, state)[1]
    none = jax.tree.map(lambda shape: jnp.zeros((most_rounds, *shape.shape), shape.dtype), shapes)

    def body(index: Array, carry: tuple[S, Metrics]) -> tuple[S, Metrics]:
        state, metrics = traced_once(carry[0])
        put = partial(jax.lax.dynamic_update_index_in_dim, index=index, axis=0)
        return state, jax.tree.map(put, carry[1], metrics)

    state, metrics = jax.lax.fori_loop(0, n_rounds, body, (state, none))
    return state, over_devices(metrics, mesh_axis)
