"""Plans in terms of energies: one number in [-1, 1] a control and step, of which every value can be played.

For a battery it is the state of charge wanted after the step, -1 at the bottom of its window and 1 at the top; for a
load that shifts it is the energy owed after the step, -1 for nothing and 1 for a full buffer; for every other control
it is the action itself. What is wanted and out of reach of ratings, ramps or efficiencies is clipped by the devices
themselves, so that each plan is feasible, and a change of one step's energy changes the power of that step and of the
next alone. Powers as variables would move every later energy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.environment.step.dispatch import Stores, rating

if TYPE_CHECKING:
    from neomflex_jax.environment import Environment


def action_towards(env: Environment, stores: Stores, wanted: Array) -> Array:
    """Actions (n_agents, action_size) that bring the stores as near as they can to a plan's row (n_control,)."""
    fractions, step_hours = wanted, env.scenario.step_hours
    batteries, loads = rating(env.scenario, "batteries"), rating(env.scenario, "flexible_loads")
    battery, shift = _columns(env, "battery_p"), _columns(env, "load_shift")
    if len(battery):
        middle, half = _window(env)
        given = (stores.battery_soc - (middle + half * wanted[battery])) * (batteries["capacity_mwh"] / step_hours)
        p_mw = jnp.where(given > 0, given * batteries["discharge_efficiency"], given / batteries["charge_efficiency"])
        fractions = fractions.at[battery].set(jnp.clip(p_mw / batteries["power_mw"], -1.0, 1.0))
    if len(shift):
        which = _shifting(env)
        buffer_mwh, shift_mw = loads["buffer_mwh"][which], loads["shift_mw"][which]
        deferred_mwh = buffer_mwh * (1.0 + wanted[shift]) / 2.0 - stores.load_owed_mwh[which]
        fractions = fractions.at[shift].set(jnp.clip(deferred_mwh / step_hours / shift_mw, -1.0, 1.0))
    return jnp.append(fractions, 0.0)[env.action_layout.slots]


def reached(env: Environment, plan: Array, after: Stores) -> Array:
    """Give the plan (..., n_control) with the energies that were reached in place of those wanted."""
    battery, shift = _columns(env, "battery_p"), _columns(env, "load_shift")
    if len(battery):
        middle, half = _window(env)
        plan = plan.at[..., battery].set(jnp.clip((after.battery_soc - middle) / half, -1.0, 1.0))
    if len(shift):
        which = _shifting(env)
        owed = after.load_owed_mwh[..., which] / rating(env.scenario, "flexible_loads")["buffer_mwh"][which]
        plan = plan.at[..., shift].set(jnp.clip(2.0 * owed - 1.0, -1.0, 1.0))
    return plan


def idle_plan(env: Environment, stores: Stores, n_steps: int) -> Array:
    """Plan to keep all stores as they are and to ask nothing of other devices, (n_steps, n_control)."""
    idle = jnp.zeros(len(env.action_layout.controls))
    return jnp.broadcast_to(reached(env, idle, stores), (n_steps, *idle.shape))


def _window(env: Environment) -> tuple[np.ndarray, np.ndarray]:
    sizes = rating(env.scenario, "batteries")
    return (sizes["soc_max"] + sizes["soc_min"]) / 2.0, (sizes["soc_max"] - sizes["soc_min"]) / 2.0


def _columns(env: Environment, kind: str) -> np.ndarray:
    """Columns of a plan that are of a kind, in the order of the devices that have it."""
    columns = env.action_layout.by_device.get(kind, np.zeros(0, int))
    return columns[columns < len(env.action_layout.controls)]


def _shifting(env: Environment) -> np.ndarray:
    """Which flexible loads shift, by number."""
    return np.flatnonzero(rating(env.scenario, "flexible_loads")["shift_mw"] > 0)
