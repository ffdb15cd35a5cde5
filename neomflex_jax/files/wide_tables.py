"""Wide tables of numbers: chosen columns, read a block of rows at a time, so that text never fills the memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from neomflex_jax.errors import InputError, shown, unknown_name
from neomflex_jax.files.parquet import is_parquet, parquet_batches, parquet_header, parquet_rows
from neomflex_jax.files.tables import EMPTY_SHARE, number_in, rows_of
from neomflex_jax.files.text import MIB

BLOCK_CELLS, LEAST_ROWS = 200_000, 16
FIRST_LINE = 2  # of the rows below a header
LARGEST = float(np.finfo(np.float32).max)  # arrays are float32 by default


@dataclass(frozen=True, eq=False)
class WideTable:
    """Chosen columns of a table, all rows or a block of them."""

    path: Path
    names: tuple[str, ...]
    values: np.ndarray  # (n_rows, n_columns); NaN where a cell is empty or says so
    lines: np.ndarray  # (n_rows,) as a text editor counts them; see `row_name`
    texts: tuple[str, ...]  # (n_rows,) cells of the column that was kept as text, none otherwise


def read_header(path: Path) -> tuple[str, ...]:
    """Read the names of a table's columns: in a CSV file those in its first row."""
    if is_parquet(path):
        return parquet_header(path)
    for _, row in rows_of(path):
        return tuple(name.strip() for name in row)
    raise InputError(f"{path}: not a readable CSV file (it is empty)")


def row_name(path: Path, line: int) -> str:
    """Return what messages call a row: its line in a CSV file; a Parquet table has rows, which its readers count."""
    return f"row {line - FIRST_LINE} (from 0)" if is_parquet(path) else f"line {line}"


def check_columns(path: Path, header: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise `InputError` unless a header has each of the wanted columns once; names the nearest of a missing one."""
    given = Counter(header)
    for name in wanted:
        if name not in given:
            error = unknown_name("column", name, {one for one in header if one}, listed_by="the header")
            raise InputError(f"{path}: {error}")
        if given[name] > 1:
            raise InputError(f"{path}: column {shown(name)} is given {given[name]} times; keep one")


def read_wide(path: Path, columns: Sequence[str], text_column: str | None = None) -> WideTable:
    """Read columns as float64, and one more as text; errors as in `blocks_of`."""
    blocks = list(blocks_of(path, columns, text_column))
    values, lines = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("values", "lines"))
    return WideTable(path, tuple(columns), values, lines, tuple(text for block in blocks for text in block.texts))


def blocks_of(path: Path, columns: Sequence[str], text_column: str | None = None) -> Iterator[WideTable]:
    """Read columns as float64, and one more as text, a block of rows at a time; at least one block, maybe of no row.

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
    most = max(LEAST_ROWS, BLOCK_CELLS // (len(columns) or 1))
    if is_parquet(path):
        yield from _parquet_blocks(path, columns, text_column, most)
        return
    rows = islice(rows_of(path), 1, None)
    while True:
        values, lines, texts = np.empty((most, len(columns))), list[int](), list[str]()
        for line, row in islice(rows, most):
            if len(row) > len(header):
                raise InputError(f"{path}: line {line} has {len(row)} cells, the header has {len(header)}")
            row += [""] * (len(header) - len(row))
            values[len(lines)] = _numbers(path, columns, [row[place] for place in places], line)
            lines.append(line)
            if text_place is not None:
                texts.append(row[text_place].strip())
        yield WideTable(path, tuple(columns), values[: len(lines)], np.array(lines, int), tuple(texts))
        if len(lines) < most:
            return


def _parquet_blocks(path: Path, columns: Sequence[str], text_column: str | None, most: int) -> Iterator[WideTable]:
    """Blocks of a Parquet file, whose lines are counted as if its header were the first."""
    line = FIRST_LINE
    for values, texts in parquet_batches(path, columns, text_column, most):
        for row, column in np.argwhere(np.abs(values) > LARGEST).tolist():
            where = f"{path}: {row_name(path, line + row)}, column {shown(columns[column])}"
            raise InputError(f"{where}: {values[row, column]:g} is not a finite number")
        yield WideTable(path, tuple(columns), values, np.arange(line, line + len(values)), tuple(texts))
        line += len(values)
    if line == FIRST_LINE:
        yield WideTable(path, tuple(columns), np.empty((0, len(columns))), np.zeros(0, int), ())


def _numbers(path: Path, columns: Sequence[str], cells: list[str], line: int) -> np.ndarray:
    """Return a row's numbers, NaN for an empty cell."""
    try:
        values = np.array(list(map(float, cells)))  # the usual row, ten times as fast
        if "_" not in "".join(cells) and (np.abs(values) <= LARGEST).all():
            return values
    except ValueError:
        pass
    values = np.array([number_in(cell) for cell in cells], float)
    for place in np.flatnonzero(~(np.abs(values) <= LARGEST)).tolist():
        if (cell := cells[place].strip()).lower() not in ("", "nan", "na"):
            where = f"{path}: line {line}, column {shown(columns[place])}"
            raise InputError(f"{where}: {shown(cell)} is not a finite number")
    return values


def most_rows(path: Path, n_columns: int) -> int:
    """Return how many rows a table can have at most, for memory to be set aside: one a line, whatever ends it.

    Raises
    ------
    InputError
        If so many rows of so many columns are far more than a file of this size can hold.
    """
    if is_parquet(path):
        return parquet_rows(path)
    with path.open("rb") as file:
        n_rows = sum(part.count(b"\n") + part.count(b"\r") for part in iter(partial(file.read, MIB), b"")) + 1
    if n_rows * n_columns > EMPTY_SHARE * path.stat().st_size + 1_000_000:
        raise InputError(f"{path}: most rows are far shorter than the header")
    return n_rows
