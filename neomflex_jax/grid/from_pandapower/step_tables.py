"""Tables of what a transformer or a shunt is at each of its steps.

``net.trafo_characteristic_table`` and ``net.shunt_characteristic_table`` have a line for each `id_characteristic` and
step; a row that follows one says so by a flag and by its `id_characteristic_table`. `runpp` finds a transformer's line
by the table alone, so that two that follow one table at unlike steps would both get the last; such a net is refused.
Source: pandapower 3.5, build_branch.py and build_bus.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.from_pandapower.rows import Rows

if TYPE_CHECKING:
    from pandapower import pandapowerNet


@dataclass(frozen=True)
class StepTable:
    """The lines of a table that rows of a net stand at."""

    lines: Rows  # one a row that follows the table
    row: np.ndarray  # (n_line,) which rows those are
    n_row: int

    def __bool__(self) -> bool:
        return len(self.row) > 0

    @property
    def followed(self) -> np.ndarray:
        """Which rows follow the table, (n_row,)."""
        found = np.zeros(self.n_row, bool)
        found[self.row] = True
        return found

    def instead_of(self, values: np.ndarray, column: str) -> np.ndarray:
        """Return the values of rows with those of the table in their place where a row follows it."""
        replaced = values.copy()
        if self:
            replaced[self.row] = self.lines.numbers(column)
        return replaced


def step_table(net: pandapowerNet, rows: Rows, flag: str, step: str, table: str) -> StepTable:
    """Find the lines of ``net[table]`` at which rows stand that follow it; `step` is the column of their positions."""
    follows = np.flatnonzero(rows.numbers(flag, absent=0.0, or_empty=True))
    if not len(follows):
        return StepTable(Rows(table, rows.frame[:0]), follows, len(rows))
    keys = [rows.numbers(name, absent=np.nan, or_empty=True) for name in ("id_characteristic_table", step)]
    known = Rows.of(net, table)
    of_line = [known.numbers(name) for name in ("id_characteristic", "step")] if len(known) else [np.empty(0)] * 2
    places: list[int] = []
    for row in follows.tolist():
        wanted = [float(key[row]) for key in keys]
        place = np.flatnonzero((of_line[0] == wanted[0]) & (of_line[1] == wanted[1]))
        if len(place) != 1:
            raise InputError(
                f"{rows.title(row)} has {flag}, id_characteristic_table = {wanted[0]:g} and {step} = {wanted[1]:g}; "
                f"net.{table} must have one line with that id_characteristic and step, and has {len(place)}"
            )
        places.append(int(place[0]))
    return StepTable(Rows(table, known.frame.iloc[places]), follows, len(rows))


def refuse_unlike_steps(rows: Rows, found: StepTable) -> None:
    """Refuse two transformers that follow one table at unlike steps."""
    at: dict[float, tuple[float, int]] = {}
    tables, steps = (found.lines.numbers(name) for name in ("id_characteristic", "step")) if found else ((), ())
    for table, step, row in zip(tables, steps, found.row.tolist(), strict=True):
        other_step, other = at.setdefault(table, (step, row))
        if other_step != step:
            raise InputError(
                f"{rows.title(other)} and {rows.title(row)} follow one table, id_characteristic_table = {table:g}, at "
                f"tap_pos = {other_step:g} and {step:g}, which runpp takes for one; give each a table of its own"
            )
