"""A PV inverter: active power follows the sun, both powers stay inside the apparent-power circle.

``p = min(w, s)``, ``q = a sqrt(s^2 - p^2)`` where active power has priority; ``q = a s``, ``p = min(w, sqrt(s^2 -
q^2))`` where reactive power has it; for a request ``a`` in -1..1, in MW / Mvar **positive into the grid** (positive q
raises the voltage). The wanted power is ``w = min((1 - c) solar p_max, limit)`` with ``solar`` per unit of ``p_max``,
the curtailed share ``c`` in 0..1 and what an export limit leaves, ``max(0, export limit + load - battery)`` at that
bus. An inverter with ``s > p_max`` is oversized: it has reactive power left in full sun.

The circle is that of K. Turitsyn, P. Sulc, S. Backhaus and M. Chertkov, "Options for control of reactive power by
distributed photovoltaic generators", Proceedings of the IEEE 99(6), 2011; the priorities are what grid codes call
watt and var priority. Neglected: the inverter's losses, limits of its power factor, and its limit being one of current
(less power at low voltage).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from neomflex_jax.devices.checks import check_above_zero, check_name, check_not_negative, check_phases, refuse
from neomflex_jax.devices.device import (
    Control,
    CostTerm,
    Delivery,
    Device,
    Recorded,
    StepColumns,
    Surroundings,
    Turn,
)
from neomflex_jax.devices.figures import Bound, Lines, Look, Operated, Symbol, circle_bounds
from neomflex_jax.devices.options import by_bus, is_off, magnitude, room_in_circle, stacked
from neomflex_jax.devices.planning import ReactivePower
from neomflex_jax.loose_types import BusLabel


class PvParams(NamedTuple):
    """Fields of `PvInverter` as arrays (n_pv,)."""

    p_max_mw: np.ndarray
    s_mva: np.ndarray
    export_limit_mw: np.ndarray  # infinite: no limit
    q_first: np.ndarray  # bool: reactive power has priority


def _reactive(params: PvParams, delivered: Delivery, weight: float, step_hours: float) -> Array:
    return magnitude(delivered.recorded["pv_q_mvar"])


def _unused(params: PvParams, delivered: Delivery, weight: float, step_hours: float) -> Array:
    return delivered.recorded["pv_available_mw"] - delivered.p_mw


@dataclass(frozen=True)
class PvInverter(Device):
    """One inverter: its bus (by label), ratings and what may be asked of it."""

    table: ClassVar = "pv_inverters"
    noun: ClassVar = "PV inverter"
    prefix: ClassVar = "pv"
    turn: ClassVar = Turn.GENERATION
    controls: ClassVar = (
        Control("pv_q", "share of the reactive power that the circle leaves, positive into the grid"),
        Control(
            "pv_curtailment",
            "below 0: minus the share of the available power that is not fed in; 0 and above: none",
            option=lambda inverter: inverter.curtailable,
        ),
    )
    recorded: ClassVar = (
        Recorded("pv_p_mw", "MW", "power into the grid"),
        Recorded("pv_q_mvar", "Mvar", "reactive power into the grid"),
        Recorded("pv_available_mw", "MW", "power before any curtailment"),
    )
    costs: ClassVar = (CostTerm("reactive", _reactive), CostTerm("curtailment", _unused))
    reactive: ClassVar = ReactivePower("pv_q", generates=True)
    symbol: ClassVar = Symbol("PV, filled by power", "sun", marker="*", colour="#E69F00", fill="#E69F00")
    drawn: ClassVar = {"reactive-power": Lines("pv_bus_", "_q_mvar", "PV", "PV inverters", "PV reactive power")}
    table_families: ClassVar = (("pv_bus_", "_p_mw"), ("pv_bus_", "_q_mvar"), ("pv_bus_", "_curtailed_mw"))

    bus: BusLabel
    """Where it stands, by the feeder's own number; a bus of some territory. At most one of a kind at a bus."""
    p_max_mw: float
    """Power under full sun: what Solar is multiplied with. Allowed: above 0."""
    s_mva: float
    """Rating of the inverter, the circle of p and q; above p_max_mw it is oversized. Allowed: above 0."""
    curtailable: bool = False
    """Whether an action may feed in less than the sun offers."""
    priority: str = "p"
    """Which power is kept where the circle has no room for both. Allowed: "p", "q"."""
    export_limit_mw: float | None = None
    """Largest net export of its bus, after load and battery; the inverter gives way. None: no limit. Allowed: at
    least 0."""
    name: str = ""
    """Your name of it; two devices must not share one. Without one it is called after its kind and bus. Allowed:
    letters, digits, _ and -."""
    phases: tuple[int, ...] = ()
    """At which of its bus's phases it stands, each with an equal share of its power; for feeders with phases. Empty:
    all that the bus has. Unit: numbers of phases. Allowed: 1, 2, 3, each once."""

    def __post_init__(self) -> None:
        device = f"PV inverter at bus {self.bus}"
        check_above_zero(device, p_max_mw=self.p_max_mw, s_mva=self.s_mva)
        if not isinstance(self.curtailable, bool):
            raise refuse(device, "be True or False", curtailable=self.curtailable)
        if self.priority not in ("p", "q"):
            raise refuse(device, "be 'p' or 'q'", priority=self.priority)
        if self.export_limit_mw is not None:
            check_not_negative(device, export_limit_mw=self.export_limit_mw)
        check_name(device, self.name)
        check_phases(device, self.phases)

    def look(self, recorded: Mapping[str, float]) -> Look:
        """Return its active and reactive power, filled by the share of the rating."""
        p_mw = recorded["pv_p_mw"]
        return Look(p_mw / self.p_max_mw, ((p_mw, "MW"), (recorded["pv_q_mvar"], "Mvar")))

    def bounds(self, p_mw: np.ndarray) -> dict[str, tuple[Bound, Bound]]:
        """Return what the sun can give at most, and what the circle leaves beside it or, with priority, has."""
        q_mvar = (-self.s_mva, self.s_mva) if self.priority == "q" else circle_bounds(self.s_mva, p_mw)
        return {"MW": (0.0, min(self.p_max_mw, self.s_mva)), "Mvar": q_mvar}

    @staticmethod
    def operated(devices: Sequence[PvInverter], recorded: Mapping[str, np.ndarray]) -> Operated:
        """Return what the sun offered, what of it was fed in, and reactive power."""
        return Operated(
            generated_q_mvar=recorded["pv_q_mvar"],
            offered_mw=recorded["pv_available_mw"],
            fed_in_mw=recorded["pv_p_mw"],
        )

    @staticmethod
    def stack(devices: Sequence[PvInverter]) -> PvParams:
        """Parameters as new arrays."""
        q_first = np.array([inverter.priority == "q" for inverter in devices], bool)
        return stacked(PvParams, devices, absent={"export_limit_mw": math.inf}, q_first=q_first)

    @staticmethod
    def step(params: PvParams, requests: Mapping[str, Array], store: tuple[()], around: Surroundings) -> Delivery:
        """Deliver the requests; an export limit leaves what the load and the storage at the bus do."""
        room_mw: Array | float = math.inf
        if np.isfinite(params.export_limit_mw).any():
            room_mw = export_room_mw(params.export_limit_mw, around.load()[0], around.others_p_mw())
        curtail = jnp.maximum(-requests["pv_curtailment"], 0.0) if "pv_curtailment" in requests else 0.0
        p_mw, q_mvar = deliver_pv_power(
            requests["pv_q"],
            around.solar,
            p_max_mw=params.p_max_mw,
            s_mva=params.s_mva,
            curtail_fraction=curtail,
            q_priority=params.q_first,
            p_limit_mw=room_mw,
            available=around.in_service,
        )
        available_mw = jnp.where(around.in_service, around.solar * jnp.asarray(params.p_max_mw), 0.0)
        clipped = (available_mw * (1.0 - curtail) - p_mw) / params.p_max_mw
        recorded = {"pv_p_mw": p_mw, "pv_q_mvar": q_mvar, "pv_available_mw": available_mw}
        return Delivery(p_mw, q_mvar, store, clipped, recorded)

    @staticmethod
    def step_columns(
        devices: Sequence[PvInverter], recorded: Mapping[str, np.ndarray], load_p_mw: np.ndarray
    ) -> StepColumns:
        """Columns of the step table: both powers, and what is curtailed where anything can be."""
        main = by_bus("pv_bus_{}_p_mw", devices, recorded["pv_p_mw"])
        main |= by_bus("pv_bus_{}_q_mvar", devices, recorded["pv_q_mvar"])
        curtailed_mw = recorded["pv_available_mw"] - recorded["pv_p_mw"]
        further = {
            f"pv_bus_{inverter.bus}_curtailed_mw": curtailed_mw[:, index]
            for index, inverter in enumerate(devices)
            if inverter.curtailable or inverter.priority == "q" or inverter.export_limit_mw is not None
        }
        return StepColumns(main, further)


def deliver_pv_power(
    q_fraction: ArrayLike,
    solar: ArrayLike,
    *,
    p_max_mw: ArrayLike,
    s_mva: ArrayLike,
    curtail_fraction: ArrayLike = 0.0,
    q_priority: ArrayLike = False,
    p_limit_mw: ArrayLike = math.inf,
    available: ArrayLike = True,
) -> tuple[Array, Array]:
    """Active and reactive power for a request in -1..1; elementwise over any shape.

    `curtail_fraction` in 0..1 is the share of the available power solar p_max that is given up, `p_limit_mw` what
    `export_room_mw` leaves. What stays unused, solar p_max - p, is never below 0; it includes what the rating clips. An
    inverter that is not `available` gives neither power.

    Returns
    -------
    p_mw, q_mvar
        Both positive into the grid, with p^2 + q^2 <= s^2.
    """
    wanted = solar * jnp.asarray(p_max_mw)
    if not is_off(curtail_fraction, 0.0, wanted):
        wanted = wanted * (1.0 - jnp.asarray(curtail_fraction))
    if not is_off(p_limit_mw, math.inf, wanted):
        wanted = jnp.minimum(wanted, p_limit_mw)
    if not is_off(available, True, wanted):
        wanted, q_fraction = jnp.where(available, wanted, 0.0), jnp.where(available, q_fraction, 0.0)
    q_fraction = jnp.asarray(q_fraction)
    if is_off(q_priority, False, wanted):
        p_mw = jnp.minimum(wanted, s_mva)
        return p_mw, q_fraction * room_in_circle(s_mva, p_mw)
    p_mw = jnp.minimum(wanted, jnp.where(q_priority, room_in_circle(s_mva, q_fraction * s_mva), s_mva))
    return p_mw, q_fraction * jnp.where(q_priority, s_mva, room_in_circle(s_mva, p_mw))


def export_room_mw(export_limit_mw: ArrayLike, load_p_mw: ArrayLike, battery_p_mw: ArrayLike) -> Array:
    """PV power that may flow at a bus before its net export, PV + battery - load, passes the limit; elementwise.

    Never below 0: a battery that exports more than the limit by itself leaves nothing, and is not held back here.
    """
    return jnp.maximum(jnp.asarray(export_limit_mw) + load_p_mw - jnp.asarray(battery_p_mw), 0.0)
