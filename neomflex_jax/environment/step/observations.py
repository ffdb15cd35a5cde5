"""What each agent sees: measurements of its part of the feeder, and nothing else of the grid.

``[vm_pu - 1 at its buses, Demand, Solar, forecasts, price, state of charge of its batteries, energy its flexible loads
owe, time of day k / (steps_per_day - 1)]``, then the same of earlier steps if it has a history. Voltages, charge and
debts are those after the action; Demand, Solar, price and time are the next step's. "Its" buses and devices: by scope
`local` those where it has devices, `territory` its territory's, `neighbours` also those of adjacent territories,
`global` all.

All that can be seen of a step is one vector of values; an agent's observation is a selection from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid import Feeder
from neomflex_jax.grid.territories import TerritoryLayout, pad
from neomflex_jax.one_line import one_line
from neomflex_jax.profiles.profiles import MAX_DEMAND, MAX_PRICE
from neomflex_jax.scenario import Scenario


class Value(NamedTuple):
    """Meaning of one entry of the values of a step."""

    name: str
    unit: str
    low: float
    high: float
    owner: int | None  # agent that measures it; None for what everybody knows


@dataclass(frozen=True, eq=False)
class ObservationLayout:
    """Which values every agent sees."""

    values: tuple[Value, ...]  # (n_values,) of one step
    slots: np.ndarray  # (n_agents, observation_size) index into the values of all frames, their number where padded
    mask: np.ndarray  # (n_agents, observation_size) True where real
    n_frames: int

    __repr__ = one_line

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest value of every entry, (n_agents, observation_size) each, 0 where padded."""
        low, high = (
            np.array([*(getattr(value, end) for value in self.values)] * self.n_frames + [0.0], np.float32)[self.slots]
            for end in ("low", "high")
        )
        return low, high


def lay_out_observations(scenario: Scenario, layout: TerritoryLayout, feeder: Feeder) -> ObservationLayout:
    """Lay out the observations of a scenario."""
    values = _values(scenario, feeder)
    n_values, n_frames = len(values), scenario.observation.history
    rows = []
    for agent in range(layout.n_agents):
        frame = np.array([index for index in _visible(scenario, layout, agent)], int)
        rows.append(np.concatenate([frame + n_values * age for age in range(n_frames)]))
    slots, mask = pad(rows, fill=n_values * n_frames)
    return ObservationLayout(values, slots, mask, n_frames)


def _values(scenario: Scenario, feeder: Feeder) -> tuple[Value, ...]:
    ahead = range(2, scenario.observation.forecast_steps + 2)
    hours = [f"{scenario.step_hours * step:g} h ahead" for step in ahead]
    values = [Value(f"vm_pu - 1 at bus {bus}", "pu", -1.0, 1.0, scenario.owner(bus)) for bus in feeder.bus_labels]
    for name, unit, low in (("Demand", "of nominal load", -MAX_DEMAND), ("Solar", "of rating", 0.0)):
        values.append(Value(f"{name} of the next step", unit, low, MAX_DEMAND, None))
    for name, unit, low in (("Demand", "of nominal load", -MAX_DEMAND), ("Solar", "of rating", 0.0)):
        values += [Value(f"{name} forecast, {when}", unit, low, MAX_DEMAND, None) for when in hours]
    if scenario.tariff_column:
        when_known = ["of the next step", *hours]
        values += [Value(f"price {when}", "per MWh", -MAX_PRICE, MAX_PRICE, None) for when in when_known]
    for device in scenario.batteries:
        values += [Value(f"soc of {device.label}", "of capacity", 0.0, 1.0, scenario.owner(device.bus))]
    for load in scenario.flexible_loads:
        values += [Value(f"owed by {load.label}", "of buffer", 0.0, 1.0, scenario.owner(load.bus))]
    return (*values, Value("time of day", "of the day", 0.0, 1.0, None))


def _visible(scenario: Scenario, layout: TerritoryLayout, agent: int) -> list[int]:
    """Give the values of one step that an agent sees, by index, in their order in its observation."""
    scope, n_bus = scenario.observation.scope, len(np.concatenate(layout.buses))
    everyone = np.arange(layout.n_agents)
    others = {"neighbours": np.flatnonzero(layout.adjacent[agent]), "global": everyone}.get(scope, np.array([agent]))
    seen = [agent, *(other for other in others if other != agent)]  # one's own first
    buses = np.concatenate([layout.buses[other] for other in seen])
    if scope == "local":
        devices = (layout.battery_bus, layout.pv_bus, layout.flexible_bus)
        buses = buses[np.isin(buses, np.concatenate(devices))]
    n_shared = (2 + bool(scenario.tariff_column)) * (1 + scenario.observation.forecast_steps)
    first_battery = n_bus + n_shared
    first_load = first_battery + len(layout.battery_bus)
    batteries = first_battery + np.concatenate([layout.batteries[other] for other in seen])
    loads = first_load + np.concatenate([layout.flexible_loads[other] for other in seen])
    time = first_load + len(layout.flexible_bus)
    return [int(i) for i in (*buses, *range(n_bus, first_battery), *batteries, *loads, time)]


def observe(layout: ObservationLayout, values: Array, history: Array, missing: Array | None) -> Array:
    """Observations of all agents, (n_agents, observation_size), zero where padded or the agent is missing.

    `values` (n_values,) are the present's, `history` (history - 1, n_values) earlier ones; `missing` (n_agents,) bool.
    """
    seen = jnp.concatenate([values, history.ravel(), jnp.zeros(1, values.dtype)])[layout.slots]
    return seen if missing is None else jnp.where(missing[:, None], 0.0, seen)


def remember(values: Array, history: Array) -> Array:
    """Push the present's values into the history."""
    return jnp.concatenate([values[None], history])[: history.shape[0]]


def hide_missing(layout: ObservationLayout, values: Array, missing: Array) -> Array:
    """Set to 0 what missing agents would have measured."""
    owner = np.array([len(missing) if value.owner is None else value.owner for value in layout.values])
    return jnp.where(jnp.append(missing, False)[owner], 0.0, values)
