"""Reading tables that users give us: every cell is checked, and an error names file, row and column.

Rows are counted as a text editor counts lines: the header is line 1.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError

MAX_ROWS = 2_000_000


def read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read a CSV file as text and make sure that `columns` are there; other columns are kept, unread."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        table = pd.read_csv(path, dtype=str, skipinitialspace=True, keep_default_na=False, nrows=MAX_ROWS + 1)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable CSV file ({str(error).strip()})") from error
    table.columns = [str(name).strip() for name in table.columns]
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InputError(
            f"{path}: column {', '.join(repr(name) for name in missing)} is missing; the header has "
            f"{', '.join(table.columns)} and needs {', '.join(columns)}"
        )
    if len(table) > MAX_ROWS:
        raise InputError(f"{path}: more than {MAX_ROWS} rows; split the file")
    return table


def numbers(path: Path, table: pd.DataFrame, column: str) -> np.ndarray:
    """One column as finite float64 numbers.

    Raises
    ------
    InputError
        On the first cell that is empty, not a number, NaN or infinite, naming line and column.
    """
    values = pd.to_numeric(table[column].str.strip(), errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        line = int(bad[0]) + 2
        more = f" ({bad.size - 1} more such cells)" if bad.size > 1 else ""
        raise InputError(
            f"{path}: line {line}, column {column!r}: {table[column].iloc[bad[0]]!r} is not a finite number{more}"
        )
    return values


def integers(path: Path, table: pd.DataFrame, column: str) -> list[int]:
    """One column as integers; errors as in `numbers`."""
    values = numbers(path, table, column)
    bad = np.flatnonzero(values != np.round(values))
    if bad.size:
        raise InputError(f"{path}: line {int(bad[0]) + 2}, column {column!r}: {values[bad[0]]} is not a whole number")
    return [int(value) for value in values]
