"""Charging sessions of a file, a row each: at which charger, from when to when, how much is wanted, how fast at most.

In a step that a vehicle is there for a share of, it may draw that share of its power. A step has one vehicle: in which
one leaves, the next is there from the step after it on. A session over midnight is played as one a day, with the day's
share of its energy by time, so that every day can be played by itself. Times are counted by the clock by which the
series' days are.
"""

from __future__ import annotations

import datetime as dt
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError, shown, unknown_name
from neomflex_jax.files.tables import numbers, read_table
from neomflex_jax.files.wide_tables import check_columns, read_header
from neomflex_jax.loose_types import BusLabel
from neomflex_jax.profiles.config import SeriesConfig
from neomflex_jax.profiles.own_clock import parsed_times, winter_minutes
from neomflex_jax.profiles.table_files import is_ignored

COLUMNS = ("charger", "arrival", "departure", "energy_kwh", "power_kw")
ROUNDING_STEPS = 1e-6  # times are sums of floats
HourSession = tuple[float, float, float, float]  # hours of arrival and departure, MWh wanted, MW at most


@dataclass(frozen=True)
class SessionDevice:
    """A device at which vehicles charge."""

    index: int  # its row in the table
    name: str  # its label
    bus: BusLabel
    title: str  # what a message calls it
    efficiency: float
    largest_mwh: float  # of a session
    every_day: tuple[HourSession, ...]  # its sessions, if they are the same every day
    charger: str = ""  # whose sessions of the file are its own, empty if they are the same every day


@dataclass(frozen=True)
class Days:
    """The days of a series."""

    first: dt.date
    n_days: int
    steps_per_day: int
    step_hours: float

    @property
    def step_minutes(self) -> float:
        """Length of a step."""
        return 60.0 * self.step_hours


@dataclass(frozen=True)
class _Session:
    """A session, in minutes from the first day's midnight on."""

    line: int
    arrival: float
    departure: float
    energy_mwh: float
    power_mw: float


def read_sessions(path: Path, devices: Sequence[SessionDevice], days: Days, config: SeriesConfig) -> np.ndarray:
    """Read the sessions of devices.

    Returns
    -------
    sessions
        (n_rows, 3, n_device) for every step of the days: MWh wanted by a vehicle that comes in it, MW that the vehicle
        there may draw as the step's mean, and 1 where it leaves in it; 0 otherwise.

    Raises
    ------
    InputError
        On a column or charger that is missing, a charger that nobody uses, a cell that is no time or no number, a
        session that ends before it begins, overlaps another, wants more than its power gives in its time or than the
        charger's largest; or a file without a session in the days.
    """
    by_charger = _read(path, config.timezone, days)
    ids = {device.charger for device in devices if device.charger}
    for device in devices:
        if device.charger and device.charger not in by_charger:
            error = unknown_name("charger", device.charger, by_charger, listed_by="its column 'charger'")
            raise InputError(f"{path}: {device.title}: {error}")
        for session in by_charger.get(device.charger, ()):
            _check_energy(path, device, session)
    for charger, sessions in by_charger.items():
        if charger not in ids and not is_ignored(config, charger):
            advice = f"map a device to it, or say [profiles] ignore = [{charger!r}]"
            raise InputError(f"{path}: line {sessions[0].line}: nobody uses charger {shown(charger)}; {advice}")
    _tell_left_out(path, [by_charger[name] for name in sorted(ids)], days)
    values = np.zeros((days.n_days * days.steps_per_day, 3, len(devices)))
    for number, device in enumerate(devices):
        of_device = by_charger[device.charger] if device.charger else _of_every_day(device.every_day, days.n_days)
        for stay in _stays(of_device, days):
            _lay_out(values[:, :, number], stay, days)
    return values


def _read(path: Path, timezone: str, days: Days) -> Mapping[str, list[_Session]]:
    """Return the sessions of each charger, in the order of their arrivals."""
    check_columns(path, read_header(path), COLUMNS)
    table = read_table(path, COLUMNS, others=False)
    arrival, departure = (_minutes(path, table, name, timezone, days) for name in ("arrival", "departure"))
    energy_mwh, power_mw = (numbers(path, table, name) / 1000.0 for name in ("energy_kwh", "power_kw"))
    found: dict[str, list[_Session]] = {}
    for row, charger in enumerate(table["charger"].str.strip()):
        session = _Session(table.index[row], arrival[row], departure[row], energy_mwh[row], power_mw[row])
        _check(path, charger, session)
        found.setdefault(charger, []).append(session)
    for charger, sessions in found.items():
        sessions.sort(key=lambda session: session.arrival)
        for one, other in pairwise(sessions):
            if other.arrival < one.departure:
                why = (
                    f"arrives at charger {shown(charger)} before line {one.line} departs; one vehicle charges at a time"
                )
                raise InputError(f"{path}: line {other.line}: {why}")
    return found


def _minutes(path: Path, table: pd.DataFrame, column: str, timezone: str, days: Days) -> np.ndarray:
    """Return the times of a column (n_rows,) in minutes from the first day's midnight on."""
    texts = tuple(table[column])
    times = parsed_times(texts)
    for row in np.flatnonzero(times.isna())[:1]:
        where = f"{path}: line {table.index[row]}, column {shown(column)}"
        raise InputError(f"{where}: {shown(texts[row])} is no date and time")
    if times.tz is not None and not timezone:
        advice = "[profiles] timezone = 'Europe/Berlin' (yours) says by whose clock days are counted"
        raise InputError(f"{path}: column {shown(column)} states its distance from UTC; {advice}")
    if timezone:
        if times.tz is None:  # an hour that the clock shows twice is taken for the first
            local = times.tz_localize(timezone, ambiguous=np.ones(len(times), bool), nonexistent="NaT")
            for row in np.flatnonzero(local.isna())[:1]:
                where = f"{path}: line {table.index[row]}, column {shown(column)}"
                raise InputError(
                    f"{where}: {shown(texts[row])} does not exist in {timezone}, whose clocks go forward then"
                )
            times = local
        if len(times):
            winter = pd.Timedelta(minutes=winter_minutes(timezone, times))
            times = times.tz_convert("UTC").tz_localize(None) + winter
    return np.asarray((times - pd.Timestamp(days.first)) / pd.Timedelta(minutes=1), float)


def _check(path: Path, charger: str, session: _Session) -> None:
    where = f"{path}: line {session.line}"
    if not charger:
        raise InputError(f"{where}, column 'charger': is empty; name the charger")
    if session.departure <= session.arrival:
        raise InputError(f"{where}: departs at or before its arrival; give departure after arrival")
    for name, value in (("energy_kwh", session.energy_mwh), ("power_kw", session.power_mw)):
        if value <= 0:
            raise InputError(
                f"{where}, column {name!r}: {1000.0 * value:g} must be above 0; leave out who does not charge"
            )


def _check_energy(path: Path, device: SessionDevice, session: _Session) -> None:
    wanted_kwh, hours = 1000.0 * session.energy_mwh, (session.departure - session.arrival) / 60.0
    most_kwh = 1000.0 * device.efficiency * session.power_mw * hours
    where = f"{path}: line {session.line}: wants {wanted_kwh:g} kWh"
    if wanted_kwh > most_kwh * (1 + 1e-9):
        what = f"{1000.0 * session.power_mw:g} kW give {most_kwh:.4g} kWh at most in its {hours:.4g} hours"
        raise InputError(f"{where}, and {what} at {device.title}; correct one of them")
    if session.energy_mwh > device.largest_mwh * (1 + 1e-9):
        raise InputError(f"{where}, and largest_mwh of {device.title} is {device.largest_mwh:g} MWh; raise it")


def _tell_left_out(path: Path, by_charger: Sequence[Sequence[_Session]], days: Days) -> None:
    """Warn of sessions outside of the days and of those without a step; refuse a file without any inside."""
    sessions, ends = [session for each in by_charger for session in each], days.n_days * 1440.0
    inside = [one for one in sessions if one.departure > 0 and one.arrival < ends]
    span = f"{days.first}..{days.first + dt.timedelta(days=days.n_days - 1)}"
    if not inside:
        raise InputError(f"{path}: no session is in the days of the series, {span}; give sessions of these days")
    if n_outside := len(sessions) - len(inside):
        warnings.warn(f"{path}: {n_outside} of {len(sessions)} sessions are outside of the days, {span}", stacklevel=6)
    if n_none := len(sessions) - sum(len(_stays(each, days)) for each in by_charger):
        why = f"begin and end in a step of {days.step_minutes:g} minutes in which another leaves, and are not played"
        warnings.warn(f"{path}: {n_none} of {len(sessions)} sessions {why}", stacklevel=6)


def _of_every_day(sessions: Sequence[HourSession], n_days: int) -> list[_Session]:
    return [
        _Session(0, 1440.0 * day + 60.0 * arrival, 1440.0 * day + 60.0 * departure, energy_mwh, power_mw)
        for day in range(n_days)
        for arrival, departure, energy_mwh, power_mw in sessions
    ]


@dataclass(frozen=True)
class _Stay:
    """A session that has steps; times in steps from the first day's midnight on."""

    begins: float
    ends: float
    energy_mwh: float
    power_mw: float


def _stays(sessions: Sequence[_Session], days: Days) -> list[_Stay]:
    """Return the stays of a charger's sessions, which are in order."""
    found: list[_Stay] = []
    free = -math.inf  # from the end on of the step in which the one before leaves
    for session in sessions:
        begins, ends = (_rounded(time / days.step_minutes) for time in (session.arrival, session.departure))
        begins, free = max(begins, free), math.ceil(ends)
        if begins < ends:
            found.append(_Stay(begins, ends, session.energy_mwh, session.power_mw))
    return found


def _rounded(step: float) -> float:
    nearest = round(step)
    return nearest if abs(step - nearest) < ROUNDING_STEPS else step


def _lay_out(values: np.ndarray, stay: _Stay, days: Days) -> None:
    """Add a stay to a device's values (n_rows, 3), as `read_sessions` returns them."""
    first, end, each = math.floor(stay.begins), math.ceil(stay.ends), days.steps_per_day
    for day in range(max(first // each, 0), min(-(-end // each), days.n_days)):
        rows = np.arange(max(first, day * each), min(end, (day + 1) * each))
        share = np.minimum(stay.ends, rows + 1) - np.maximum(stay.begins, rows)
        values[rows[0], 0] = stay.energy_mwh * share.sum() / (stay.ends - stay.begins)
        values[rows, 1] = stay.power_mw * share
        values[rows[-1], 2] = 1.0
