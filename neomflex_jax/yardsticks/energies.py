"""Plans in terms of energies: one number in [-1, 1] a control and step, of which every value can be played.

For a control that moves a store it is what the store is wanted to hold after the step, -1 at its emptiest and 1 at its
fullest, as its kind's `planning` says; for every other control it is the action itself. What is wanted and out of reach
of ratings, ramps or efficiencies is clipped by the devices themselves, so that each plan is feasible, and a change of
one step's energy changes the power of that step and of the next alone. Powers as variables would move every later
energy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from neomflex_jax.devices.device import Params, Store
from neomflex_jax.devices.planning import Planning
from neomflex_jax.environment.step.dispatch import Stores
from neomflex_jax.environment.task import Task


class _Planned(NamedTuple):
    """The devices of a kind whose stores are planned."""

    planning: Planning
    columns: np.ndarray  # of a plan
    params: Params
    store: Store


def action_towards(
    task: Task, stores: Stores, wanted: Float[Array, " n_control"]
) -> Float[Array, "n_agents action_size"]:
    """Return actions that bring the stores as near as they can to a plan's row."""
    fractions = wanted
    for planning, columns, params, store in _planned(task, stores):
        request = planning.towards(params, store, wanted[columns], task.scenario.step_hours)
        fractions = fractions.at[columns].set(request)
    return jnp.append(fractions, 0.0)[task.action_layout.slots]


def reached(task: Task, plan: Float[Array, "*batch n_control"], after: Stores) -> Float[Array, "*batch n_control"]:
    """Return the plan with what stores reached in place of what was wanted."""
    for planning, columns, params, store in _planned(task, after):
        plan = plan.at[..., columns].set(planning.reached(params, store))
    return plan


def idle_plan(task: Task, stores: Stores, n_steps: int) -> Float[Array, "n_steps n_control"]:
    """Return the plan that keeps all stores as they are and asks nothing of other devices."""
    idle = jnp.zeros(len(task.action_layout.controls))
    return jnp.broadcast_to(reached(task, idle, stores), (n_steps, *idle.shape))


def _planned(task: Task, stores: Stores) -> Iterator[_Planned]:
    """What can be planned, kind by kind: the devices that have the control."""
    n_control = len(task.action_layout.controls)
    for kind in task.kinds:
        if kind.planning is None or kind.planning.control not in task.action_layout.by_device:
            continue
        columns = task.action_layout.by_device[kind.planning.control]
        which = np.flatnonzero(columns < n_control)
        params, store = task.params(kind), stores[kind.table]
        if len(which) < len(columns):
            params, store = jax.tree.map(lambda leaf, which=which: leaf[..., which], (params, store))
        if len(which):
            yield _Planned(kind.planning, columns[which], params, store)
