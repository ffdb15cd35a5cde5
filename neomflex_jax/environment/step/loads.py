"""What profiles bring into a step before devices: loads at nodes, by Demand or by each element's series, and sun."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from neomflex_jax.devices.device import Sessions
from neomflex_jax.environment.state import State
from neomflex_jax.environment.step.dispatch import Moment
from neomflex_jax.environment.step.disturbances import element_values
from neomflex_jax.environment.task import Task
from neomflex_jax.grid import AnyFeeder
from neomflex_jax.profiles import Profiles

Loads = tuple[Array, Array]  # p in MW and q in Mvar, by node (n_node,), on feeders with phases by load (n_load,)
OwnValues = Float[Array, " n_series"] | None  # of series by element, None where there are none


def moment_of_row(profiles: Profiles, row: Array, step: Array) -> Moment:
    """What the world is like in a row of the profiles, a day's `step`, without disturbances."""
    demand, solar, own = profiles.demand[row], profiles.solar[row], profiles.by_element
    own_solar = {} if own is None else own.solar_of_devices(demand, solar, own.values[row])
    return _moment(profiles, row, step, demand, solar, own_solar)


def moment_today(task: Task, state: State, demand_and_solar: Array, own_values: OwnValues) -> Moment:
    """What the world is like in a state's step; `demand_and_solar` (2,) and `own_values` are disturbed already."""
    demand, solar = demand_and_solar
    own, own_solar = task.profiles.by_element, {}
    if own is not None and own_values is not None:
        own_solar = own.solar_of_devices(demand, solar, own_values)
    row = state.day_row + state.step
    step = row % task.scenario.steps_per_day if task.scenario.rules.episode_steps else state.step
    return _moment(task.profiles, row, step, demand, solar, own_solar)


def _moment(
    profiles: Profiles, row: Array, step: Array, demand: Array, solar: Array, own_solar: Mapping[str, Array]
) -> Moment:
    """Put what nothing disturbs beside the rest."""
    sessions = profiles.sessions_at(row)
    return Moment(
        step,
        demand,
        solar,
        profiles.price_at(row),
        own_solar,
        profiles.outdoor_temperature_at(row),
        None if sessions is None else Sessions(*sessions),
    )


def own_values_today(task: Task, state: State) -> OwnValues:
    """Values of series by element in a state's step under today's disturbances."""
    own = task.profiles.by_element
    if own is None:
        return None
    return element_values(own, task.scenario, state.today, state.day_row + state.step, state.step)


def loads_of_row(feeder: AnyFeeder, profiles: Profiles, row: Array) -> Loads:
    """Loads of a row of the profiles without disturbances."""
    demand, own = profiles.demand[row], profiles.by_element
    if own is None:
        return jnp.asarray(feeder.load_p_mw) * demand, jnp.asarray(feeder.load_q_mvar) * demand
    return own.loads(demand, profiles.solar[row], own.values[row])


def loads_today(task: Task, state: State, moment: Moment, own_values: OwnValues, load_q_factor: Array) -> Loads:
    """Loads of a state's step under today's disturbances, which `moment` and `own_values` have had."""
    own, today = task.profiles.by_element, state.today
    if own is None or own_values is None:
        p_mw = jnp.asarray(task.feeder.load_p_mw) * moment.demand
        q_mvar = jnp.asarray(task.feeder.load_q_mvar) * load_q_factor
    else:
        p_mw, q_mvar = own.loads(moment.demand, moment.solar, own_values)
    if today.load_factor is None:
        return p_mw, q_mvar
    return p_mw * today.load_factor, q_mvar * today.load_factor
