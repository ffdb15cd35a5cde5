"""A charging point for electric vehicles, whose charging may be held back: the same sessions every day, or a file's.

While a vehicle is there, ``p = -(1 - b) min(limit, wanted / (eta h))`` and ``wanted' = wanted + eta p h``, with ``p``
in MW **positive into the grid**, so never above 0, the share ``b`` in 0..1 held back, ``h`` the step in hours, ``eta``
the efficiency of charging and ``wanted`` in MWh what the battery still lacks; ``q = p tan(acos(power_factor))``. What
it lacks when it leaves is *unmet* and costs. Uncontrolled, vehicles charge as fast as they can from their arrival on.

Where a vehicle comes or leaves within a step, it is there for a share of it: ``limit = power x share`` is the mean over
the step, so that a session can be given its power times its hours. A step has one vehicle: in which one leaves, the
next is there from the step after it on. A file's sessions (`profiles/sessions.py`) end at midnight at the latest: what
goes on is a session of the next day.

The model is the usual one of smart charging, for example J. Hu et al., "Electric vehicle fleet management in smart
grids: a review", Renewable and Sustainable Energy Reviews 56, 2016. Neglected: charging that slows down as a battery
fills, feeding back into the grid, and chance in who comes when.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.devices.checks import check_above_zero, check_name, check_not_negative, check_phases, refuse
from neomflex_jax.devices.device import (
    Control,
    CostTerm,
    Delivery,
    Device,
    Observable,
    Recorded,
    Sessions,
    StepColumns,
    Surroundings,
    Turn,
)
from neomflex_jax.devices.options import by_bus, is_off
from neomflex_jax.loose_types import BusLabel

ROUNDING_MINUTES = 1e-3  # times of a day are floats of some 1e-4 minutes


class EvParams(NamedTuple):
    """Sessions as arrays (n_charger, n_session), padded with sessions at no time; the rest (n_charger,)."""

    before_minute: np.ndarray  # when the vehicle before leaves; minus infinity before the first
    arrival_minute: np.ndarray  # whole minutes are exact, as hours are not
    departure_minute: np.ndarray
    energy_mwh: np.ndarray
    power_mw: np.ndarray
    largest_mwh: np.ndarray  # (n_charger,) of the energies
    efficiency: np.ndarray
    unmet_cost: np.ndarray
    q_per_p: np.ndarray


class Present(NamedTuple):
    """Who is there in a step, (n_charger,) each."""

    comes: Array  # bool
    energy_mwh: Array  # wanted by who comes
    there: Array  # bool
    power_mw: Array  # most that may be drawn, as the step's mean
    leaves: Array  # bool, at the step's end


class EvStore(NamedTuple):
    """What chargers carry from step to step, (n_charger,)."""

    wanted_mwh: Array  # by the vehicle that is there


def _of_every_day(params: EvParams, around: Surroundings) -> Present:
    length = 60.0 * around.step_hours
    begin = (around.step * length) % 1440.0
    free = jnp.ceil((params.before_minute - ROUNDING_MINUTES) / length) * length  # from the end of that step on
    arrival = jnp.maximum(params.arrival_minute, free)
    missed = jnp.maximum(arrival - begin, 0.0) + jnp.maximum(begin + length - params.departure_minute, 0.0)
    missed = jnp.where(missed < ROUNDING_MINUTES, 0.0, missed)
    there = missed < length - ROUNDING_MINUTES
    share = jnp.where(there, 1.0 - missed / length, 0.0)
    comes = there & (arrival > begin - ROUNDING_MINUTES)
    leaves = jnp.any(there & (params.departure_minute < begin + length + ROUNDING_MINUTES), axis=1)
    energy_mwh, power_mw = jnp.sum(comes * params.energy_mwh, axis=1), jnp.sum(share * params.power_mw, axis=1)
    return Present(jnp.any(comes, axis=1), energy_mwh, jnp.any(there, axis=1), power_mw, leaves)


def _of_file(sessions: Sessions) -> Present:
    comes, there, leaves = sessions.energy_mwh > 0, sessions.power_mw > 0, sessions.ends > 0
    return Present(comes, sessions.energy_mwh, there, sessions.power_mw, leaves)


def _unmet(params: EvParams, delivered: Delivery, weight: float, step_hours: float) -> Array:
    return jnp.asarray(params.unmet_cost) * delivered.recorded["ev_unmet_mwh"]


@dataclass(frozen=True)
class EvCharger(Device):
    """One charging point: its bus (by label) and its sessions."""

    table: ClassVar = "ev_chargers"
    noun: ClassVar = "EV charger"
    prefix: ClassVar = "ev"
    turn: ClassVar = Turn.STORAGE
    controls: ClassVar = (
        Control("ev_delay", "below 0: minus the share of charging that is held back; 0 and above: none", lasting=True),
    )
    recorded: ClassVar = (
        Recorded("ev_p_mw", "MW", "power into the grid, so minus what is charged"),
        Recorded("ev_q_mvar", "Mvar", "reactive power into the grid"),
        Recorded("ev_unmet_mwh", "MWh", "what a vehicle that leaves in this step still wanted"),
        Recorded("ev_wanted_mwh", "MWh", "wanted after the step", before="ev_wanted_before_mwh"),
    )
    observables: ClassVar = (Observable("wanted at {}", "of the largest session", 0.0, 1.0),)
    costs: ClassVar = (CostTerm("unmet_energy", _unmet, priced=lambda charger: charger.unmet_cost > 0),)
    unstated: ClassVar = {"largest_mwh": 0.0, "phases": ()}
    table_families: ClassVar = (("ev_bus_", "_p_mw"), ("ev_bus_", "_unmet_mwh"), ("ev_bus_", "_wanted_mwh"))

    bus: BusLabel
    """Where it stands, by the feeder's own number; a bus of some territory. At most one of a kind at a bus."""
    sessions: tuple[tuple[float, float, float, float], ...] = ()
    """Sessions of every day in order, [arrival_hour, departure_hour, energy_mwh, power_mw] each, hours in 0..24.
    Empty: those of a file. Unit: h, h, MWh, MW."""
    efficiency: float = 1.0
    """What is stored of the energy drawn from the grid. Unit: share. Allowed: above 0 .. 1."""
    power_factor: float = 1.0
    """Of what it draws, inductive. Unit: share. Allowed: above 0 .. 1."""
    unmet_cost: float = 1000.0
    """Cost of the energy that a vehicle leaves without. Unit: 1/MWh. Allowed: at least 0."""
    largest_mwh: float = 0.0
    """Energy of a file's session that its agent sees as 1, and the most that one may want. 0: sessions are listed.
    Allowed: at least 0."""
    name: str = ""
    """Your name of it; two devices must not share one. Without one it is called after its kind and bus. Allowed:
    letters, digits, _ and -."""
    phases: tuple[int, ...] = ()
    """At which of its bus's phases it stands, each with an equal share of its power; for feeders with phases. Empty:
    all that the bus has. Unit: numbers of phases. Allowed: 1, 2, 3, each once."""

    def __post_init__(self) -> None:
        device = f"EV charger at bus {self.bus}"
        check_not_negative(device, largest_mwh=self.largest_mwh)
        if not self.sessions and not self.largest_mwh:
            listed = "list at least one [arrival_hour, departure_hour, energy_mwh, power_mw]"
            raise refuse(device, f"{listed}, or have largest_mwh and a file: [profiles] sessions_file", sessions=())
        if self.sessions and self.largest_mwh:
            allowed = "be left out where it lists sessions: it is of those of a file"
            raise refuse(device, allowed, largest_mwh=self.largest_mwh)
        free_from = 0.0
        for arrival, departure, energy_mwh, power_mw in self.sessions:
            if not free_from <= arrival < departure <= 24:
                allowed = "list sessions in order that do not overlap, hours of arrival and departure in 0..24"
                raise refuse(device, allowed, sessions=self.sessions)
            check_above_zero(device, energy_mwh=energy_mwh, power_mw=power_mw)
            free_from = departure
        for name in ("efficiency", "power_factor"):
            if not 0 < getattr(self, name) <= 1:
                raise refuse(device, "lie above 0 and at most at 1", **{name: getattr(self, name)})
        check_not_negative(device, unmet_cost=self.unmet_cost)
        check_name(device, self.name)
        check_phases(device, self.phases)

    @staticmethod
    def stack(devices: Sequence[EvCharger]) -> EvParams:
        """Parameters as new arrays."""
        longest = max((len(charger.sessions) for charger in devices), default=0)
        sessions = np.full((len(devices), longest, 4), [math.inf, -math.inf, 0.0, 0.0])
        for number, charger in enumerate(devices):
            sessions[number, : len(charger.sessions)] = np.reshape(charger.sessions, (-1, 4))
        arrival, departure, energy_mwh, power_mw = (sessions[:, :, column].copy() for column in range(4))
        before = np.concatenate([np.full((len(devices), 1), -math.inf), departure], axis=1)[:, :longest]
        return EvParams(
            60.0 * before,
            60.0 * arrival,
            60.0 * departure,
            energy_mwh,
            power_mw,
            largest_mwh=np.maximum(sessions[:, :, 2].max(axis=1, initial=0.0), [each.largest_mwh for each in devices]),
            efficiency=np.array([charger.efficiency for charger in devices], float),
            unmet_cost=np.array([charger.unmet_cost for charger in devices], float),
            q_per_p=np.array([math.tan(math.acos(charger.power_factor)) for charger in devices], float),
        )

    @staticmethod
    def step(params: EvParams, requests: Mapping[str, Array], store: EvStore, around: Surroundings) -> Delivery:
        """Charge the vehicles that are there."""
        now = _of_every_day(params, around) if around.sessions is None else _of_file(around.sessions)
        hours = around.step_hours
        wanted_mwh = jnp.where(now.comes, now.energy_mwh, store.wanted_mwh)
        wanted_mwh = jnp.where(now.there, wanted_mwh, 0.0)
        most_mw = jnp.minimum(now.power_mw, wanted_mwh / (params.efficiency * hours))
        most_mw = jnp.where(around.in_service, most_mw, 0.0)
        charged_mw = (1.0 - jnp.maximum(-requests["ev_delay"], 0.0)) * most_mw
        lacking_mwh = jnp.maximum(wanted_mwh - params.efficiency * charged_mw * hours, 0.0)
        unmet_mwh = jnp.where(now.leaves, lacking_mwh, 0.0)
        after = EvStore(jnp.where(now.leaves, 0.0, lacking_mwh))
        nothing = jnp.zeros_like(charged_mw)
        q_mvar = None if is_off(params.q_per_p, 0.0, charged_mw) else -charged_mw * params.q_per_p
        recorded = {"ev_p_mw": -charged_mw, "ev_q_mvar": nothing if q_mvar is None else q_mvar}
        return Delivery(-charged_mw, q_mvar, after, nothing, recorded | {"ev_unmet_mwh": unmet_mwh})

    @staticmethod
    def first(params: EvParams) -> EvStore:
        """Nobody is there at midnight."""
        return EvStore(jnp.zeros(params.efficiency.shape))

    @staticmethod
    def random(key: Array, params: EvParams) -> EvStore:
        """Nobody is there at midnight, whatever the day."""
        return EvCharger.first(params)

    @staticmethod
    def middle(params: EvParams) -> EvStore:
        """Half of the largest session."""
        return EvStore(jnp.asarray(params.largest_mwh / 2.0))

    @staticmethod
    def kept(store: EvStore) -> dict[str, Array]:
        """Record what is wanted."""
        return {"ev_wanted_mwh": store.wanted_mwh}

    @staticmethod
    def observe(params: EvParams, store: EvStore) -> tuple[Array, ...]:
        """See what is wanted, as a share of the largest session."""
        return (store.wanted_mwh / params.largest_mwh,)

    @staticmethod
    def step_columns(
        devices: Sequence[EvCharger], recorded: Mapping[str, np.ndarray], load_p_mw: np.ndarray
    ) -> StepColumns:
        """Columns of the step table."""
        columns = by_bus("ev_bus_{}_p_mw", devices, recorded["ev_p_mw"])
        columns |= by_bus("ev_bus_{}_wanted_mwh", devices, recorded["ev_wanted_mwh"])
        return StepColumns({}, columns | by_bus("ev_bus_{}_unmet_mwh", devices, recorded["ev_unmet_mwh"]))
