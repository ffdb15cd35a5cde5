"""Reading tables that users give us: every cell is checked, and an error names file, row and column.

Lines are counted as a text editor counts them: the header is line 1.
"""

import csv
import math
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError

MAX_ROWS = 2_000_000


def read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read a CSV file as text, indexed by line number, and make sure that `columns` are there.

    Other columns are kept, unread; blank lines are skipped.

    Raises
    ------
    InputError
        If the file is missing or no text, a column is missing or given twice, or a row is longer than the header.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give a CSV file in it")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            rows: dict[int, list[str]] = {}
            for row in islice(reader, MAX_ROWS + 2):
                if row:
                    rows[reader.line_num] = row
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable CSV file ({error})") from error
    if not rows:
        raise InputError(f"{path}: not a readable CSV file (it is empty)")
    if len(rows) > MAX_ROWS + 1:
        raise InputError(f"{path}: more than {MAX_ROWS} rows; split the file")
    header = [name.strip() for name in rows.pop(next(iter(rows)))]
    _check_header(path, header, columns)
    for line, row in rows.items():
        if len(row) > len(header):
            raise InputError(f"{path}: line {line} has {len(row)} cells, the header has {len(header)}")
        row.extend([""] * (len(header) - len(row)))
    return pd.DataFrame(list(rows.values()), index=list(rows), columns=header, dtype=str)


def _check_header(path: Path, header: list[str], columns: tuple[str, ...]) -> None:
    missing = [name for name in columns if name not in header]
    if missing:
        raise InputError(
            f"{path}: column {', '.join(repr(name) for name in missing)} is missing; the header has "
            f"{', '.join(header)} and needs {', '.join(columns)}"
        )
    twice = [name for name in columns if header.count(name) > 1]
    if twice:
        raise InputError(f"{path}: column {twice[0]!r} is given {header.count(twice[0])} times; keep one")


def numbers(path: Path, table: pd.DataFrame, column: str) -> np.ndarray:
    """One column as finite float64 numbers.

    Raises
    ------
    InputError
        On the first cell that is empty, not a number, NaN, infinite or beyond float32, naming line and column.
    """
    values = np.array([_number(cell) for cell in table[column]], np.float64)
    bad = np.flatnonzero(~(np.abs(values) <= np.finfo(np.float32).max))  # arrays are float32 by default
    if bad.size:
        line = table.index[bad[0]]
        more = f" ({bad.size - 1} more such cells)" if bad.size > 1 else ""
        raise InputError(
            f"{path}: line {line}, column {column!r}: {table[column].iloc[bad[0]]!r} is not a finite number{more}"
        )
    return values


def _number(cell: str) -> float:
    """Return the float64 nearest to the text (pandas' own reader may be one digit off), NaN if it is no number."""
    try:
        return math.nan if "_" in cell else float(cell)
    except ValueError:
        return math.nan


def integers(path: Path, table: pd.DataFrame, column: str) -> list[int]:
    """One column as integers; errors as in `numbers`."""
    values = numbers(path, table, column)
    bad = np.flatnonzero(values != np.round(values))
    if bad.size:
        raise InputError(
            f"{path}: line {table.index[bad[0]]}, column {column!r}: {values[bad[0]]} is not a whole number"
        )
    return [int(value) for value in values]


def without_negative_zeros(table: pd.DataFrame) -> pd.DataFrame:
    """Copy a table with every floating-point -0.0 in it as 0.0, so that no file says -0."""
    floats = [name for name, dtype in table.dtypes.items() if np.issubdtype(dtype, np.floating)]
    return table.assign(**{str(name): table[name] + 0.0 for name in floats})
