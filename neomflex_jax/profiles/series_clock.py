"""What a series' own clock says, where it has one: steps and days are counted by rows, whatever the clock."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from neomflex_jax.files.tables import first_rows

Unit = Literal["s", "ms", "us", "ns"]
MOST_READ = 3000  # rows from the beginning: days of minutes, months of half-hours
MOST_CELLS = 200_000  # of a wide table fewer
WORDS = ("time", "date", "stamp", "utc", "datum", "zeit", "uhr")
EPOCH: dict[float, Unit] = {1e17: "ns", 1e14: "us", 1e11: "ms", 1e8: "s"}  # numbers from here on count since 1970
DAY_MINUTES = 1440.0
DATED = re.compile(r"\d[-./]\d.*\d:\d\d")  # a date, then a time of day


@dataclass(frozen=True)
class Clock:
    """A time column: minutes between its rows, and where in the day it begins."""

    column: str
    step_minutes: float
    first_minute: float  # of the day
    is_dated: bool = False  # whether its cells have a date and a time of day

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


def read_clock(path: Path) -> Clock | None:
    """Find a CSV file's time column by its name and cells; None if there is none that can be read."""
    n_columns = max(len(first_rows(path, 0)[0]), 1)
    header, rows = first_rows(path, min(MOST_READ, MOST_CELLS // n_columns + 3))
    for place, name in enumerate(header):
        if name and not any(word in name.lower() for word in WORDS):
            continue
        if not name and place:  # a first column without a name is an index that was saved along
            continue
        cells = [row[place].strip() for row in rows if place < len(row)]
        minutes = _minutes(cells)
        if minutes is not None and (step := _step(minutes)) is not None:
            return Clock(name, step, _minute_of_day(cells[0]), DATED.search(cells[0]) is not None)
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
                day_first = any("." in cell for cell in cells[:1])
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
