"""What is missing in a table's columns, filled straight between the numbers around it, constant at both ends.

Rows come a block at a time and go out as means over `per_step` of them. A hole that ends within its block is filled
there. Of one that goes on, only the last number before it is kept; the steps that have gone out since are written again
once the next number is known: ``step = (sum of its rows before the hole + n x line at their middle) / per_step`` with n
rows in the hole. So no hole, however long, makes rows be held.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Write = Callable[[int, slice, np.ndarray], None]  # column, steps, their values


class Filled:
    """Fills the blocks of one table, which are whole steps each."""

    def __init__(self, n_columns: int, per_step: int, write: Write) -> None:
        self._per_step, self._write = per_step, write
        self._n_rows = 0  # that have passed
        self._row = np.full(n_columns, -1)  # of each column's last number
        self._value = np.full(n_columns, np.nan)  # that number
        self._begun = np.zeros(n_columns)  # sum of the rows of its step up to it

    def fill(self, values: np.ndarray) -> None:
        """Fill a block's holes (n_rows, n_columns) in place, and those that it ends in the steps before it."""
        known = np.isfinite(values)
        for column in np.flatnonzero(
            known.any(axis=0) & ~(known.all(axis=0) & (self._row == self._n_rows - 1))
        ).tolist():
            whole = np.flatnonzero(known[:, column])
            if self._row[column] < self._n_rows - 1:
                self._close(column, self._n_rows + int(whole[0]), values[whole[0], column])
            self._fill_within(values[:, column], column, whole)
        self._remember(values, known)

    def finish(self) -> None:
        """Fill what is missing at the end."""
        for column in np.flatnonzero((self._row >= 0) & (self._row < self._n_rows - 1)).tolist():
            self._close(column, self._n_rows, self._value[column])

    def _fill_within(self, values: np.ndarray, column: int, whole: np.ndarray) -> None:
        """Fill one column (n_rows,) up to its last number; `whole` has its rows with one."""
        rows, numbers = whole, values[whole]
        if self._row[column] >= 0:
            rows = np.concatenate([[self._row[column] - self._n_rows], whole])
            numbers = np.concatenate([[self._value[column]], numbers])
        upto = values[: whole[-1]]
        holes = np.flatnonzero(~np.isfinite(upto))
        upto[holes] = np.interp(holes, rows, numbers)

    def _close(self, column: int, row: int, value: float) -> None:
        """Write the steps between a column's last number and its next, in this row, as far as they have gone out."""
        before, per_step = int(self._row[column]), self._per_step
        first = before + 1
        steps = np.arange(first // per_step, self._n_rows // per_step)
        begins = np.maximum(steps * per_step, first)
        n_holes = (steps + 1) * per_step - begins
        middle = begins + (n_holes - 1) / 2
        line = np.interp(middle, [before, row], [self._value[column], value]) if before >= 0 else value
        sums = n_holes * line
        if first % per_step:
            sums[0] += self._begun[column]
        self._write(column, slice(first // per_step, self._n_rows // per_step), sums / per_step)

    def _remember(self, values: np.ndarray, known: np.ndarray) -> None:
        """Keep each column's last number, its row, and what its step has summed up to it."""
        n_rows, per_step = len(values), self._per_step
        has, last = known.any(axis=0), n_rows - 1 - np.argmax(known[::-1], axis=0)
        for column in np.flatnonzero(has & (last < n_rows - 1)):
            first = last[column] // per_step * per_step
            self._begun[column] = values[first : last[column] + 1, column].sum()
        columns = np.flatnonzero(has)
        self._value[columns] = values[last[columns], columns]
        self._row[columns] = self._n_rows + last[columns]
        self._n_rows += n_rows
