"""A table's own clock, read: its order, gaps, duplicates, step and zone, and rows of the scenario's step.

Days are counted by a clock that never changes: the zone's winter time, or the times as they are written without a zone.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError, shown, shown_list
from neomflex_jax.files.tables import number_in
from neomflex_jax.files.wide_tables import row_name

DAY_MINUTES = 1440.0
MOST_NAMED = 4
Unit = Literal["s", "ms", "us", "ns"]
EPOCH: dict[float, Unit] = {1e17: "ns", 1e14: "us", 1e11: "ms", 1e8: "s"}  # numbers from here on count since 1970
LATEST = 9e18  # nanoseconds since 1970 that pandas counts
DAY_AND_MONTH = re.compile(r"\s*(\d{1,2})([./-])(\d{1,2})\2")


@dataclass(frozen=True, eq=False)
class OwnClock:
    """Times of a table's rows."""

    path: Path
    column: str
    texts: tuple[str, ...]  # as they are written
    lines: np.ndarray  # (n_rows,)
    minutes: np.ndarray  # (n_rows,) by the clock that days are counted by, from some midnight
    first_day: str = ""  # date of the day that the first row begins, by the same clock
    told: tuple[str, ...] = ()  # what the reader should know, without the path
    is_utc: bool = False  # days are counted in UTC, for the times state several distances from it

    def _at(self, row: int) -> str:
        place = f"{self.path}: {row_name(self.path, self.lines[row])}"
        return f"{place}, time column {self.column!r}: {shown(self.texts[row])}"

    def check_order(self) -> float:
        """Return the minutes between rows, once every row is known to follow the one before by just as many.

        Whole days may be left out between two days.

        Raises
        ------
        InputError
            On a time that goes back, stands twice or leaves a gap, naming its line.
        """
        apart = np.diff(self.minutes)
        if len(apart) == 0:
            raise InputError(f"{self.path}: one row has no step; give at least a day")
        step = float(np.median(apart))
        summer = "; if these are local times with summer time, [profiles] timezone = 'Europe/Berlin' (yours) says so"
        hint = summer if (np.abs(np.abs(apart - step) - 60.0) < 1e-6).any() else ""
        for row in np.flatnonzero(apart < 0)[:1]:
            raise InputError(f"{self._at(row + 1)} goes back; sort the rows by time{hint}")
        for row in np.flatnonzero(apart == 0)[:1]:
            raise InputError(f"{self._at(row + 1)} stands twice; keep one row a time{hint}")
        apart = apart - DAY_MINUTES * _days_left_out(apart, step)
        for row in np.flatnonzero(np.abs(apart - step) > 1e-6 * step)[:1]:
            missing = apart[row] / step - 1
            gap = f"comes {apart[row]:g} minutes after the row before, and most rows {step:g}"
            more = f" ({missing:g} rows are missing)" if missing == round(missing) > 0 else ""
            raise InputError(f"{self._at(row + 1)} {gap}{more}; fill the gap, or leave out its days{hint}")
        return step

    @property
    def days_left_out(self) -> int:
        """Number of days that are missing between the first and the last."""
        apart = np.diff(self.minutes)
        return int(_days_left_out(apart, float(np.median(apart))).sum())

    def check_midnight(self, step_minutes: float) -> None:
        """Make sure that the first row is a day's first: at midnight, or its step's end."""
        begins = self.minutes[0] % DAY_MINUTES
        if min(begins, DAY_MINUTES - begins) > step_minutes * (1 + 1e-9):
            late = f"is {begins // 60:02.0f}:{begins % 60:02.0f} of the day by which days are counted"
            first = np.flatnonzero(self.minutes % DAY_MINUTES == 0)
            advice = ""
            for row in first[:1]:
                advice = f"; begin with {row_name(self.path, self.lines[row])}, {self.texts[row]}"
            advice += "; or count them by a zone's clock: [profiles] timezone = 'Europe/Berlin'" if self.is_utc else ""
            raise InputError(f"{self._at(0)} {late}, and days begin with the first row{advice}")


def own_clock(path: Path, column: str, texts: tuple[str, ...], lines: np.ndarray, timezone: str) -> OwnClock:
    """Read the times of a column.

    Parameters
    ----------
    timezone
        By whose clock times without a zone are written, and whose winter time counts the days; none if empty.

    Raises
    ------
    InputError
        On a cell that is no time, or one that does not exist in the zone, naming line and cell.
    """
    where = f"{path}: time column {column!r}"

    def cell(row: int) -> str:
        return f"{where}: {row_name(path, lines[row])}: {shown(texts[row])}"

    times, told = parsed_times(texts), list[str]()
    for row in np.flatnonzero(times.isna())[:1]:
        place = f"{path}: {row_name(path, lines[row])}, time column {column!r}"
        raise InputError(f"{place}: {shown(texts[row])} is no date and time")
    if timezone:
        if times.tz is None:
            times = _localised(times, timezone, cell)
        local = times.tz_convert(timezone)
        wall, absolute = (each.tz_localize(None) for each in (local, times.tz_convert("UTC")))
        offset_minutes = np.asarray((wall - absolute) / pd.Timedelta(minutes=1), float)
        told = _odd_days(column, local, timezone, offset_minutes)
        counted = absolute + pd.Timedelta(minutes=winter_minutes(timezone, times))
    else:
        counted = times.tz_localize(None) if times.tz is not None else times
    minutes = np.asarray((counted - counted[0].normalize()) / pd.Timedelta(minutes=1), float)
    first_day = str(counted[0].round("D").date())  # a first row may be a step before midnight
    is_utc = not timezone and str(times.tz) == "UTC"
    return OwnClock(path, column, texts, lines, minutes, first_day, tuple(told), is_utc)


def parsed_times(texts: Sequence[str]) -> pd.DatetimeIndex:
    """Times, NaT where a cell is none; with a zone if they state one, in UTC then if they state several."""
    index = pd.Index(texts)
    if texts and (unit := epoch_unit(texts[0])) is not None:
        numbers = np.array([number_in(text) for text in texts])
        numbers[~(np.abs(numbers) < LATEST)] = np.nan
        return pd.to_datetime(pd.Index(numbers), unit=unit, errors="coerce", utc=True)
    day_first = is_day_first(texts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas says that it guesses
        try:
            parsed = pd.to_datetime(index, format="mixed", dayfirst=day_first, errors="coerce")
            if isinstance(parsed, pd.DatetimeIndex):
                return parsed
        except ValueError:  # of several zones
            pass
        return pd.DatetimeIndex(pd.to_datetime(index, format="mixed", dayfirst=day_first, errors="coerce", utc=True))


def epoch_unit(cell: str) -> Unit | None:
    """Return the unit in which a number counts the time since 1970, None if it is too small for that, or no number."""
    value = number_in(cell)
    return next((unit for least, unit in EPOCH.items() if value >= least), None)


def is_day_first(texts: Sequence[str]) -> bool:
    """Return True if dates begin with the day: as written with dots, or as what makes days follow each other."""
    if not texts or not (found := DAY_AND_MONTH.match(texts[0])):
        return False
    pairs = {found.groups() for found in map(DAY_AND_MONTH.match, texts) if found}
    first, second = ({int(pair[place]) for pair in pairs} for place in (0, 2))
    if max(first) > 12 or max(second) > 12:
        return max(first) > 12
    return found[2] == "." or len(first) > len(second)


def _days_left_out(apart: np.ndarray, step: float) -> np.ndarray:
    """Return the whole days between each row and the next beyond a step, where a day of rows ends; 0 elsewhere."""
    days = (apart - step) / DAY_MINUTES
    is_last = np.arange(1, len(apart) + 1) % (DAY_MINUTES / step) == 0 if step > 0 else np.zeros(len(apart), bool)
    return np.where(is_last & (days > 0) & (np.abs(days - np.round(days)) < 1e-6), np.round(days), 0.0)


def _localised(times: pd.DatetimeIndex, timezone: str, cell: Callable[[int], str]) -> pd.DatetimeIndex:
    """Return times of a zone, which are in summer time where the clock shows an hour for the first time."""
    none = np.asarray(times.tz_localize(timezone, ambiguous=True, nonexistent="NaT").isna())
    for row in np.flatnonzero(none)[:1]:
        why = f"does not exist in {timezone}, whose clocks go forward then"
        winter = "if the file is in winter time all year, state a zone without summer time ('Etc/GMT-1' is UTC+1)"
        raise InputError(f"{cell(row)} {why}; {winter}")
    twice = np.flatnonzero(times.tz_localize(timezone, ambiguous="NaT").isna())
    is_summer = np.zeros(len(times), bool)
    for hour in np.split(twice, np.flatnonzero(np.diff(twice) > 1) + 1) if len(twice) else ():
        back = np.flatnonzero(np.diff(times[hour].asi8) <= 0)
        if len(back) != 1:
            why = f"is in the hour that {timezone} has twice, and its rows do not stand twice in order"
            advice = "give them once in summer and once in winter time, or state the times with their offset from UTC"
            raise InputError(f"{cell(hour[0])} {why}; {advice}")
        is_summer[hour[: back[0] + 1]] = True
    return times.tz_localize(timezone, ambiguous=is_summer)


def winter_minutes(timezone: str, times: pd.DatetimeIndex) -> float:
    """Return the zone's smallest distance from UTC in the first year, which is its winter time."""
    months = pd.date_range(f"{times[0].year}-01-15", periods=12, freq="MS", tz="UTC").tz_convert(timezone)
    offsets = (months.tz_localize(None) - months.tz_convert("UTC").tz_localize(None)) / pd.Timedelta(minutes=1)
    return float(min(offsets))


def _odd_days(column: str, local: pd.DatetimeIndex, timezone: str, offset_minutes: np.ndarray) -> list[str]:
    """Return what to tell of days with another number of hours, if there are any."""
    changes = np.flatnonzero(np.diff(offset_minutes))
    if not len(changes):
        return []
    hours = [(local[int(row) + 1], 24 - (offset_minutes[row + 1] - offset_minutes[row]) / 60) for row in changes]
    days = shown_list(f"{day:%Y-%m-%d} has {length:g} hours" for day, length in hours[:MOST_NAMED])
    counted = "days are counted in its winter time, 24 hours each"
    return [f"time column {column!r}: by the clock of {timezone}, {days}; {counted}"]


def rows_a_step(clock: OwnClock, step_hours: float, steps_per_day: int, how: str) -> int:
    """Return how many rows of the clock make a step of the scenario.

    Raises
    ------
    InputError
        If the clock is none, or its days do not begin at midnight; if the steps differ and `how` is empty, the
        scenario's is no multiple of the clock's, or rows are left over.
    """
    own = clock.check_order()
    if abs(60.0 * step_hours * steps_per_day - DAY_MINUTES) < 1e-6:
        clock.check_midnight(own)
    return check_step(clock, own, step_hours, how)


def check_step(clock: OwnClock, own: float, step_hours: float, how: str) -> int:
    """Return how many rows, `own` minutes apart, make a step of the scenario; errors as in `rows_a_step`."""
    step = 60.0 * step_hours
    if abs(own - step) <= 1e-6 * step:
        return 1
    stated = f"{clock.path}: time column {clock.column!r} has steps of {own:g} minutes; the scenario's are {step:g}"
    own_steps = f"step_hours = {own / 60:.6g} and steps_per_day = {DAY_MINUTES / own:.0f} play them as they are"
    rows = round(step / own)
    if step < own or abs(rows * own - step) > 1e-6 * step:
        raise InputError(f"{stated}, which no whole number of them makes; {own_steps}")
    if how != "mean":
        raise InputError(f"{stated}; [profiles] resample = 'mean' takes the mean of {rows} rows, or {own_steps}")
    if left := len(clock.minutes) % rows:
        raise InputError(f"{stated}, and {left} rows are left over at the end; give whole steps of {rows} rows")
    return rows
