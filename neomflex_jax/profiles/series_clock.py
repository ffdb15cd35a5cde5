"""A plain series' own clock, where it has one: dates and times must agree with rows taken as the steps of days."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError
from neomflex_jax.files.tables import first_rows
from neomflex_jax.files.wide_tables import read_wide
from neomflex_jax.profiles.own_clock import DAY_MINUTES, EPOCH, check_step, epoch_unit, is_day_first, own_clock

MOST_READ = 3000  # rows from the beginning: days of minutes, months of half-hours
MOST_CELLS = 200_000  # of a wide table fewer
WORDS = ("time", "date", "stamp", "utc", "datum", "zeit", "uhr")
DATED = re.compile(r"\d[-./]\d.*\d:\d\d")  # a date, then a time of day


@dataclass(frozen=True)
class Clock:
    """A time column: minutes between its rows, and where in the day it begins."""

    column: str
    step_minutes: float
    first_minute: float  # of the day
    is_dated: bool = False  # its cells have a date and a time of day

    def doubts(self, n_rows: int, steps_per_day: int, step_hours: float) -> list[str]:
        """Return how this clock contradicts rows taken as the steps of whole days; empty if it does not."""
        own, step = self.step_minutes, 60.0 * step_hours
        name = f"time column {self.column!r}"
        if abs(own - step) > 0.01 * step:
            advice = f"resample it to {step:g} minutes"
            if abs(DAY_MINUTES / own - round(DAY_MINUTES / own)) < 1e-6:
                per_day = f"step_hours = {own / 60:.6g} and steps_per_day = {DAY_MINUTES / own:.0f}"
                advice += f", or give the scenario {per_day}"
            days = f"{n_rows * own / DAY_MINUTES:.4g} days by its clock are played as {n_rows / steps_per_day:.4g}"
            steps = f"{name} has steps of {own:.4g} minutes; the scenario's are {step:g}"
            return [f"{steps}: the file's clock is not read, and {days}; {advice}"]
        off = min(self.first_minute, DAY_MINUTES - self.first_minute)
        if abs(steps_per_day * step - DAY_MINUTES) < 1 and off > step:
            begins = f"{self.first_minute // 60:02.0f}:{self.first_minute % 60:02.0f}"
            return [f"{name} begins at {begins}, and the scenario's days begin with the first row; begin at midnight"]
        return []


def check_plain_clock(path: Path, step_hours: float) -> None:
    """Refuse a plain file whose dates and times are not in order, leave gaps, or have other steps than the scenario.

    Whole days may be left out. A file without dates and times has no clock to read.

    Raises
    ------
    InputError
        Naming line and time, and what to write.
    """
    found = read_clock(path)
    if found is None or not found.is_dated:
        return
    table = read_wide(path, (), found.column)
    try:
        clock = own_clock(path, found.column, table.texts, table.lines, "")
        check_step(clock, clock.check_order(), step_hours, "")
    except InputError as error:
        raise InputError(f"{error}; or [profiles] ignore = [{found.column!r}] takes rows as steps") from None


def read_clock(path: Path, ignore: Sequence[str] = ()) -> Clock | None:
    """Find a CSV file's time column by its name and cells; None if there is none that can be read.

    Parameters
    ----------
    ignore
        Patterns of columns that it cannot be.
    """
    n_columns = max(len(first_rows(path, 0)[0]), 1)
    header, rows = first_rows(path, min(MOST_READ, MOST_CELLS // n_columns + 3))
    for place, name in enumerate(header):
        if name and not any(word in name.lower() for word in WORDS):
            continue
        if any(fnmatchcase(name, pattern) for pattern in ignore):
            continue
        if not name and place:  # a first column without a name is an index that was saved along
            continue
        cells = [row[place].strip() for row in rows if place < len(row)]
        minutes = _minutes(cells)
        if minutes is not None and (step := _step(minutes)) is not None:
            is_dated = DATED.search(cells[0]) is not None or epoch_unit(cells[0]) is not None
            return Clock(name, step, _minute_of_day(cells[0]), is_dated)
    return None


def _minutes(cells: list[str]) -> np.ndarray | None:
    """Return times in minutes from the first, NaN where a cell is no time; None if hardly any cell is one."""
    numbers = pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce").to_numpy(float)
    unit = None
    if np.isfinite(numbers).any():
        unit = next((unit for least, unit in EPOCH.items() if np.nanmedian(numbers) >= least), None)
        if unit is None:  # numbers of hours, of days, or of rows: nobody knows
            return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas says that it guesses
            if unit:
                times = pd.to_datetime(pd.Index(numbers), unit=unit, errors="coerce", utc=True)
            else:
                day_first = is_day_first(cells)
                times = pd.to_datetime(pd.Index(cells), format="mixed", dayfirst=day_first, errors="coerce", utc=True)
    except (ValueError, OverflowError, TypeError):
        return None
    known = ~np.asarray(times.isna())
    if len(cells) < 3 or known.mean() < 0.5:
        return None
    return np.asarray((times - times[int(known.argmax())]) / pd.Timedelta(minutes=1), float)


def _step(minutes: np.ndarray) -> float | None:
    """Minutes between rows, the usual ones; where a time stands in several rows (a date's), its share of each."""
    apart = np.diff(minutes)
    apart = apart[np.isfinite(apart) & (apart >= 0)]  # a time of day begins anew at midnight
    onwards = apart[apart > 0]
    if not len(onwards):
        return None
    rows_each = len(apart) / len(onwards)
    if rows_each < 1.5:
        return float(np.median(onwards))
    changes = np.flatnonzero(np.diff(minutes) > 0)
    if len(changes) < 2:
        return None
    return float(np.median(onwards) / np.median(np.diff(changes)))


def _minute_of_day(cell: str) -> float:
    """Minute of the day of a time as it is written, whatever its zone; 0 without one."""
    found = re.search(r"(?<!\d)(\d{1,2}):(\d{2})(?::\d{2})?(?:\.\d+)?\s*([AaPp][Mm])?", cell)
    if not found:
        return 0.0
    hour = int(found[1]) % 24
    if found[3]:
        hour = hour % 12 + (12 if found[3].lower() == "pm" else 0)
    return 60.0 * hour + int(found[2])
