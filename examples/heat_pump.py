"""A kind of device of one's own, outside the package: a room that a heat pump keeps warm.

``T' = T_eq + (T - T_eq) exp(-h UA / C)`` with ``T_eq = T_out + COP p_el / UA``: T in degrees Celsius is the room's
temperature, C its capacity in MWh/K, UA its losses in MW/K, h the step in hours, and p_el in MW what the pump draws.
That is the exact answer to ``C dT/dt = COP p_el - UA (T - T_out)`` while p_el and the outdoor temperature stay as they
are. T_out is the column that ``[profiles] outdoor_temperature`` names; without one it is the same every day,
``mean - swing cos(2 pi (hour - 4) / 24)``, coldest at four in the morning. An action of 0 is a thermostat, which aims
at the middle of the comfort band; -1..1 adds that share of the rating to what it would draw. A room outside the band
costs, by kelvin and hour. Neglected: sun and people, which heat a room too, and a COP that falls with the outdoor
temperature.

    python examples/heat_pump.py --output results/heat_pump

trains, evaluates, plots and validates on `heat_pump.toml`. On the command line the module is named, for what registers
its kind: ``neomflex train --import examples/heat_pump.py --scenario examples/heat_pump.toml --output results/run``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import neomflex_jax as nf
from neomflex_jax.cli import main as neomflex
from neomflex_jax.devices import (
    Control,
    CostTerm,
    Delivery,
    Device,
    Observable,
    Recorded,
    StepColumns,
    Surroundings,
    Turn,
    by_bus,
    stacked,
)
from neomflex_jax.devices.checks import check_above_zero, check_name, check_not_negative, refuse
from validation import register_twin
from validation.recompute.devices.twin import FeedIn, Part, Store, Twin

SCENARIO = Path(__file__).with_name("heat_pump.toml")
COLDEST_HOUR = 4.0
SEEN = 3.0  # observed temperatures are cut off this many band's widths from the band's lower edge


class HeatPumpParams(NamedTuple):
    """Fields of `HeatPump` as arrays (n_pump,)."""

    power_mw: np.ndarray
    cop: np.ndarray
    capacity_mwh_per_k: np.ndarray
    losses_mw_per_k: np.ndarray
    comfort_min_celsius: np.ndarray
    comfort_max_celsius: np.ndarray
    outdoor_mean_celsius: np.ndarray
    outdoor_swing_k: np.ndarray
    discomfort_cost: np.ndarray


def discomfort(params: HeatPumpParams, delivered: Delivery, weight: float, step_hours: float) -> Array:
    """Cost of rooms outside their bands, (n_pump,)."""
    celsius = delivered.store
    too_cold = jnp.maximum(params.comfort_min_celsius - celsius, 0.0)
    too_warm = jnp.maximum(celsius - params.comfort_max_celsius, 0.0)
    return params.discomfort_cost * (too_cold + too_warm) * step_hours


@nf.register_device
@dataclass(frozen=True)
class HeatPump(Device):
    """One heat pump and its room: a row of ``[[heat_pumps]]``."""

    table: ClassVar = "heat_pumps"
    noun: ClassVar = "heat pump"
    prefix: ClassVar = "heat_pump"
    turn: ClassVar = Turn.STORAGE
    controls: ClassVar = (Control("heat_pump_p", "share of the rating above what a thermostat draws", lasting=True),)
    recorded: ClassVar = (
        Recorded("heat_pump_p_mw", "MW", "power into the grid, so minus what is drawn"),
        Recorded("heat_pump_celsius", "degrees Celsius", "after the step", before="heat_pump_before_celsius"),
    )
    observables: ClassVar = (Observable("temperature of {}", "of the band: 0 lower edge, 1 upper", -SEEN, SEEN),)
    costs: ClassVar = (CostTerm("discomfort", discomfort, priced=lambda pump: pump.discomfort_cost > 0),)
    table_families: ClassVar = (("heat_pump_bus_", "_p_mw"), ("heat_pump_bus_", "_celsius"))

    bus: int
    power_mw: float  # electric
    cop: float = 3.0  # heat over electricity
    capacity_mwh_per_k: float = 0.3
    losses_mw_per_k: float = 0.02
    comfort_min_celsius: float = 20.0
    comfort_max_celsius: float = 23.0
    outdoor_mean_celsius: float = 4.0  # where no column has the outdoor temperature, as the swing
    outdoor_swing_k: float = 5.0
    discomfort_cost: float = 5.0  # per kelvin and hour outside the band
    name: str = ""

    def __post_init__(self) -> None:
        device = f"heat pump at bus {self.bus}"
        check_above_zero(device, power_mw=self.power_mw, cop=self.cop, losses_mw_per_k=self.losses_mw_per_k)
        check_above_zero(device, capacity_mwh_per_k=self.capacity_mwh_per_k)
        check_not_negative(device, outdoor_swing_k=self.outdoor_swing_k, discomfort_cost=self.discomfort_cost)
        if not -50 < self.comfort_min_celsius < self.comfort_max_celsius < 50:
            allowed = "satisfy -50 < comfort_min_celsius < comfort_max_celsius < 50"
            band = {name: getattr(self, name) for name in ("comfort_min_celsius", "comfort_max_celsius")}
            raise refuse(device, allowed, **band)
        check_name(device, self.name)

    @staticmethod
    def stack(devices: Sequence[HeatPump]) -> HeatPumpParams:
        """Parameters as new arrays."""
        return stacked(HeatPumpParams, devices)

    @staticmethod
    def first(params: HeatPumpParams) -> Array:
        """Rooms begin in the middle of their bands."""
        return jnp.asarray((params.comfort_min_celsius + params.comfort_max_celsius) / 2.0)

    @staticmethod
    def random(key: Array, params: HeatPumpParams) -> Array:
        """Rooms begin anywhere in their bands."""
        share = jax.random.uniform(key, params.power_mw.shape)
        return params.comfort_min_celsius + share * (params.comfort_max_celsius - params.comfort_min_celsius)

    @staticmethod
    def middle(params: HeatPumpParams) -> Array:
        """Rooms with room both ways."""
        return HeatPump.first(params)

    @staticmethod
    def step(params: HeatPumpParams, requests: Mapping[str, Array], store: Array, around: Surroundings) -> Delivery:
        """Heat the rooms for a step."""
        outdoor_celsius = around.outdoor_temperature_c
        if outdoor_celsius is None:
            since_coldest = (around.hour - COLDEST_HOUR) / 24.0
            outdoor_celsius = params.outdoor_mean_celsius - params.outdoor_swing_k * jnp.cos(2 * jnp.pi * since_coldest)
        stays = np.exp(-around.step_hours * params.losses_mw_per_k / params.capacity_mwh_per_k)
        aim_celsius = (HeatPump.first(params) - stays * store) / (1.0 - stays)
        mw_per_k = params.losses_mw_per_k / params.cop
        thermostat_mw = jnp.clip((aim_celsius - outdoor_celsius) * mw_per_k, 0.0, params.power_mw)
        asked_mw = thermostat_mw + requests["heat_pump_p"] * params.power_mw
        drawn_mw = jnp.where(around.in_service, jnp.clip(asked_mw, 0.0, params.power_mw), 0.0)
        settled_celsius = outdoor_celsius + drawn_mw / mw_per_k
        celsius = settled_celsius + (store - settled_celsius) * stays
        clipped = jnp.where(around.in_service, jnp.abs(asked_mw - drawn_mw), 0.0) / params.power_mw
        return Delivery(-drawn_mw, None, celsius, clipped, {"heat_pump_p_mw": -drawn_mw})

    @staticmethod
    def kept(store: Array) -> dict[str, Array]:
        """Record the temperature."""
        return {"heat_pump_celsius": store}

    @staticmethod
    def observe(params: HeatPumpParams, store: Array) -> tuple[Array, ...]:
        """See the temperature within the band."""
        width_k = params.comfort_max_celsius - params.comfort_min_celsius
        return (jnp.clip((store - params.comfort_min_celsius) / width_k, -SEEN, SEEN),)

    @staticmethod
    def step_columns(
        devices: Sequence[HeatPump], recorded: Mapping[str, np.ndarray], load_p_mw: np.ndarray
    ) -> StepColumns:
        """Columns of the step table."""
        columns = by_bus("heat_pump_bus_{}_p_mw", devices, recorded["heat_pump_p_mw"])
        return StepColumns({}, columns | by_bus("heat_pump_bus_{}_celsius", devices, recorded["heat_pump_celsius"]))


class Warmth(Store[HeatPump]):
    """The room's temperature, for the referee; as energy, above the lower edge of the band."""

    entry: ClassVar = "temperature"
    before: ClassVar = "heat_pump_before_celsius"
    after: ClassVar = "heat_pump_celsius"

    def size_mwh(self, device: HeatPump) -> float:
        """Return what warms the room from the lower edge of the band to the upper."""
        return device.capacity_mwh_per_k * (device.comfort_max_celsius - device.comfort_min_celsius)

    def energy_mwh(self, device: HeatPump, values: np.ndarray) -> np.ndarray:
        """Return the heat above the lower edge of the band."""
        return device.capacity_mwh_per_k * (values - device.comfort_min_celsius)

    def observed(self, device: HeatPump, values: np.ndarray) -> np.ndarray:
        """Return what agents see of temperatures."""
        return np.clip(self.energy_mwh(device, values) / self.size_mwh(device), -SEEN, SEEN)

    def gap_mwh(self, part: Part[HeatPump]) -> np.ndarray:
        """Return what is missing in each step's balance of heat, (n,)."""
        pump, hours = part.device, part.scenario.step_hours
        outdoor = part.outdoor_temperature_c
        if outdoor is None:
            hour = part["step"] * hours % 24.0
            outdoor = pump.outdoor_mean_celsius - pump.outdoor_swing_k * np.cos(np.pi / 12.0 * (hour - COLDEST_HOUR))
        heat_mw = -pump.cop * part["heat_pump_p_mw"] + pump.losses_mw_per_k * outdoor  # with what the outdoor air gives
        decay = np.exp(-hours * pump.losses_mw_per_k / pump.capacity_mwh_per_k)
        celsius = part[self.before] * decay + heat_mw / pump.losses_mw_per_k * (1.0 - decay)
        return pump.capacity_mwh_per_k * (part[self.after] - celsius)


class HeatPumpTwin(Twin[HeatPump]):
    """Heat pumps as the referee has them, written from the equations once more, in NumPy."""

    table: ClassVar = "heat_pumps"
    delivered: ClassVar = ("heat_pump_p_mw",)
    feed_in: ClassVar = FeedIn("heat_pump_p_mw")
    store: ClassVar = Warmth()

    def excess(self, part: Part[HeatPump]) -> np.ndarray:
        """Return by how much each step is outside 0..rating, (n,)."""
        p_mw, power_mw = part["heat_pump_p_mw"], part.device.power_mw
        return np.maximum(p_mw, -p_mw - power_mw) / max(power_mw, 1.0)

    def costs(
        self, device: HeatPump, scenario: nf.Scenario, recorded: Mapping[str, np.ndarray]
    ) -> Iterator[np.ndarray]:
        """Yield the cost of discomfort, (n,)."""
        celsius = recorded["heat_pump_celsius"]
        outside_k = np.abs(celsius - np.clip(celsius, device.comfort_min_celsius, device.comfort_max_celsius))
        yield device.discomfort_cost * scenario.step_hours * outside_k


register_twin(HeatPumpTwin())


def run_command(*words: object) -> int:
    """Print and run a command of the command line in this process; returns its exit status."""
    print("\n$ neomflex", *words, flush=True)
    try:
        neomflex([str(word) for word in words])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, evaluate, plot and validate; returns the first exit status that is not 0: that of a FAIL is 1."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--output", type=Path, default=Path("results/heat_pump"))
    parser.add_argument("--seconds", type=float, default=40.0, help="of training, compilation included")
    parser.add_argument("--profiles", type=Path, help="CSV file of the days to judge on; default: the scenario's")
    options = parser.parse_args(arguments)
    run, evaluation, validation = (options.output / name for name in ("run", "evaluation", "validation"))
    training = ("--algorithm", "gradient", "--max-seconds", options.seconds)
    days = () if options.profiles is None else ("--profiles", options.profiles)
    steps, figure = evaluation / "step_metrics.csv", options.output / "voltage.png"
    commands = (
        ("train", "--scenario", SCENARIO, *training, "--output", run, "--overwrite"),
        ("evaluate", "--policies", run, *days, "--baseline", "--output", evaluation, "--overwrite"),
        ("plot", "voltage", steps, "--days", 0, "--output", figure),
        ("validate", "--policies", run, *days, "--output", validation, "--overwrite"),
    )
    for command in commands:
        status = run_command(*command)
        if status:
            return status
    print(
        f"\npolicies: {run / 'policies'}\ntables: {evaluation}\nfigure: {figure}\nverdict: {validation / 'report.md'}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
