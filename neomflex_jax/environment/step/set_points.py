"""The first half of a step: from a state and actions to what devices deliver and keep, before any power flow.

It is cheap, and it alone carries energies from step to step: whoever plans ahead plays this half step after step, and
then solves all power flows at once (`horizon.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.environment.step.actions import requests_of
from neomflex_jax.environment.step.dispatch import Delivered, Stores, deliver
from neomflex_jax.environment.step.disturbances import Today, available, demand_and_solar

if TYPE_CHECKING:
    from neomflex_jax.environment.environment import Environment
    from neomflex_jax.environment.state import State


class SetPoints(NamedTuple):
    """What one step's actions come to."""

    delivered: Delivered
    stores: Stores  # after the step
    demand: Array  # ()
    solar: Array  # ()
    load_q_factor: Array  # () on every load's nominal q
    battery_q: bool  # whether any battery has reactive power


def set_points(env: Environment, state: State, action: Array) -> SetPoints:
    """Deliver the actions (n_agents, action_size) in a state."""
    scenario, today = env.scenario, state.today
    requests = _present(env, requests_of(action, env.action_layout), today)
    demand, solar = demand_and_solar(env.profiles, scenario, today, state.day_row + state.step, state.step)
    load_q_factor = _load_q_factor(env, state, demand)
    delivered, stores = deliver(
        scenario,
        env.layout,
        requests,
        Stores(state.battery_soc, state.battery_p_mw, state.load_owed_mwh),
        load_p_mw=load(env, "load_p_mw", demand, today),
        load_q_mvar=load(env, "load_q_mvar", load_q_factor, today),
        solar=solar,
        in_service=available(today, scenario, state.step),
    )
    return SetPoints(delivered, stores, demand, solar, load_q_factor, "battery_q" in requests)


def load(env: Environment, name: str, factor: Array, today: Today) -> Array:
    """Nominal loads, ``load_p_mw`` or ``load_q_mvar``, as they are today, (n_bus,)."""
    nominal = jnp.asarray(getattr(env.feeder, name)) * factor
    return nominal if today.load_factor is None else nominal * today.load_factor


def _present(env: Environment, requests: dict[str, Array], today: Today) -> dict[str, Array]:
    """Set to 0 what missing agents ask for."""
    if today.missing is None:
        return requests
    layout = env.layout
    owned = {"battery": layout.batteries, "pv": layout.pv_inverters, "load": layout.flexible_loads}
    owners = {kind: np.argmax(layout.owns(own), axis=0) for kind, own in owned.items()}
    gone = {kind: today.missing[owner] for kind, owner in owners.items()}
    return {kind: jnp.where(gone[kind.split("_")[0]], 0.0, asked) for kind, asked in requests.items()}


def _load_q_factor(env: Environment, state: State, demand: Array) -> Array:
    if env.scenario.rules.load_q == "follows_demand":
        return demand
    first_step = jnp.zeros_like(state.step)
    return demand_and_solar(env.profiles, env.scenario, state.today, state.day_row, first_step)[0]
