"""Rows of the scenario's step from a table, a block at a time, so that no more than they themselves is ever held.

What is missing is filled by `fill.py`, finer rows become their means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from neomflex_jax.errors import InputError, shown
from neomflex_jax.files.stored_arrays import aligned_bytes
from neomflex_jax.files.wide_tables import WideTable, blocks_of, most_rows, row_name
from neomflex_jax.profiles.fill import Filled
from neomflex_jax.profiles.own_clock import OwnClock, own_clock, parsed_times, rows_a_step


@dataclass(frozen=True)
class Reading:
    """Which columns of a table are read, and how; all that the rows depend on beside the file."""

    common: tuple[str, ...]
    own: tuple[str, ...]
    time_column: str | None
    timezone: str
    step_hours: float
    steps_per_day: int
    resample: str
    fill: str
    dtype: str  # of the own columns: that of JAX's floats


class StepRows(NamedTuple):
    """Rows of the scenario's step."""

    common: np.ndarray  # (n_rows, n_common) float64
    own: np.ndarray  # (n_rows, n_own), in memory that JAX takes over as it is
    told: tuple[str, ...]  # what the reader should know of the table, one text each, without its path
    first_day: str = ""  # its date, empty without a time column
    days_left_out: int = 0  # between the first and the last


def jax_float() -> str:
    """Return the name of the type that JAX's floats have at this moment."""
    return str(jax.dtypes.canonicalize_dtype(float))


def read_step_rows(path: Path, reading: Reading) -> StepRows:
    """Read a table.

    Raises
    ------
    InputError
        As `blocks_of` and `own_clock`; on a cell that is missing without `fill`, or on a column that has no number.
    """
    names = (*reading.common, *reading.own)
    rows = _Rows(most_rows(path, len(names)), len(reading.common), len(reading.own), np.dtype(reading.dtype))
    seen, times = _Holes(path, names), _Times(path, reading)
    filled: Filled | None = None
    for values in times.whole_steps(seen.of(times.of(blocks_of(path, names, reading.time_column)))):
        if reading.fill:
            filled = filled or Filled(len(names), times.per_step, rows.write)
            filled.fill(values)
        rows.append(values, times.per_step)
    if filled is not None:
        filled.finish()
    told, clock = seen.checked(reading.fill), times.checked()
    common, own = rows.common[: rows.n_rows], rows.own[: rows.n_rows]
    if clock is None:
        return StepRows(common, own, tuple(told))
    return StepRows(common, own, (*told, *clock.told), clock.first_day, clock.days_left_out)


class _Rows:
    """Rows of steps in the memory that was set aside for them."""

    def __init__(self, n_most: int, n_common: int, n_own: int, own_type: np.dtype) -> None:
        self.common = np.empty((n_most, n_common))
        self.own = aligned_bytes(n_most * n_own * own_type.itemsize).view(own_type).reshape(n_most, n_own)
        self.n_rows = 0

    def append(self, values: np.ndarray, per_step: int) -> None:
        """Take the means of each step's rows, (n_steps x per_step, n_columns)."""
        by_step = values.reshape(len(values) // per_step, per_step, values.shape[1])
        means = by_step.mean(axis=1) if per_step > 1 else by_step[:, 0]
        part, n_common = slice(self.n_rows, self.n_rows + len(means)), self.common.shape[1]
        self.common[part], self.own[part] = means[:, :n_common], means[:, n_common:]
        self.n_rows += len(means)

    def write(self, column: int, steps: slice, values: np.ndarray) -> None:
        """Write a column's values of some steps that were taken before."""
        n_common = self.common.shape[1]
        if column < n_common:
            self.common[steps, column] = values
        else:
            self.own[steps, column - n_common] = values


@dataclass
class _Times:
    """The time column of the blocks that have passed, and how many rows make a step."""

    path: Path
    reading: Reading
    texts: list[str] = field(default_factory=list)
    lines: list[np.ndarray] = field(default_factory=list)
    per_step: int = 0  # rows, by the first block; 0: not known yet

    def of(self, blocks: Iterable[WideTable]) -> Iterator[WideTable]:
        for block in blocks:
            self.texts += block.texts
            self.lines.append(block.lines)
            self.per_step = self.per_step or self._per_step(block.texts)
            yield block

    def _per_step(self, texts: tuple[str, ...]) -> int:
        if not self.reading.resample or len(texts) < 2:
            return 1
        apart = np.diff(parsed_times(texts).to_numpy().astype("datetime64[s]").astype(np.int64))
        return max(1, round(3600.0 * self.reading.step_hours / max(float(np.median(apart)), 1.0)))

    def whole_steps(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the rows of whole steps; rows that make none are left out, and refused by `checked`."""
        left: np.ndarray | None = None
        for block in blocks:
            values = block if left is None or not len(left) else np.concatenate([left, block])
            whole = len(values) // self.per_step * self.per_step
            left = values[whole:]
            if whole:
                yield values[:whole]

    def checked(self) -> OwnClock | None:
        """Return the clock, once it is known to be one; None without a time column: rows are steps."""
        reading = self.reading
        if reading.time_column is None:
            return None
        lines, texts = np.concatenate(self.lines), tuple(self.texts)
        clock = own_clock(self.path, reading.time_column, texts, lines, reading.timezone)
        rows = rows_a_step(clock, reading.step_hours, reading.steps_per_day, reading.resample)
        assert rows == self.per_step, "all rows have one step, the first ones too"
        return clock


@dataclass
class _Holes:
    """Cells without a number in the blocks that have passed."""

    path: Path
    names: tuple[str, ...]
    n_missing: int = 0
    first: str = ""
    has_number: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))  # (n_columns,)

    def of(self, blocks: Iterable[WideTable]) -> Iterator[np.ndarray]:
        self.has_number = np.zeros(len(self.names), bool)
        for block in blocks:
            missing = ~np.isfinite(block.values)
            self.has_number |= ~missing.all(axis=0)
            if missing.any() and not self.first:
                row, column = np.argwhere(missing)[0]
                self.first = f"{row_name(self.path, block.lines[row])}, column {shown(self.names[column])}"
            self.n_missing += int(missing.sum())
            yield block.values

    def checked(self, fill: str) -> list[str]:
        """Return what to tell of them; refuse them without `fill`, or where there is nothing to fill with."""
        if not self.n_missing:
            return []
        if not fill:
            more = f" ({self.n_missing - 1} more such cells)" if self.n_missing > 1 else ""
            advice = "[profiles] fill = 'interpolate' fills in between"
            raise InputError(f"{self.path}: {self.first}: no number{more}; {advice}")
        for column in np.flatnonzero(~self.has_number)[:1].tolist():
            raise InputError(
                f"{self.path}: column {shown(self.names[column])} has no number; there is nothing to fill with"
            )
        return [f"{self.first} and on: {self.n_missing} cells without a number are interpolated"]
