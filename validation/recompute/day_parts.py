"""The days of a file that a run played, by the scenario's rules of days, worked out a second time.

Days are counted by the zone's standard time; ``week k of n`` from the Monday on or before the first day on.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from neomflex_jax.files.wide_tables import read_wide
from neomflex_jax.profiles import SeriesConfig


def rows_played(
    series: SeriesConfig, path: Path, rows: pd.DataFrame, times: pd.DatetimeIndex | None, steps_per_day: int
) -> pd.DataFrame:
    """Return the rows of the scenario's step, n of a file, that its part of the days is."""
    n_days = len(rows) // steps_per_day
    if series.split_column:
        cells = np.array(read_wide(path, [], series.split_column).texts, dtype=object)
        chosen = cells[:: len(cells) // n_days][:n_days] == series.part
    else:
        by_part = {part: _days(texts, times, series, n_days) for part, texts in series.rules.items()}
        if not series.train:
            by_part["train"] = ~(by_part["validation"] | by_part["test"])
        chosen = by_part[series.part]
    return rows[np.repeat(chosen, steps_per_day)].reset_index(drop=True)


def _days(texts: tuple[str, ...], times: pd.DatetimeIndex | None, series: SeriesConfig, n_days: int) -> np.ndarray:
    """Return which days some rules mean, (n_days,) bool."""
    first = None if times is None else first_midnight(times, series.timezone)
    place = np.arange(n_days) + (0 if first is None else first.dayofweek)
    found = np.zeros(n_days, bool)
    for text in texts:
        numbers = [int(number) for number in re.findall(r"\d+", text)]
        if " of " in text:
            found |= place // 7 % numbers[1] == numbers[0] - 1
            continue
        assert first is not None, "a rule of dates on a file without any"
        dates = pd.date_range(first, periods=n_days, freq="D")
        if text.startswith("month"):
            found |= np.asarray(dates.month == numbers[0])
        elif text.startswith("week"):
            found |= np.asarray(dates.isocalendar().week == numbers[0], bool)
        elif len(numbers) == 2:
            found |= np.asarray(dates.to_period("M") == pd.Period(text, "M"))
        else:
            begin, _, end = text.partition("..")
            found |= np.asarray((dates >= pd.Timestamp(begin)) & (dates <= pd.Timestamp(end or begin)))
    return found


def first_midnight(times: pd.DatetimeIndex, timezone: str) -> pd.Timestamp:
    """Return the midnight nearest to the first time, by the standard time of its zone."""
    return standard_times(times[:1], timezone)[0].round("D")


def standard_times(times: pd.DatetimeIndex, timezone: str) -> pd.DatetimeIndex:
    """Return times by the standard time of a zone, as they are written without one."""
    if timezone and times.tz is None:
        times = times.tz_localize(timezone, ambiguous=np.ones(len(times), bool))
    if timezone:
        local = times.tz_convert(timezone)
        return local.tz_localize(None) - pd.TimedeltaIndex([time.dst() or pd.Timedelta(0) for time in local])
    return times.tz_localize(None)
