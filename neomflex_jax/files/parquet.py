"""Parquet tables of numbers, read a batch of rows at a time; pyarrow comes with the extra `parquet`.

What a file says of its size is held against what is allowed before any of its content is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from neomflex_jax.errors import InputError, reason_of, shown
from neomflex_jax.files.paths import is_file
from neomflex_jax.files.text import MIB

MOST_COLUMNS, MOST_ROWS = 100_000, 50_000_000
MOST_CHUNK_BYTES = 2048 * MIB  # of one column in one group of rows, unpacked
MOST_THRIFT = 64 * MIB  # of texts and lists in the file's description of itself
Batch = tuple[np.ndarray, list[str]]  # numbers (n_rows, n_columns), NaN where there is none, and texts


def is_parquet(path: Path) -> bool:
    """Return True if a file's name says that it is a Parquet table."""
    return path.suffix.lower() in (".parquet", ".pq")


def parquet_header(path: Path) -> tuple[str, ...]:
    """Return the names of a file's columns; raises `InputError` if it is none, or too large."""
    with _opened(path) as file:
        return tuple(file.schema_arrow.names)


def parquet_rows(path: Path) -> int:
    """Return the number of a file's rows; errors as in `parquet_header`."""
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def parquet_time_column(path: Path) -> str | None:
    """Return the first column of dates and times, None if there is none; errors as in `parquet_header`."""
    import pyarrow.types as types

    with _opened(path) as file:
        return next((str(each.name) for each in file.schema_arrow if types.is_timestamp(each.type)), None)


def parquet_batches(path: Path, columns: Sequence[str], text_column: str | None, most_rows: int) -> Iterator[Batch]:
    """Yield batches of so many rows at most; there may be none.

    Raises
    ------
    InputError
        As in `parquet_header`; also if a column of numbers holds something else.
    """
    wanted = list(dict.fromkeys([*columns, *([] if text_column is None else [text_column])]))
    with _opened(path) as file:
        _check_columns(path, file, columns, wanted)
        for batch in file.iter_batches(batch_size=most_rows, columns=wanted, use_threads=False):
            values = np.empty((batch.num_rows, len(columns)))
            for number, name in enumerate(columns):
                values[:, number] = batch.column(name).to_numpy(zero_copy_only=False)
            texts = [] if text_column is None else batch.column(text_column).to_pandas()
            yield values, ["" if text is None or text != text else str(text).strip() for text in texts]


def _check_columns(path: Path, file: Any, columns: Sequence[str], wanted: Sequence[str]) -> None:
    import pyarrow.types as types

    for name in columns:
        kind = file.schema_arrow.field(name).type
        if not (types.is_floating(kind) or types.is_integer(kind) or types.is_boolean(kind)):
            raise InputError(f"{path}: column {shown(name)} holds {kind}, not numbers; save it as float64")
    for group in range(file.metadata.num_row_groups):
        parts = file.metadata.row_group(group)
        for number in range(parts.num_columns):
            part = parts.column(number)
            if part.path_in_schema in wanted and part.total_uncompressed_size > MOST_CHUNK_BYTES:
                size = f"{part.total_uncompressed_size} bytes in one group of rows, more than {MOST_CHUNK_BYTES}"
                raise InputError(f"{path}: column {shown(part.path_in_schema)} has {size}; save it with smaller groups")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file whose sizes are allowed."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        install = 'install it with pip install "neomflex-jax[parquet]"'
        raise InputError(f"{path}: Parquet needs pyarrow; {install}, or save the table as CSV") from error
    if not is_file(path):
        raise InputError(f"{path}: no such file")
    limits = {"thrift_string_size_limit": MOST_THRIFT, "thrift_container_size_limit": MOST_THRIFT}
    try:
        with ParquetFile(path, pre_buffer=False, **limits) as file:
            sizes = file.metadata
            for what, size, most in (("columns", sizes.num_columns, MOST_COLUMNS), ("rows", sizes.num_rows, MOST_ROWS)):
                if not 0 <= size <= most:
                    raise InputError(f"{path}: says that it has {size} {what}; at most {most} are read")
            if len(file.schema_arrow.names) != sizes.num_columns:
                raise InputError(f"{path}: has columns with columns in them; save a flat table")
            yield file
    except InputError:
        raise
    except (ArrowException, OSError, ValueError, KeyError, OverflowError, MemoryError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({reason_of(error)})") from error
