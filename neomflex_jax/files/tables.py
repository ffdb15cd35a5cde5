"""Reading tables that users give us: every cell is checked, and an error names file, row and column.

Lines are counted as a text editor counts them: the header is line 1. Cells are separated by commas; where the header
has none, by its semicolons or tabs. Between semicolons decimals may have commas, as spreadsheets write them in much of
Europe, if no other cell of the file has a decimal point.
"""

import csv
import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError, shown, shown_list
from neomflex_jax.files.text import open_text

MAX_ROWS = 2_000_000
MAX_INTEGER = 2**53  # up to here float64 tells whole numbers apart
SEPARATORS = ",;\t"  # the first that the header has
DECIMAL = re.compile(r"[+-]?\d*([.,])\d+(?:[eE][+-]?\d+)?")
MOST_HEADER = 4_000_000  # characters of a header that are looked through for its separator
MOST_MISSING, MOST_NEEDED = 4, 10  # columns that a message names
EMPTY_SHARE = 4  # how many times more cells a table may have than its file holds, beyond a million


def read_table(path: Path, columns: tuple[str, ...], *, others: bool = True, hint: str = "") -> pd.DataFrame:
    """Read a CSV file as text, indexed by line number, and make sure that `columns` are there.

    Blank lines are skipped. `others` keeps the columns beside those named, unread; `hint` says where
    such a file comes from.

    Raises
    ------
    InputError
        If the file is missing or no text, a column is missing, a column that is kept is given twice, or a row is
        longer than the header.
    """
    header, rows = _read_rows(path)
    _check_header(path, header, columns, others, hint)
    kept = {name: place for place, name in enumerate(header) if name and (others or name in columns)}
    cells, longest = sum(map(len, rows.values())), max(map(len, rows.values()), default=0)
    if longest > len(header):
        line = next(line for line, row in rows.items() if len(row) > len(header))
        raise InputError(f"{path}: line {line} has {len(rows[line])} cells, the header has {len(header)}")
    if len(rows) * len(kept) > EMPTY_SHARE * cells + 1_000_000:
        raise InputError(f"{path}: most rows are far shorter than the header, which has {len(header)} cells")
    values = {name: [row[place] if place < len(row) else "" for row in rows.values()] for name, place in kept.items()}
    return pd.DataFrame(values, index=list(rows), columns=list(kept), dtype=str)


def first_rows(path: Path, n_rows: int) -> tuple[list[str], list[list[str]]]:
    """Look at a CSV file's names and up to `n_rows` rows, as text; ([], []) where it is no table, unchecked else."""
    try:
        with open_text(path, "CSV file") as file:
            header, *rows = (row for _, row in islice(_cells(path, file), n_rows + 1))
    except (InputError, csv.Error, ValueError):  # whoever reads the whole table says what is wrong with it
        return [], []
    return [name.strip() for name in header], rows


def rows_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV file that are not blank, each with its line, the header first; `InputError` on no CSV."""
    try:
        with open_text(path, "CSV file") as file:
            yield from _cells(path, file, strict=True)
    except csv.Error as error:
        raise InputError(f"{path}: not a readable CSV file ({error})") from error


def _cells(path: Path, file: TextIO, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield rows as `rows_of` does, decimal commas as points; `strict` refuses what stands behind a quoted cell."""
    while (header := file.readline(MOST_HEADER)) and not header.strip():
        pass
    file.seek(0)
    separator = next((mark for mark in SEPARATORS if mark in header), ",")
    reader = csv.reader(file, delimiter=separator, skipinitialspace=True, strict=strict)
    written: dict[str, str] = {}  # a cell with each decimal mark
    for row in filter(None, reader):
        if separator == ";":
            decimals = [DECIMAL.fullmatch(cell) for cell in row]
            written |= {found[1]: found[0] for found in decimals if found is not None and found[1] not in written}
            if len(written) == 2:
                raise InputError(
                    f"{path}: line {reader.line_num}: {shown(written[','])} and {shown(written['.'])} have different "
                    "decimal marks; write all with points"
                )
            if "," in written:
                row = [cell.replace(",", ".") if found else cell for cell, found in zip(row, decimals, strict=True)]
        yield reader.line_num, row


def _read_rows(path: Path) -> tuple[list[str], dict[int, list[str]]]:
    """Return the header's names, and every other row by its line number."""
    rows = dict(islice(rows_of(path), MAX_ROWS + 2))
    if not rows:
        raise InputError(f"{path}: not a readable CSV file (it is empty)")
    if len(rows) > MAX_ROWS + 1:
        raise InputError(f"{path}: more than {MAX_ROWS} rows; split the file")
    return [name.strip() for name in rows.pop(next(iter(rows)))], rows


def _check_header(path: Path, header: list[str], columns: tuple[str, ...], others: bool, hint: str) -> None:
    given = Counter(header)
    missing = [name for name in columns if name not in given]
    if missing:
        alike = {name.lower() for name in given}
        case = "; upper and lower case count" if any(name.lower() in alike for name in missing) else ""
        lacks = ", ".join(shown(name) for name in missing[:MOST_MISSING])
        lacks += f" and {len(missing) - MOST_MISSING} more" if len(missing) > MOST_MISSING else ""
        needs = f" and needs {shown_list(columns)}" if len(columns) <= MOST_NEEDED else ""
        raise InputError(
            f"{path}: column {lacks} is missing; the header has {shown_list(header)}{needs}{case}{hint and f'; {hint}'}"
        )
    twice = [name for name in (given if others else columns) if name and given[name] > 1]
    if twice:
        raise InputError(f"{path}: column {shown(twice[0])} is given {given[twice[0]]} times; keep one")


def numbers(path: Path, table: pd.DataFrame, column: str) -> np.ndarray:
    """One column as finite float64 numbers.

    Raises
    ------
    InputError
        On the first cell that is empty, not a number, NaN, infinite or beyond float32, naming line and column.
    """
    values = np.array([number_in(cell) for cell in table[column]], np.float64)
    bad = np.flatnonzero(~(np.abs(values) <= np.finfo(np.float32).max))  # arrays are float32 by default
    if bad.size:
        line = table.index[bad[0]]
        more = f" ({bad.size - 1} more such cells)" if bad.size > 1 else ""
        raise InputError(
            f"{path}: line {line}, column {shown(column)}: {shown(table[column].iloc[bad[0]])} is not a finite "
            f"number{more}"
        )
    return values


def numbers_or_empty(path: Path, table: pd.DataFrame, column: str) -> np.ndarray:
    """One column as `numbers` reads it, NaN where a cell is empty."""
    stated = (table[column].str.strip() != "").to_numpy()
    values = np.full(len(table), np.nan)
    values[stated] = numbers(path, table[stated], column)
    return values


def number_in(cell: str) -> float:
    """Return the float64 nearest to the text (pandas' own reader may be one digit off), NaN if it is no number."""
    try:
        return math.nan if "_" in cell else float(cell)
    except ValueError:
        return math.nan


def integers(path: Path, table: pd.DataFrame, column: str) -> list[int]:
    """One column as integers; errors as in `numbers`."""
    values = numbers(path, table, column)
    bad = np.flatnonzero((values != np.round(values)) | (np.abs(values) > MAX_INTEGER))
    if bad.size:
        raise InputError(
            f"{path}: line {table.index[bad[0]]}, column {shown(column)}: {values[bad[0]]} is not a whole number "
            f"of at most {MAX_INTEGER}"
        )
    return [int(value) for value in values]


def without_negative_zeros(table: pd.DataFrame) -> pd.DataFrame:
    """Copy a table with every floating-point -0.0 in it as 0.0, so that no file says -0."""
    floats = [name for name, dtype in table.dtypes.items() if np.issubdtype(dtype, np.floating)]
    return table.assign(**{str(name): table[name] + 0.0 for name in floats})
