"""The files of a table of series: one, or a folder of them that are joined by their clocks.

In a folder, a file with one column beside its times is one series, called like the file; of any other file the columns
are series, called as in its header. Files whose names begin with a dot are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from neomflex_jax.errors import InputError, shown, unknown_name
from neomflex_jax.files.parquet import is_parquet, parquet_time_column
from neomflex_jax.files.paths import is_folder
from neomflex_jax.files.stored_arrays import aligned_bytes
from neomflex_jax.files.wide_tables import check_columns, read_header
from neomflex_jax.profiles.config import SeriesConfig
from neomflex_jax.profiles.kept_rows import step_rows
from neomflex_jax.profiles.series_clock import read_clock
from neomflex_jax.profiles.step_rows import Reading, StepRows, jax_float

KINDS = (".csv", ".parquet", ".pq")


@dataclass(frozen=True)
class TableFile:
    """One file of a table."""

    path: Path
    time_column: str | None
    columns: Mapping[str, str]  # its columns, times left out, by the names of their series

    def chosen(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the columns of those of the series that it has."""
        return tuple(self.columns[name] for name in names if name in self.columns)


def series_files(path: Path) -> tuple[Path, ...]:
    """Return the files of a table, the file itself if it is one.

    Raises
    ------
    InputError
        On a folder without CSV or Parquet files.
    """
    if not is_folder(path):
        return (path,)
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in KINDS and not file.name.startswith("."))
    if not files:
        raise InputError(f"{path}: a folder without a table; series are in files that end with {', '.join(KINDS)}")
    return tuple(files)


def table_files(path: Path, config: SeriesConfig) -> tuple[TableFile, ...]:
    """Look at a table's files.

    Raises
    ------
    InputError
        If two files have a series of one name, or only some of them have times.
    """
    if config.sessions_file and not is_folder(path):
        advice = "put both into a folder and name that as the series' file"
        raise InputError(
            f"{path}: [profiles] sessions_file = {config.sessions_file!r} lies in the series' folder; {advice}"
        )
    found = {file.name: file for file in series_files(path)}
    if config.sessions_file and found.pop(config.sessions_file, None) is None:
        raise InputError(f"{path}: [profiles] sessions_file: {unknown_name('file', config.sessions_file, found)}")
    if not found:
        raise InputError(f"{path}: has no table beside {config.sessions_file!r}; add the series of Demand and Solar")
    files = [_table_file(file, config, in_folder=file != path) for file in found.values()]
    owner: dict[str, Path] = {}
    for file in files:
        for name in file.columns:
            if name in owner:
                one, other = owner[name].name, file.path.name
                raise InputError(f"{path}: {one} and {other} both have a series {shown(name)}; rename or ignore one")
            owner[name] = file.path
    dated = [file for file in files if file.time_column is not None]
    for file in files if dated else ():
        if file.time_column is None:
            why = f"has no column of dates and times, and {dated[0].path.name} has; files are joined by them"
            raise InputError(f"{file.path}: {why}")
    for name in ("timezone", "resample"):
        if getattr(config, name) and not dated:
            advice = "name it in [profiles] time_column"
            raise InputError(f"{path}: {name} = {getattr(config, name)!r} needs a column of dates and times; {advice}")
    return tuple(files)


def _table_file(path: Path, config: SeriesConfig, *, in_folder: bool) -> TableFile:
    header = read_header(path)
    if in_folder:
        check_columns(path, header, [name for name in header if name])
    time_column = _time_column(path, header, config, in_folder=in_folder)
    names = [name for name in header if name and name != time_column]
    left = [name for name in names if not is_ignored(config, name)] if in_folder else names
    return TableFile(
        path, time_column, {path.stem: left[0]} if in_folder and len(left) == 1 else dict(zip(left, left, strict=True))
    )


def is_ignored(config: SeriesConfig, name: str) -> bool:
    """Return True if nobody needs a column."""
    return any(fnmatchcase(name, pattern) for pattern in config.ignore)


def _time_column(path: Path, header: Sequence[str], config: SeriesConfig, *, in_folder: bool) -> str | None:
    """Find the column of dates and times: the one that is named, or one whose name and cells say that it is one."""
    if config.time_column and (config.time_column in header or not in_folder):
        check_columns(path, header, [config.time_column])
        return config.time_column
    if is_parquet(path):
        column = parquet_time_column(path)
        return None if column is None or is_ignored(config, column) else column
    found = read_clock(path, config.ignore)
    return found.column if found is not None and found.column and found.is_dated else None


def joined_rows(
    files: Sequence[TableFile],
    common: Sequence[str],
    own: Sequence[str],
    config: SeriesConfig,
    step_hours: float,
    steps_per_day: int,
) -> StepRows:
    """Read series as rows of the scenario's step, in the order in which they are named; what is told names the files.

    Raises
    ------
    InputError
        As `step_rows`, or if a file holds other days than the first.
    """

    def read(file: TableFile) -> StepRows:
        clock = (file.time_column, config.timezone, step_hours, steps_per_day, config.resample, config.fill)
        rows = step_rows(file.path, Reading(file.chosen(common), file.chosen(own), *clock, jax_float()))
        return rows._replace(told=tuple(f"{file.path}: {text}" for text in rows.told))

    used = [file for file in files if file.chosen((*common, *own))] or files[:1]
    rows = read(used[0])
    if len(used) == 1:
        return rows
    days, own_type, told = _days_of(used[0], rows, steps_per_day), np.dtype(jax_float()), list[str]()
    values = aligned_bytes(len(rows.own) * len(own) * own_type.itemsize).view(own_type).reshape(-1, len(own))
    of_all = np.empty((len(rows.own), len(common)))
    for file in used:
        rows = rows if file is used[0] else read(file)
        if (found := _days_of(file, rows, steps_per_day)) != days:
            where = f"{file.path}: has {found}, and {used[0].path.name} {days}"
            raise InputError(f"{where}; give all files of the folder the same days")
        values[:, [place for place, name in enumerate(own) if name in file.columns]] = rows.own
        of_all[:, [place for place, name in enumerate(common) if name in file.columns]] = rows.common
        told += rows.told
    return StepRows(of_all, values, tuple(told), rows.first_day)


def _days_of(file: TableFile, rows: StepRows, steps_per_day: int) -> str:
    """Return which days the rows of a file in a folder are; refuse days that are left out."""
    if rows.days_left_out:
        raise InputError(f"{file.path}: {rows.days_left_out} days are left out; files are joined day by day")
    return f"{len(rows.own) / steps_per_day:g} days" + (f" from {rows.first_day}" if rows.first_day else "")
