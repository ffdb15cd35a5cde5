"""The first half of a step: from a state and actions to what devices deliver and keep, before any power flow.

It is cheap, and it alone carries stores from step to step: whoever plans ahead plays this half step after step, and
then solves all power flows at once (`yardsticks/play_ahead.py`).
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from neomflex_jax.environment.state import State
from neomflex_jax.environment.step.actions import requests_of
from neomflex_jax.environment.step.dispatch import Delivered, Moment, Requests, deliver
from neomflex_jax.environment.step.disturbances import Today, demand_and_solar, in_service
from neomflex_jax.environment.step.loads import loads_today, moment_today, own_values_today
from neomflex_jax.environment.task import Task


class SetPoints(NamedTuple):
    """What one step's actions come to."""

    delivered: Delivered
    moment: Moment
    load_q_factor: Float[Array, ""]  # on the nominal q of every load without a series of its own


def set_points(task: Task, state: State, action: Float[Array, "n_agents action_size"]) -> SetPoints:
    """Deliver the actions in a state."""
    scenario, today, row = task.scenario, state.today, state.day_row + state.step
    own_values = own_values_today(task, state)
    common = demand_and_solar(task.profiles, scenario, today, row, state.step)
    moment = moment_today(task, state, common, own_values)
    load_q_factor = _load_q_factor(task, state, moment.demand)
    load_p_mw, load_q_mvar = loads_today(task, state, moment, own_values, load_q_factor)
    delivered = deliver(
        scenario,
        task.layout,
        _present(task, requests_of(action, task.action_layout), today),
        state.stores,
        moment,
        load_p_mw=load_p_mw,
        load_q_mvar=load_q_mvar,
        in_service=in_service(today, scenario, state.step),
    )
    return SetPoints(delivered, moment, load_q_factor)


def _present(task: Task, requests: Requests, today: Today) -> Requests:
    """Set to 0 what missing agents ask for."""
    if today.missing is None:
        return requests
    present: Requests = {}
    for kind in task.kinds:
        gone = today.missing[np.argmax(task.layout.owns(kind.table), axis=0)]
        names = [control.name for control in kind.controls if control.name in requests]
        present |= {name: jnp.where(gone, 0.0, requests[name]) for name in names}
    return present


def _load_q_factor(task: Task, state: State, demand: Array) -> Array:
    if task.scenario.rules.load_q == "follows_demand":
        return demand
    first_step = jnp.zeros_like(state.step)
    return demand_and_solar(task.profiles, task.scenario, state.today, state.day_row, first_step)[0]
