"""The one list of what can be seen of a step: blocks of values with their names, units, bounds, owners and reading.

``[vm_pu - 1 at the nodes, loadings of limited branches if `loading_observed`, Demand, Solar, forecasts, price,
outdoor temperature, what devices' owners see of them, time of day k / (steps_per_day - 1)]``. Voltages, loadings (as
shares of the ratings, measured at `to` ends) and stores are those after the action; all else is the next step's. A
sensor's noise is normal and additive, on voltages. Forecasts of Demand and Solar, for the steps beyond the
next: `perfect` is what will come while the day lasts, and beyond midnight the file's rows; `persistence` repeats the
same hours of the file's last day that is over by then; `noisy` is perfect times ``1 + sigma sqrt(lead / furthest) n``,
not below 0, drawn every step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from neomflex_jax.devices.device import Kind, Observable, Store
from neomflex_jax.environment.limited_branches import LimitedBranches
from neomflex_jax.environment.step.disturbances import FORECAST_NOISE, SENSOR_NOISE, Today, demand_and_solar, step_key
from neomflex_jax.grid import AnyFeeder
from neomflex_jax.grid.territories import TerritoryLayout
from neomflex_jax.profiles import Profiles
from neomflex_jax.profiles.profiles import COLDEST_C, MAX_DEMAND, MAX_PRICE, WARMEST_C
from neomflex_jax.scenario import Scenario

SEEN_CELSIUS = 50.0  # is seen as 1
MAX_LOADING = 10.0  # of the rating: what is above is seen as this


class Now(NamedTuple):
    """What is known after an action: voltages and stores as they are, and which row of the profiles comes next."""

    profiles: Profiles
    today: Today
    row: Int[Array, ""]  # of the next step
    step: Int[Array, ""]  # of the day, the next
    vm_pu: Float[Array, " n_node"]  # finite
    stores: Mapping[str, Store]  # by table
    loading_percent: Float[Array, " n_limited"] | None = None  # finite; None without limits of loading


class Value(NamedTuple):
    """Meaning of one value."""

    name: str
    unit: str
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Block:
    """Values that are read together."""

    values: tuple[Value, ...]
    read: Callable[[Now], Array]  # (n_values,)
    owned: Sequence[np.ndarray] | None = None  # which of them each agent measures; None: everybody knows all
    name: str = ""  # of a user's own, by which scenarios and its twin name it
    observed: Sequence[np.ndarray] | None = None  # which each agent sees in place of those it measures; None: the same

    @property
    def called(self) -> str:
        """The name, or its first value's."""
        return self.name or self.values[0].name


def observation_blocks(
    scenario: Scenario, layout: TerritoryLayout, feeder: AnyFeeder, limited: LimitedBranches | None = None
) -> tuple[Block, ...]:
    """All blocks of a scenario in their order."""
    ahead = range(2, scenario.observation.forecast_steps + 2)
    when = [f"{scenario.step_hours * step:g} h ahead" for step in ahead]
    blocks = [_voltages(scenario, layout, feeder)]
    if limited is not None and scenario.loading.loading_observed:
        blocks.append(_loadings(scenario, limited))
    next_row = [Value(f"{name} of the next step", unit, low, MAX_DEMAND) for name, unit, low in _PROFILES]
    blocks.append(Block(tuple(next_row), lambda now: demand_and_solar(now.profiles, scenario, *_next(now))))
    if when:
        ahead_values = [
            Value(f"{name} forecast, {hours}", unit, low, MAX_DEMAND) for name, unit, low in _PROFILES for hours in when
        ]
        blocks.append(Block(tuple(ahead_values), lambda now: _forecast(scenario, now).ravel()))
    if scenario.tariff_column:
        prices = [Value(f"price {hours}", "per MWh", -MAX_PRICE, MAX_PRICE) for hours in ("of the next step", *when)]
        blocks.append(Block(tuple(prices), _prices(len(prices))))
    if scenario.series.outdoor_temperature:
        unit = f"of {SEEN_CELSIUS:g} degrees Celsius"
        low, high = COLDEST_C / SEEN_CELSIUS, WARMEST_C / SEEN_CELSIUS
        named = [Value(f"outdoor temperature {hours}", unit, low, high) for hours in ("of the next step", *when)]
        blocks.append(Block(tuple(named), _outdoor_temperatures(len(named))))
    for kind in scenario.kinds:
        for number, observable in enumerate(kind.observables):
            blocks.append(_of_devices(scenario, layout, kind, number, observable))
    time = Value("time of day", "of the day", 0.0, 1.0)
    steps = scenario.steps_per_day
    return (*blocks, Block((time,), lambda now: ((now.row % steps) / (steps - 1))[None]))


_PROFILES = (("Demand", "of nominal load", -MAX_DEMAND), ("Solar", "of rating", 0.0))


def _next(now: Now) -> tuple[Today, Array, Array]:
    return now.today, now.row, now.step


def _voltages(scenario: Scenario, layout: TerritoryLayout, feeder: AnyFeeder) -> Block:
    owned = layout.nodes
    if scenario.observation.scope == "local":
        with_devices = np.concatenate([nodes.ravel() for nodes in layout.device_nodes.values()])
        owned = tuple(nodes[np.isin(nodes, with_devices)] for nodes in owned)
    observed = None
    if any(part.observes for part in scenario.territories):
        seen = [part.observes or part.buses for part in scenario.territories]
        observed = tuple(np.concatenate([feeder.nodes.at[bus] for bus in buses]) for buses in seen)
    values = tuple(Value(f"vm_pu - 1 at bus {label}", "pu", -1.0, 1.0) for label in feeder.node_labels)
    return Block(values, partial(_sensed, scenario.observation.sensor_noise_pu), owned, observed=observed)


def _sensed(noise_pu: float, now: Now) -> Array:
    sensed = now.vm_pu - 1.0
    if noise_pu > 0:
        noise = jax.random.normal(step_key(now.today, SENSOR_NOISE, now.step), sensed.shape, sensed.dtype)
        sensed = sensed + noise_pu * noise
    return sensed


def _loadings(scenario: Scenario, limited: LimitedBranches) -> Block:
    agent, seen = np.array(limited.agent), np.ones(len(limited.position), bool)
    if scenario.observation.scope == "local":
        seen = np.isin(limited.to_bus, [device.bus for device in scenario.devices])
    owned = [np.flatnonzero(seen & (agent == own)) for own in range(len(scenario.agents))]
    values = tuple(Value(f"loading of branch {name}", "of rating", 0.0, MAX_LOADING) for name in limited.name)
    return Block(values, _loading, owned)


def _loading(now: Now) -> Array:
    assert now.loading_percent is not None  # its block is there only with limits
    return jnp.minimum(now.loading_percent / 100.0, MAX_LOADING)


def _prices(n_rows: int) -> Callable[[Now], Array]:
    def read(now: Now) -> Array:
        assert now.profiles.price is not None  # the scenario's tariff column sees to it
        return now.profiles.price[(now.row + jnp.arange(n_rows)) % now.profiles.n_rows]

    return read


def _outdoor_temperatures(n_rows: int) -> Callable[[Now], Array]:
    def read(now: Now) -> Array:
        assert now.profiles.outdoor_temperature_c is not None  # the scenario names its column
        return now.profiles.outdoor_temperature_c[(now.row + jnp.arange(n_rows)) % now.profiles.n_rows] / SEEN_CELSIUS

    return read


def _of_devices(scenario: Scenario, layout: TerritoryLayout, kind: Kind, number: int, observable: Observable) -> Block:
    def read(now: Now) -> Array:
        return kind.observe(kind.stack(scenario.of(kind)), now.stores[kind.table])[number]

    text, unit, low, high = observable
    values = tuple(Value(text.format(device.label), unit, low, high) for device in scenario.of(kind))
    return Block(values, read, layout.devices[kind.table])


def _forecast(scenario: Scenario, now: Now) -> Array:
    """Demand and Solar of the steps beyond the next, (2, forecast_steps)."""
    config, profiles = scenario.observation, now.profiles
    ahead = jnp.arange(1, config.forecast_steps + 1)
    rows = (now.row + ahead) % profiles.n_rows
    if config.forecast == "persistence":
        rows = (rows - scenario.steps_per_day * (1 + ahead // scenario.steps_per_day)) % profiles.n_rows
        return jnp.stack([profiles.demand[rows], profiles.solar[rows]])
    values = jax.vmap(lambda row, step: demand_and_solar(profiles, scenario, now.today, row, step), out_axes=1)(
        rows, now.step + ahead
    )
    if config.forecast == "perfect":
        return values
    noise = jax.random.normal(step_key(now.today, FORECAST_NOISE, now.step), values.shape, values.dtype)
    spread = config.forecast_noise * jnp.sqrt(ahead / config.forecast_steps)
    return values * jnp.maximum(1.0 + spread * noise, 0.0)
