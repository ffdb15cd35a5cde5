"""Rows of a net's table by column; what is missing or not usable is refused by the element's own name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError

if TYPE_CHECKING:
    from pandapower import pandapowerNet

LARGEST = 1e12  # in whatever unit: no grid has more, and products of some such numbers are still finite


class Rows:
    """Some rows of one table of a pandapower net, in the order of their index."""

    def __init__(self, table: str, frame: pd.DataFrame, *, lenient: bool = False) -> None:
        self.table = table
        self.frame = frame
        self.lenient = lenient  # whether an unusable number is NaN instead of refused

    @staticmethod
    def of(net: pandapowerNet, table: str) -> Rows:
        """Return all rows of ``net[table]``; none if the net has no such table."""
        frame = net.get(table)
        if frame is None:
            return Rows(table, pd.DataFrame())
        if not isinstance(frame, pd.DataFrame):
            raise InputError(f"net.{table} is a {type(frame).__name__}; a pandapower net holds a table there")
        return Rows(table, _numbered(table, frame).sort_index())

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def numbers_of_rows(self) -> list[int]:
        """The net's own number of each row."""
        return [int(number) for number in self.frame.index]

    def title(self, row: int) -> str:
        """Name of a row as the user knows it, such as ``net.line 3 ('to the mill')``."""
        name = self.frame["name"].iloc[row] if "name" in self.frame else None
        label = f"net.{self.table} {self.frame.index[row]}"
        return f"{label} ({name!r})" if isinstance(name, str) and name else label

    def where(self, keep: np.ndarray, *, lenient: bool = False) -> Rows:
        """Return the rows where `keep` is true."""
        return Rows(self.table, self.frame[keep], lenient=lenient)

    def in_service(self) -> Rows:
        """Return the rows in service."""
        return self.where(self.flags("in_service"))

    def out_of_service(self) -> Rows:
        """Return the rows out of service, leniently: nothing that is off is a reason to refuse a net."""
        return self.where(~self.flags("in_service"), lenient=True)

    def numbers(
        self, column: str, absent: float | None = None, *, or_empty: bool = False, or_infinite: bool = False
    ) -> np.ndarray:
        """Values of a column, float64; `absent` stands for a missing column and, with `or_empty`, for an empty cell."""
        if column not in self.frame:
            return np.full(len(self), self._absent(column, absent), np.float64)
        cells = self.frame[column]
        values = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64, na_value=np.nan, copy=True)
        bad = np.isnan(values)
        if or_empty:
            values = np.where(bad, self._absent(column, absent), values)
            bad &= cells.notna().to_numpy(bool)  # words
        if not self.lenient:
            self.refuse(bad, lambda row: f"{column} = {_shown(cells.iloc[row])}; it must be a number")
            beyond = (np.abs(values) > LARGEST) & (not or_infinite)
            self.refuse_values(beyond, column, values, f"it must be of at most {LARGEST:g} in size")
        return values

    def labels(self, column: str) -> list[int]:
        """Values of a column that refer to rows of a table; -1 where a lenient row has none."""
        values = self.numbers(column)
        whole = np.mod(values, 1) == 0
        if not self.lenient:
            self.refuse(~whole, lambda row: f"{column} = {values[row]:g}; it must be the number of a row")
        return np.where(whole, values, -1).astype(int).tolist()

    def flags(self, column: str, absent: bool | None = None) -> np.ndarray:
        """Yes or no of every row; `absent` stands for a missing column."""
        if column not in self.frame:
            return np.full(len(self), self._absent(column, absent), bool)
        cells = self.frame[column]
        bad = np.array([cell is pd.NA or cell not in (True, False) for cell in cells], bool)
        self.refuse(bad, lambda row: f"{column} = {_shown(cells.iloc[row])}; it must be True or False")
        return cells.to_numpy(bool)

    def texts(self, column: str) -> list[str]:
        """Words of every row; empty where there is none."""
        if column not in self.frame:
            return [""] * len(self)
        return [value if isinstance(value, str) else "" for value in self.frame[column]]

    def refuse(self, bad: np.ndarray, why: Callable[[int], str]) -> None:
        """Raise for the first bad row, if there is one; `why`, given the row, continues "it has"."""
        if np.any(bad):
            row = int(np.argmax(bad))
            raise InputError(f"{self.title(row)} has {why(row)}")

    def refuse_values(self, bad: np.ndarray, column: str, values: np.ndarray, why: str) -> None:
        """Raise for the first bad value of a column, if there is one."""
        self.refuse(bad, lambda row: f"{column} = {values[row]:g}; {why}")

    def _absent(self, column: str, absent: float | None) -> float:
        if absent is None and len(self):
            advice = "pandapower.convert_format(net) updates old nets"
            raise InputError(f"net.{self.table} has no column {column}; {advice}")
        return absent or 0.0


def _numbered(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with whole numbers as its index; a file may have made floats of them, and texts are refused."""
    index = frame.index
    if not len(frame):
        return frame
    if pd.api.types.is_float_dtype(index) and bool((np.mod(index.to_numpy(float), 1) == 0).all()):
        frame = frame.set_axis(index.astype(int))
    elif not pd.api.types.is_integer_dtype(index):
        advice = "pandapower.toolbox.create_continuous_bus_index(net) gives every bus a number"
        if table != "bus":
            advice = f"net.{table}.reset_index(drop=True, inplace=True) gives every row a number"
        raise InputError(f"net.{table}: rows are numbered, and one is called {_shown(index[0])}; {advice}")
    twice = frame.index[frame.index.duplicated()]
    if len(twice):
        raise InputError(f"net.{table}: the number {twice[0]} stands at several rows; the index gives each number once")
    return frame


def _shown(cell: object) -> str:
    return repr(cell) if isinstance(cell, str) else str(cell)
