"""Loads at nodes before devices: nominal ones times Demand, or of each element by its own series."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from neomflex_jax.environment.state import State
from neomflex_jax.environment.step.disturbances import element_values
from neomflex_jax.environment.task import Task
from neomflex_jax.grid import Feeder
from neomflex_jax.profiles import Profiles

Loads = tuple[Array, Array]  # p in MW and q in Mvar, (n_node,) each


def loads_of_row(feeder: Feeder, profiles: Profiles, row: Array) -> Loads:
    """Loads of a row of the profiles without disturbances."""
    demand, own = profiles.demand[row], profiles.by_element
    if own is None:
        return jnp.asarray(feeder.load_p_mw) * demand, jnp.asarray(feeder.load_q_mvar) * demand
    return own.loads(demand, profiles.solar[row], own.values[row])


def loads_today(task: Task, state: State, demand_and_solar: Array, load_q_factor: Array) -> Loads:
    """Loads of a state's step under today's disturbances, which `demand_and_solar` (2,) has had."""
    own, today = task.profiles.by_element, state.today
    if own is None:
        p_mw = jnp.asarray(task.feeder.load_p_mw) * demand_and_solar[0]
        q_mvar = jnp.asarray(task.feeder.load_q_mvar) * load_q_factor
    else:
        values = element_values(own, task.scenario, today, state.day_row + state.step, state.step)
        p_mw, q_mvar = own.loads(demand_and_solar[0], demand_and_solar[1], values)
    if today.load_factor is None:
        return p_mw, q_mvar
    return p_mw * today.load_factor, q_mvar * today.load_factor
