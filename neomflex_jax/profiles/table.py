"""A table of series as a scenario's ``[profiles]`` has it read: columns by element, the file's own clock, holes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError, shown, shown_list
from neomflex_jax.files.wide_tables import WideTable, check_columns, read_header, read_wide
from neomflex_jax.profiles.assign import DEMAND, SOLAR, Assigned, SolarDevice
from neomflex_jax.profiles.config import UNITS, SeriesConfig
from neomflex_jax.profiles.own_clock import own_clock, resampled
from neomflex_jax.profiles.series_clock import read_clock


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a table."""

    config: SeriesConfig
    assigned: tuple[Assigned, ...]
    step_hours: float
    steps_per_day: int
    tariff_column: str
    needs_solar: bool  # a device without a sun of its own follows it
    devices: tuple[SolarDevice, ...] = ()


def read_columns(path: Path, wanted: Wanted) -> dict[str, np.ndarray]:
    """Read the wanted columns, `Demand` and `Solar` among them, as rows (n_rows,) of the scenario's step.

    A table without Demand has that of its loads: their sum over their nominal sum. Without Solar it has that of the
    devices with a sun of their own: their sum over their ratings' sum, 0 without any.

    Raises
    ------
    InputError
        On a column that is missing or that nobody uses, a cell that is missing without `fill`, or a clock that
        contradicts rows taken as steps.
    """
    header = read_header(path)
    names = _chosen(path, header, wanted)
    time_column = _time_column(path, wanted.config)
    check_columns(path, header, names)
    _check_all_used(path, header, wanted.config, {*names, time_column})
    table = read_wide(path, names, time_column)
    values = _filled(table, wanted.config.fill)
    if time_column is not None:
        clock = own_clock(path, time_column, table.texts, table.lines, wanted.config.timezone)
        values = resampled(values, clock, wanted.step_hours, wanted.steps_per_day, wanted.config.resample)
    columns = {name: values[:, number] for number, name in enumerate(names)}
    if DEMAND not in columns:
        columns[DEMAND] = _demand_of_loads(wanted, columns)
    if SOLAR not in columns:
        columns[SOLAR] = _solar_of_devices(wanted, columns, len(values))
    return columns


def _chosen(path: Path, header: Sequence[str], wanted: Wanted) -> tuple[str, ...]:
    chosen = {name: None for name in (DEMAND, SOLAR) if name in header}
    followers = {each.p_column: each.element.title for each in reversed(wanted.assigned) if not each.is_mapped}
    if DEMAND not in header and DEMAND in followers:
        who = f"{followers[DEMAND]} has no column of its own and follows it; add it, or map the load in [profiles]"
        raise InputError(f"{path}: column 'Demand' is missing, and {who}; the header has {shown_list(header)}")
    if SOLAR not in header and (wanted.needs_solar or SOLAR in followers):
        who = followers.get(SOLAR, "a PV inverter")
        raise InputError(
            f"{path}: column 'Solar' is missing, and {who} follows it; the header has {shown_list(header)}"
        )
    for each in wanted.assigned:
        if each.is_mapped:
            chosen |= {name: None for name in (each.p_column, each.q_column) if name is not None}
    chosen |= {device.column: None for device in wanted.devices if device.column is not None}
    return tuple(chosen | ({wanted.tariff_column: None} if wanted.tariff_column else {}))


def _check_all_used(path: Path, header: Sequence[str], config: SeriesConfig, used: set[str | None]) -> None:
    for name in header:
        if name and name not in used and not any(fnmatchcase(name, pattern) for pattern in config.ignore):
            advice = f"map an element to it, or say [profiles] ignore = [{name!r}]"
            raise InputError(f"{path}: nobody uses column {shown(name)}; {advice}")


def _time_column(path: Path, config: SeriesConfig) -> str | None:
    """Find the column of dates and times: the one that is named, or one whose name and cells say that it is one."""
    if config.time_column:
        return config.time_column
    found = read_clock(path)
    if found is not None and found.column and found.is_dated:
        return found.column
    for name in ("timezone", "resample"):
        if getattr(config, name):
            advice = "name it in [profiles] time_column"
            raise InputError(f"{path}: {name} = {getattr(config, name)!r} needs a column of dates and times; {advice}")
    return None


def _filled(table: WideTable, fill: str) -> np.ndarray:
    missing = ~np.isfinite(table.values)
    if not missing.any():
        return table.values
    row, column = np.argwhere(missing)[0]
    where = f"{table.path}: line {table.lines[row]}, column {shown(table.names[column])}"
    n_missing = int(missing.sum())
    if not fill:
        more = f" ({n_missing - 1} more such cells)" if n_missing > 1 else ""
        raise InputError(f"{where}: no number{more}; [profiles] fill = 'interpolate' fills in between")
    whole = np.flatnonzero(missing.all(axis=0))
    if whole.size:
        raise InputError(
            f"{table.path}: column {shown(table.names[whole[0]])} has no number; there is nothing to fill with"
        )
    warnings.warn(f"{where} and on: {n_missing} cells without a number are interpolated", stacklevel=4)
    return pd.DataFrame(table.values).interpolate(limit_direction="both").to_numpy()


def _demand_of_loads(wanted: Wanted, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    in_mw = UNITS[wanted.config.unit]
    loads = [each for each in wanted.assigned if each.element.table == "load"]
    nominal_mw = sum(each.element.p_mw for each in loads)
    scales = [each.element.p_mw if in_mw is None or each.p_column == SOLAR else in_mw for each in loads]
    if nominal_mw <= 0:
        raise InputError("[profiles] without a column 'Demand' it is that of the loads, and they have no nominal power")
    total = sum(scale * columns[each.p_column] for scale, each in zip(scales, loads, strict=True))
    return np.asarray(total / nominal_mw)


def _solar_of_devices(wanted: Wanted, columns: Mapping[str, np.ndarray], n_rows: int) -> np.ndarray:
    own = [device for device in wanted.devices if device.column is not None]
    total = np.zeros(n_rows)
    for device in own:
        share = columns[str(device.column)] * device.per_rating(wanted.config)
        total += device.rating_mw * np.maximum(share, 0.0)
    return total / (sum(device.rating_mw for device in own) or 1.0)
