"""A battery that keeps its energy inside a window by clipping its power.

``soc' = soc - h / e * (p / eta_d  if p > 0  else  eta_c p)`` with ``p`` in MW at the AC terminals, **positive when
discharging** (injecting into the grid), ``h`` the step in hours, ``e`` the capacity in MWh and ``soc`` the fraction 0
to 1 of it. ``eta_c`` and ``eta_d`` are one-way efficiencies, stored over drawn from the grid and delivered over drawn
from the store; a round trip returns ``eta_c eta_d``. Reactive power is ``q = a sqrt(s^2 - p^2)`` in Mvar, positive
into the grid, for a request ``a`` in -1..1 and the inverter's rating ``s``: active power has priority.

The model is the energy balance of F. Geth, C. Coffrin and D. M. Fobes, "A flexible storage model for power network
optimization", ACM e-Energy 2020, without its standby losses. Also neglected: efficiencies that depend on power,
temperature or state of charge, ageing, and losses that reactive power causes in the inverter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.devices.battery_power import deliver_battery_power, deliver_battery_q
from neomflex_jax.devices.checks import check_above_zero, check_name, check_not_negative, check_phases, refuse
from neomflex_jax.devices.device import (
    Control,
    CostTerm,
    Delivery,
    Device,
    Observable,
    Recorded,
    StepColumns,
    Surroundings,
    Turn,
)
from neomflex_jax.devices.figures import Bound, Lines, Look, Operated, Symbol, circle_bounds
from neomflex_jax.devices.options import by_bus, magnitude, stacked
from neomflex_jax.devices.planning import Planning, ReactivePower
from neomflex_jax.loose_types import BusLabel

if TYPE_CHECKING:
    import pandas as pd


class BatteryParams(NamedTuple):
    """Fields of `Battery` as arrays (n_battery,)."""

    capacity_mwh: np.ndarray
    power_mw: np.ndarray
    soc_min: np.ndarray
    soc_max: np.ndarray
    soc_initial: np.ndarray
    charge_efficiency: np.ndarray
    discharge_efficiency: np.ndarray
    ramp_mw: np.ndarray  # infinite: no limit
    s_mva: np.ndarray  # 0: no reactive power
    throughput_cost: np.ndarray
    q_first: np.ndarray  # bool, False: active power has priority


class BatteryStore(NamedTuple):
    """What batteries carry from step to step, (n_battery,)."""

    soc: Array  # fraction of the capacity
    p_mw: Array  # of the last step, for ramps


def _shortfall(params: BatteryParams, delivered: Delivery, weight: float, step_hours: float) -> Array:
    p_mw = delivered.p_mw
    return jnp.where(p_mw >= 0, (params.power_mw - p_mw) / params.power_mw, 0.0)


def _reactive(params: BatteryParams, delivered: Delivery, weight: float, step_hours: float) -> Array:
    return magnitude(delivered.recorded["battery_q_mvar"])


def _wear(params: BatteryParams, delivered: Delivery, weight: float, step_hours: float) -> Array:
    return jnp.asarray(weight + params.throughput_cost) * magnitude(delivered.p_mw) * step_hours


def _towards(params: BatteryParams, store: BatteryStore, wanted: Array, step_hours: float) -> Array:
    middle, half = _window(params)
    given = (store.soc - (middle + half * wanted)) * (params.capacity_mwh / step_hours)
    p_mw = jnp.where(given > 0, given * params.discharge_efficiency, given / params.charge_efficiency)
    return jnp.clip(p_mw / params.power_mw, -1.0, 1.0)


def _reached(params: BatteryParams, store: BatteryStore) -> Array:
    middle, half = _window(params)
    return jnp.clip((jnp.asarray(store.soc) - middle) / half, -1.0, 1.0)


def _window(params: BatteryParams) -> tuple[np.ndarray, np.ndarray]:
    return (params.soc_max + params.soc_min) / 2.0, (params.soc_max - params.soc_min) / 2.0


SOC, POWER, REACTIVE = "battery_soc_bus_", "battery_power_bus_", "battery_bus_"


@dataclass(frozen=True)
class Battery(Device):
    """One battery: its bus (by label), sizes, window and limits."""

    table: ClassVar = "batteries"
    noun: ClassVar = "battery"
    prefix: ClassVar = "battery"
    turn: ClassVar = Turn.STORAGE
    controls: ClassVar = (
        Control("battery_p", "share of the power rating, positive discharging", lasting=True),
        Control(
            "battery_q",
            "share of the reactive power that the circle leaves, positive into the grid",
            option=lambda battery: battery.s_mva is not None,
        ),
    )
    recorded: ClassVar = (
        Recorded("battery_p_mw", "MW", "power, positive discharging"),
        Recorded("battery_q_mvar", "Mvar", "reactive power into the grid"),
        Recorded("battery_soc", "of capacity", "state of charge after the step", before="battery_soc_before"),
    )
    observables: ClassVar = (Observable("soc of {}", "of capacity", 0.0, 1.0),)
    costs: ClassVar = (
        CostTerm("solar", _shortfall),
        CostTerm("reactive", _reactive),
        CostTerm("throughput", _wear, priced=lambda battery: battery.throughput_cost > 0),
    )
    planning: ClassVar = Planning("battery_p", _towards, _reached)
    reactive: ClassVar = ReactivePower("battery_q", generates=False)
    symbol: ClassVar = Symbol("battery, filled by charge", "tank", marker="s", colour="#222222", fill="#009E73")
    drawn: ClassVar = {
        "soc": Lines(SOC, "", "battery", "batteries", "Energy in the batteries"),
        "dispatch": Lines(POWER, "_mw", "battery", "batteries", "Battery dispatch"),
        "reactive-power": Lines(REACTIVE, "_q_mvar", "battery", "batteries", "Battery reactive power"),
    }
    table_families: ClassVar = (
        (SOC, ""),
        (POWER, "_mw"),
        ("battery_before_bus_", "_mwh"),
        (REACTIVE, "_q_mvar"),
        ("battery_soc_fraction_bus_", ""),
    )

    bus: BusLabel
    """Where it stands, by the feeder's own number; a bus of some territory. At most one of a kind at a bus."""
    capacity_mwh: float
    """Energy that it holds when full. Allowed: above 0."""
    power_mw: float
    """Largest power, charging and discharging. Allowed: above 0."""
    soc_min: float = 0.2
    """Lower end of the window that its charge stays in. Unit: of the capacity. Allowed: 0 .. soc_max."""
    soc_max: float = 0.9
    """Upper end of that window. Unit: of the capacity. Allowed: soc_min .. 1."""
    soc_initial: float = 0.5
    """Charge with which a first day begins. Unit: of the capacity. Allowed: soc_min .. soc_max."""
    charge_efficiency: float = 1.0
    """What is stored of the energy drawn from the grid, one way. Unit: share. Allowed: above 0 .. 1."""
    discharge_efficiency: float = 1.0
    """What reaches the grid of the energy taken out, one way. Unit: share. Allowed: above 0 .. 1."""
    ramp_mw: float | None = None
    """Largest change of its power from one step to the next; rating and window win over it. None: no limit.
    Allowed: above 0."""
    s_mva: float | None = None
    """Rating of a four-quadrant inverter, which adds a reactive action inside the circle. None: no reactive power.
    Allowed: at least power_mw."""
    throughput_cost: float = 0.0
    """Cost of the energy through its terminals, either way. Unit: 1/MWh. Allowed: at least 0."""
    name: str = ""
    """Your name of it; two devices must not share one. Without one it is called after its kind and bus. Allowed:
    letters, digits, _ and -."""
    phases: tuple[int, ...] = ()
    """At which of its bus's phases it stands, each with an equal share of its power; for feeders with phases. Empty:
    all that the bus has. Unit: numbers of phases. Allowed: 1, 2, 3, each once."""

    def __post_init__(self) -> None:
        device = f"battery at bus {self.bus}"
        check_above_zero(device, capacity_mwh=self.capacity_mwh, power_mw=self.power_mw)
        if not 0 <= self.soc_min < self.soc_max <= 1:
            raise refuse(device, "satisfy 0 <= soc_min < soc_max <= 1", soc_min=self.soc_min, soc_max=self.soc_max)
        if not self.soc_min <= self.soc_initial <= self.soc_max:
            allowed = f"lie in soc_min..soc_max = {self.soc_min}..{self.soc_max}"
            raise refuse(device, allowed, soc_initial=self.soc_initial)
        for name in ("charge_efficiency", "discharge_efficiency"):
            if not 0 < getattr(self, name) <= 1:
                raise refuse(device, "lie above 0 and at most at 1 (one way)", **{name: getattr(self, name)})
        if self.ramp_mw is not None:
            check_above_zero(device, ramp_mw=self.ramp_mw)
        if self.s_mva is not None and not self.power_mw <= self.s_mva < math.inf:
            allowed = f"be at least power_mw = {self.power_mw} and finite; leave it out for no reactive power"
            raise refuse(device, allowed, s_mva=self.s_mva)
        check_not_negative(device, throughput_cost=self.throughput_cost)
        check_name(device, self.name)
        check_phases(device, self.phases)

    def look(self, recorded: Mapping[str, float]) -> Look:
        """Return its state of charge and its power."""
        soc, p_mw = recorded["battery_soc"], recorded["battery_p_mw"]
        return Look(soc, ((soc, "of capacity"), (p_mw, "MW")))

    def bounds(self, p_mw: np.ndarray) -> dict[str, tuple[Bound, Bound]]:
        """Return its rating, its window and, with reactive power, what its circle leaves."""
        window = self.soc_min * self.capacity_mwh, self.soc_max * self.capacity_mwh
        circle = {} if self.s_mva is None else {"Mvar": circle_bounds(self.s_mva, p_mw)}
        return {"MW": (-self.power_mw, self.power_mw), "MWh": window} | circle

    @staticmethod
    def operated(devices: Sequence[Battery], recorded: Mapping[str, np.ndarray]) -> Operated:
        """Return energies stored and delivered, and the energy between the limits."""
        capacity_mwh = np.array([battery.capacity_mwh for battery in devices])
        return Operated(
            discharged_mw=np.clip(recorded["battery_p_mw"], 0.0, None),
            usable_mwh=np.array([each.capacity_mwh * (each.soc_max - each.soc_min) for each in devices]),
            stored_mwh=recorded["battery_soc"] * capacity_mwh,
            stored_before_mwh=recorded["battery_soc_before"] * capacity_mwh,
        )

    @staticmethod
    def stack(devices: Sequence[Battery]) -> BatteryParams:
        """Parameters as new arrays."""
        return stacked(BatteryParams, devices, absent={"ramp_mw": math.inf, "s_mva": 0.0}, q_first=False)

    @staticmethod
    def step(
        params: BatteryParams, requests: Mapping[str, Array], store: BatteryStore, around: Surroundings
    ) -> Delivery:
        """Deliver the requests."""
        asked_mw = requests["battery_p"] * params.power_mw
        p_mw, soc = deliver_battery_power(
            asked_mw,
            store.soc,
            capacity_mwh=params.capacity_mwh,
            power_mw=params.power_mw,
            soc_min=params.soc_min,
            soc_max=params.soc_max,
            step_hours=around.step_hours,
            charge_efficiency=params.charge_efficiency,
            discharge_efficiency=params.discharge_efficiency,
            previous_p_mw=store.p_mw,
            ramp_mw=params.ramp_mw,
            available=around.in_service,
        )
        q_mvar = None
        if "battery_q" in requests:
            q_mvar = deliver_battery_q(requests["battery_q"], p_mw, s_mva=params.s_mva, available=around.in_service)
        clipped = jnp.where(around.in_service, jnp.abs(asked_mw - p_mw), 0.0) / params.power_mw
        recorded = {"battery_p_mw": p_mw, "battery_q_mvar": jnp.zeros_like(p_mw) if q_mvar is None else q_mvar}
        return Delivery(p_mw, q_mvar, BatteryStore(soc, p_mw), clipped, recorded)

    @staticmethod
    def first(params: BatteryParams) -> BatteryStore:
        """Return the initial charge, at rest."""
        return _resting(jnp.asarray(params.soc_initial, float))

    @staticmethod
    def random(key: Array, params: BatteryParams) -> BatteryStore:
        """Draw a charge uniform in the window, at rest."""
        low, span = _one_if_alike(params.soc_min), _one_if_alike(params.soc_max - params.soc_min)
        return _resting(jnp.asarray(low + span * jax.random.uniform(key, params.soc_min.shape)))

    @staticmethod
    def middle(params: BatteryParams) -> BatteryStore:
        """Return the middle of the window, at rest."""
        return _resting(jnp.asarray((params.soc_min + params.soc_max) / 2.0))

    @staticmethod
    def at_rest(store: BatteryStore) -> BatteryStore:
        """Keep the charge and forget the power, which ramps would start from."""
        return _resting(store.soc)

    @staticmethod
    def kept(store: BatteryStore) -> dict[str, Array]:
        """Record the state of charge."""
        return {"battery_soc": store.soc}

    @staticmethod
    def observe(params: BatteryParams, store: BatteryStore) -> tuple[Array, ...]:
        """See the state of charge; rounding may leave an empty battery a hair below 0."""
        return (jnp.clip(store.soc, 0.0, 1.0),)

    @staticmethod
    def step_columns(
        devices: Sequence[Battery], recorded: Mapping[str, np.ndarray], load_p_mw: np.ndarray
    ) -> StepColumns:
        """Columns of the step table: energies in MWh, powers, and what options add."""
        capacity_mwh = np.array([battery.capacity_mwh for battery in devices], float)
        main = by_bus(SOC + "{}", devices, recorded["battery_soc"] * capacity_mwh)
        main |= by_bus(POWER + "{}_mw", devices, recorded["battery_p_mw"])
        further = by_bus("battery_soc_fraction_bus_{}", devices, recorded["battery_soc"])
        for index, battery in enumerate(devices):
            if battery.charge_efficiency < 1 or battery.discharge_efficiency < 1:
                before_mwh = recorded["battery_soc_before"][:, index] * battery.capacity_mwh
                further[f"battery_before_bus_{battery.bus}_mwh"] = before_mwh
            if battery.s_mva is not None:
                further[f"{REACTIVE}{battery.bus}_q_mvar"] = recorded["battery_q_mvar"][:, index]
        return StepColumns(main, further)

    @staticmethod
    def day_columns(steps: pd.DataFrame) -> dict[str, pd.Series[float]]:
        """Energies in MWh as a day begins and ends."""
        by, columns = ["run", "day"], {}
        for soc in [name for name in steps.columns if name.startswith(SOC)]:
            bus = soc.removeprefix(SOC)
            before_mwh = steps[soc] + steps[f"{POWER}{bus}_mw"] * steps["step_hours"]  # lossless
            before_mwh = steps.get(f"battery_before_bus_{bus}_mwh", before_mwh)
            by_day = before_mwh.groupby([steps[name] for name in by], sort=False)
            columns[f"battery_soc_start_bus_{bus}_mwh"] = by_day.first()
            columns[f"battery_soc_end_bus_{bus}_mwh"] = steps.groupby(by, sort=False)[soc].last()
        return columns

    @staticmethod
    def missing_column(columns: Sequence[str]) -> tuple[str, str] | None:
        """Return the column of a power that is missing where its energy is there, and the latter."""
        powers = [(f"{POWER}{soc.removeprefix(SOC)}_mw", soc) for soc in columns if soc.startswith(SOC)]
        return next(((power, soc) for power, soc in powers if power not in columns), None)


def _one_if_alike(values: np.ndarray) -> np.ndarray | np.floating:
    """Return the value of equal ones: a draw is a branch, and an accelerator fills arrays that go into it anew."""
    return values[0] if isinstance(values, np.ndarray) and len(set(values)) == 1 else values


def _resting(soc: Array) -> BatteryStore:
    return BatteryStore(soc, jnp.zeros_like(soc))
