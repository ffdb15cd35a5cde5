"""Rows of the scenario's step from a table, a block at a time, so that no more than they themselves is ever held.

What is missing is interpolated between the rows around it, finer rows become their means.
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
    told: tuple[str, ...]  # what the reader should know, one text each
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
    n_common, n_most, n_rows = len(reading.common), most_rows(path, len(names)), 0
    common, own_type = np.empty((n_most, n_common)), np.dtype(reading.dtype)
    own = aligned_bytes(n_most * len(reading.own) * own_type.itemsize).view(own_type).reshape(n_most, len(reading.own))
    seen, times = _Holes(path, names), _Times(path, reading)
    blocks = seen.of(times.of(blocks_of(path, names, reading.time_column)))
    for rows in times.means(_interpolated(blocks) if reading.fill else blocks):
        part = slice(n_rows, n_rows + len(rows))
        common[part], own[part] = rows[:, :n_common], rows[:, n_common:]
        n_rows += len(rows)
    told, clock = seen.checked(reading.fill), times.checked()
    if clock is None:
        return StepRows(common[:n_rows], own[:n_rows], tuple(told))
    return StepRows(common[:n_rows], own[:n_rows], (*told, *clock.told), clock.first_day, clock.days_left_out)


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

    def means(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield means of the rows of each step; rows that make no whole step are left out, and refused by `checked`."""
        left: np.ndarray | None = None
        for block in blocks:
            values = block if left is None else np.concatenate([left, block])
            whole = len(values) // self.per_step * self.per_step
            means = values[:whole].reshape(-1, self.per_step, values.shape[1])
            yield means.mean(axis=1) if self.per_step > 1 else means[:, 0]
            left = values[whole:]

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
                place = row_name(self.path, block.lines[row])
                self.first = f"{self.path}: {place}, column {shown(self.names[column])}"
            self.n_missing += int(missing.sum())
            yield block.values

    def checked(self, fill: str) -> list[str]:
        """Return what to tell of them; refuse them without `fill`, or where there is nothing to fill with."""
        if not self.n_missing:
            return []
        if not fill:
            more = f" ({self.n_missing - 1} more such cells)" if self.n_missing > 1 else ""
            raise InputError(f"{self.first}: no number{more}; [profiles] fill = 'interpolate' fills in between")
        for column in np.flatnonzero(~self.has_number)[:1].tolist():
            raise InputError(
                f"{self.path}: column {shown(self.names[column])} has no number; there is nothing to fill with"
            )
        return [f"{self.first} and on: {self.n_missing} cells without a number are interpolated"]


def _interpolated(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield rows with what is missing filled: straight between the rows around it, constant at both ends."""
    held: np.ndarray | None = None  # from the last row on that all columns are known in
    given = 0  # rows of them that have been yielded
    for block in blocks:
        held = block if held is None else np.concatenate([held, block])
        known = np.isfinite(held)
        n_ready = int(np.min(_last_known(known), initial=len(held) - 1)) + 1
        if n_ready > given:
            _fill(held, known, to_the_end=False)
            yield held[given:n_ready]
            held, given = held[n_ready - 1 :], 1
    if held is not None:
        _fill(held, np.isfinite(held), to_the_end=True)
        yield held[given:]


def _last_known(known: np.ndarray) -> np.ndarray:
    """Return the last row of each column that has a number, (n_columns,), -1 where there is none."""
    if not len(known):
        return np.full(known.shape[1], -1)
    return np.where(known.any(axis=0), len(known) - 1 - np.argmax(known[::-1], axis=0), -1)


def _fill(rows: np.ndarray, known: np.ndarray, *, to_the_end: bool) -> None:
    """Fill holes in place, beyond a column's last number only if nothing more comes."""
    for column in np.flatnonzero(~known.all(axis=0) & known.any(axis=0)):
        holes, whole = np.flatnonzero(~known[:, column]), np.flatnonzero(known[:, column])
        holes = holes if to_the_end else holes[holes < whole[-1]]
        rows[holes, column] = np.interp(holes, whole, rows[whole, column])
