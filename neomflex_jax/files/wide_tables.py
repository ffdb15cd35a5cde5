"""Wide tables of numbers: chosen columns, read a block of rows at a time, so that text never fills the memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from neomflex_jax.errors import InputError, shown, unknown_name
from neomflex_jax.files.tables import number_in, rows_of

BLOCK_ROWS = 4096
LARGEST = float(np.finfo(np.float32).max)  # arrays are float32 by default


@dataclass(frozen=True, eq=False)
class WideTable:
    """Chosen columns of a table."""

    path: Path
    names: tuple[str, ...]
    values: np.ndarray  # (n_rows, n_columns); NaN where a cell is empty or says so
    lines: np.ndarray  # (n_rows,) as a text editor counts them
    texts: tuple[str, ...]  # (n_rows,) cells of the column that was kept as text, none otherwise

    def column(self, name: str) -> np.ndarray:
        """Values of a column, (n_rows,)."""
        return self.values[:, self.names.index(name)]


def read_header(path: Path) -> tuple[str, ...]:
    """Read the names in a CSV file's first row."""
    for _, row in rows_of(path):
        return tuple(name.strip() for name in row)
    raise InputError(f"{path}: not a readable CSV file (it is empty)")


def check_columns(path: Path, header: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise `InputError` unless a header has each of the wanted columns once; names the nearest of a missing one."""
    given = Counter(header)
    for name in wanted:
        if name not in given:
            raise InputError(f"{path}: {unknown_name('column', name, {one for one in header if one})}")
        if given[name] > 1:
            raise InputError(f"{path}: column {shown(name)} is given {given[name]} times; keep one")


def read_wide(path: Path, columns: Sequence[str], text_column: str | None = None) -> WideTable:
    """Read columns as float64, and one more as text.

    Raises
    ------
    InputError
        On a column that is missing, with the nearest names, or given twice; a row longer than the header; or a cell
        that is neither empty nor a number.
    """
    header = read_header(path)
    check_columns(path, header, [*columns, *([] if text_column is None else [text_column])])
    places = [header.index(name) for name in columns]
    text_place = None if text_column is None else header.index(text_column)
    blocks: list[np.ndarray] = []
    lines: list[int] = []
    texts: list[str] = []
    block: list[list[str]] = []
    for line, row in islice(rows_of(path), 1, None):
        if len(row) > len(header):
            raise InputError(f"{path}: line {line} has {len(row)} cells, the header has {len(header)}")
        row += [""] * (len(header) - len(row))
        lines.append(line)
        block.append([row[place] for place in places])
        if text_place is not None:
            texts.append(row[text_place].strip())
        if len(block) == BLOCK_ROWS:
            blocks.append(_numbers(path, columns, block, lines))
            block = []
    blocks.append(_numbers(path, columns, block, lines))
    return WideTable(path, tuple(columns), np.concatenate(blocks), np.array(lines, int), tuple(texts))


def _numbers(path: Path, columns: Sequence[str], block: list[list[str]], lines: list[int]) -> np.ndarray:
    """Numbers of a block of rows, the last ones of `lines`."""
    values = np.array([[number_in(cell) for cell in row] for row in block], np.float64).reshape(-1, len(columns))
    for row, column in np.argwhere(~(np.abs(values) <= LARGEST)):
        cell = block[row][column].strip()
        if cell.lower() not in ("", "nan", "na"):
            line = lines[len(lines) - len(block) + row]
            where = f"{path}: line {line}, column {shown(columns[column])}"
            raise InputError(f"{where}: {shown(cell)} is not a finite number")
    return values
