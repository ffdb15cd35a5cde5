"""The project's device models for one step at a time, in NumPy arrays: actions and energies in, set-points out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.environment.step.actions import lay_out_actions, requests_of
from neomflex_jax.environment.step.dispatch import Stores, deliver
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.territories import layout_territories
from neomflex_jax.scenario import Scenario

DEVICES = ("battery_p_mw", "battery_q_mvar", "pv_p_mw", "pv_q_mvar", "pv_available_mw", "load_curtailed_mw")
LOADS = ("load_p_mw", "load_q_mvar")


class Carried(NamedTuple):
    """What devices carry from step to step."""

    battery_soc: np.ndarray  # (n_battery,)
    battery_p_mw: np.ndarray  # (n_battery,) of the last step
    load_owed_mwh: np.ndarray  # (n_flexible,)


Deliver = Callable[[np.ndarray, Carried, np.ndarray], tuple[dict[str, np.ndarray], Carried]]


def compiled_dispatch(scenario: Scenario, feeder: Feeder) -> Deliver:
    """Compile a scenario's devices.

    Returns
    -------
    Deliver
        Takes padded actions (n_agents, action_size), what is carried, and Demand, Solar and the factor on the loads' q;
        gives `DEVICES` and `LOADS` of the step, and what is carried on. In the environment's float32.
    """
    actions = lay_out_actions(scenario)
    layout = layout_territories(
        feeder,
        [(part.agent, part.buses) for part in scenario.territories],
        [battery.bus for battery in scenario.batteries],
        [inverter.bus for inverter in scenario.pv_inverters],
        [load.bus for load in scenario.flexible_loads],
    )
    n_battery, n_pv, n_flexible = (
        len(part) for part in (scenario.batteries, scenario.pv_inverters, scenario.flexible_loads)
    )
    cuts_in = np.cumsum([actions.mask.size, n_battery, n_battery, n_flexible])
    devices, loads, carried = [n_battery, n_battery, n_pv, n_pv, n_pv, n_flexible], [feeder.n_bus] * 2, [n_battery] * 2
    cuts_out = np.cumsum([*devices, *loads, *carried])

    @jax.jit
    def run(packed: Array) -> Array:
        action, soc, previous_p_mw, owed_mwh, known = jnp.split(packed, cuts_in)
        demand, solar, load_q_factor = known
        delivered, stores = deliver(
            scenario,
            layout,
            requests_of(action.reshape(actions.mask.shape), actions),
            Stores(soc, previous_p_mw, owed_mwh),
            load_p_mw=jnp.asarray(feeder.load_p_mw, packed.dtype) * demand,
            load_q_mvar=jnp.asarray(feeder.load_q_mvar, packed.dtype) * load_q_factor,
            solar=solar,
            in_service=(True, True, True),
        )
        return jnp.concatenate([*(getattr(delivered, name) for name in (*DEVICES, *LOADS)), *stores])

    def step(action: np.ndarray, carried: Carried, known: np.ndarray) -> tuple[dict[str, np.ndarray], Carried]:
        # one vector in and one out: on a host, a step costs what its transfers cost
        packed = np.concatenate([action.ravel(), *carried, known]).astype(np.float32)
        parts = np.split(np.asarray(run(packed)), cuts_out)
        named = (*DEVICES, *LOADS)
        return dict(zip(named, parts, strict=False)), Carried(*parts[len(named) :])

    return step
