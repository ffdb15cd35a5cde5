"""Many steps ahead at once: the stores step after step, which is cheap, then all power flows in parallel.

Energies are what joins steps. A scan over the first half of a step (`set_points.py`) gives them, and with them every
step is an ordinary step of the environment by itself. Days follow in file order and energies are carried over
midnight; disturbances are those of the first state's day. Where devices move by voltages that they measured, or
the feeder follows its own controls, a step needs the power flow before: these go one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from neomflex_jax.environment import Environment, State
from neomflex_jax.environment.feeder_controls import STORE
from neomflex_jax.environment.step.dispatch import Stores
from neomflex_jax.environment.step.set_points import set_points

UNROLLED = 4  # steps of the scan in one iteration: they are small


class Ahead(NamedTuple):
    """What a plan leads to, one row a step."""

    cost: Float[Array, " n"]  # minus the sum of the local rewards
    action: Float[Array, "n n_agents action_size"]
    before: Stores  # (n, ...) each
    after: Stores


def play_ahead(env: Environment, start: State, plan: Array, act: Callable[[Stores, Array], Array]) -> Ahead:
    """Play a plan (n, ...) from a state on; ``act(stores, plan[k])`` gives the actions of the k-th step from now."""
    steps_per_day = env.scenario.steps_per_day
    measures = any(device.measured_bus is not None for device in env.scenario.devices) or STORE in start.stores
    step_from_midnight = start.step + jnp.arange(plan.shape[0])
    step = step_from_midnight % steps_per_day
    day_row = (start.day_row + step_from_midnight - step) % env.profiles.n_rows

    def at(stores: Stores, day_row: Array, step: Array) -> State:
        return replace(start, day_row=day_row, step=step, stores=stores)

    def advance(stores: Stores, inputs: tuple[Array, Array, Array]) -> tuple[Stores, tuple[Stores, Stores, Array]]:
        planned, day_row, step = inputs
        action, state = act(stores, planned), at(stores, day_row, step)
        after = env.step(state, action)[0].stores if measures else set_points(env, state, action).delivered.stores
        return after, (stores, after, action)

    def cost_of(stores: Stores, day_row: Array, step: Array, action: Array) -> Array:
        return -jnp.sum(env.step(at(stores, day_row, step), action)[1].info["local_reward"])

    _, (before, after, action) = lax.scan(advance, start.stores, (plan, day_row, step), unroll=UNROLLED)
    return Ahead(jax.vmap(cost_of)(before, day_row, step, action), action, before, after)
