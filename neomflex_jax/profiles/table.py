"""A table of series as a scenario's ``[profiles]`` has it read: columns by element, the file's own clock, holes."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neomflex_jax.errors import InputError, shown, shown_list
from neomflex_jax.files.wide_tables import blocks_of, check_columns
from neomflex_jax.profiles.assign import DEMAND, SOLAR, Assigned, SolarDevice
from neomflex_jax.profiles.by_element import columns_followed
from neomflex_jax.profiles.config import UNITS, SeriesConfig
from neomflex_jax.profiles.demand_unit import check_demand_unit, per_unit_of
from neomflex_jax.profiles.sessions import Days, SessionDevice, read_sessions
from neomflex_jax.profiles.split import Split, split_days, words_by_day
from neomflex_jax.profiles.table_files import is_ignored, joined_rows, table_files

BLOCK_ROWS = 1024
MOST_NAMED = 8


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
    chargers: tuple[SessionDevice, ...] = ()  # of the sessions' file, if there is one

    @property
    def loads_mw(self) -> float:
        """Nominal power of all loads together."""
        return sum(each.element.p_mw for each in self.assigned if each.element.table == "load")


@dataclass(frozen=True, eq=False)
class Columns:
    """A table as rows of the scenario's step."""

    common: Mapping[str, np.ndarray]  # (n_rows,) each: Demand, Solar, the price and the outdoor temperature
    names: tuple[str, ...]  # of the columns that elements and devices follow
    own: np.ndarray  # (n_rows, n_names) theirs
    first_day: str  # its date, empty if the table has none
    days_left_out: int


def read_columns(path: Path, wanted: Wanted) -> Columns:
    """Read the wanted columns, `Demand` and `Solar` among them, as rows of the scenario's step.

    A table without Demand has that of its loads: their sum over their nominal sum. Without Solar it has that of the
    devices with a sun of their own: their sum over their ratings' sum, 0 without any.

    Raises
    ------
    InputError
        On a column that is missing or that nobody uses, a cell that is missing without `fill`, or a clock that
        contradicts rows taken as steps.
    """
    config = wanted.config
    files = table_files(path, config)
    header = [name for file in files for name in file.columns]
    common = _common(path, header, wanted)
    own = tuple(dict.fromkeys(name for name, _ in columns_followed(wanted.assigned, wanted.devices)))
    check_columns(path, header, (*common, *own, *([config.split_column] if config.split_column else [])))
    _check_all_used(path, header, config, {*common, *own, config.split_column})
    rows = joined_rows(files, common, own, config, wanted.step_hours, wanted.steps_per_day)
    for text in rows.told:
        warnings.warn(text, stacklevel=5)
    columns = {name: rows.common[:, number] for number, name in enumerate(common)}
    if DEMAND in columns:
        columns[DEMAND] = _demand_per_unit(path, columns[DEMAND], wanted)
    else:
        columns[DEMAND] = _demand_of_loads(wanted, columns, own, rows.own)
    if SOLAR not in columns:
        columns[SOLAR] = _solar_of_devices(wanted, own, rows.own)
    return Columns(columns, own, rows.own, rows.first_day, rows.days_left_out)


def read_session_rows(path: Path, wanted: Wanted, columns: Columns) -> np.ndarray | None:
    """Read the sessions' file for a table's days, as `read_sessions` returns them; None without one.

    Raises
    ------
    InputError
        As `read_sessions`, or if the days have no dates.
    """
    name = wanted.config.sessions_file
    if not name:
        return None
    _check_whole_days(path, wanted, f"the dates of {name!r}")
    if not columns.first_day or columns.days_left_out:
        why = f"{columns.days_left_out} are left out" if columns.first_day else "the series have no times"
        raise InputError(f"{path}: sessions need dates, of days in a row, and {why}; add them")
    n_days = len(columns.own) // wanted.steps_per_day
    first_day = dt.date.fromisoformat(columns.first_day)
    days = Days(first_day, n_days, wanted.steps_per_day, wanted.step_hours)
    return read_sessions(path / name, wanted.chargers, days, wanted.config)


def read_split(path: Path, wanted: Wanted, columns: Columns) -> Split:
    """Split a table's days by the scenario's rules.

    Raises
    ------
    InputError
        As `split_days`, or on a column of parts that is missing or says something else.
    """
    config, n_days, words = wanted.config, len(columns.own) // wanted.steps_per_day, None
    _check_whole_days(path, wanted, "days by rule")
    if columns.days_left_out and any(config.rules.values()):
        advice = "add them, or let a column say which part each day is in: [profiles] split_column"
        raise InputError(
            f"{path}: rules of days need days in a row, and {columns.days_left_out} are left out; {advice}"
        )
    if config.split_column:
        file = next(file for file in table_files(path, config) if config.split_column in file.columns)
        blocks = blocks_of(file.path, (), file.columns[config.split_column])
        cells = [text for block in blocks for text in block.texts]
        words = words_by_day(str(path), config.split_column, cells, n_days)
    first_day = dt.date.fromisoformat(columns.first_day) if columns.first_day else None
    return split_days(config.rules, n_days, first_day, words, str(path))


def _check_whole_days(path: Path, wanted: Wanted, what: str) -> None:
    if abs(wanted.step_hours * wanted.steps_per_day - 24.0) > 1e-6:
        raise InputError(f"{path}: {what} are of 24 hours; the scenario's have other lengths")


def _common(path: Path, header: Sequence[str], wanted: Wanted) -> tuple[str, ...]:
    """Return the columns but the followers' own that are read; refuse a table without one that somebody follows."""
    followers = {each.p_column: each.element.title for each in reversed(wanted.assigned) if not each.is_mapped}
    if DEMAND not in header and DEMAND in followers:
        who = f"{followers[DEMAND]} has no column of its own and follows it; add it, or map the load in [profiles]"
        raise InputError(f"{path}: column 'Demand' is missing, and {who}; the header has {shown_list(header)}")
    if SOLAR not in header and (wanted.needs_solar or SOLAR in followers):
        who = followers.get(SOLAR, "a PV inverter")
        raise InputError(
            f"{path}: column 'Solar' is missing, and {who} follows it; the header has {shown_list(header)}"
        )
    stated = {each.p_column for each in wanted.assigned} | {each.q_column for each in wanted.assigned}
    stated |= {device.column for device in wanted.devices}
    chosen = {name: None for name in (DEMAND, SOLAR) if name in header or name in stated - followers.keys()}
    return tuple(chosen | {name: None for name in (wanted.tariff_column, wanted.config.outdoor_temperature) if name})


def _check_all_used(path: Path, header: Sequence[str], config: SeriesConfig, used: set[str]) -> None:
    unused = [name for name in header if name and name not in used and not is_ignored(config, name)]
    if unused:
        advice = f"map an element to it, or say [profiles] ignore = [{unused[0]!r}]"
        others = f"; likewise {shown_list(map(shown, unused[1:MOST_NAMED]))}" if unused[1:] else ""
        raise InputError(f"{path}: nobody uses column {shown(unused[0])}; {advice}{others}")


def _demand_per_unit(path: Path, demand: np.ndarray, wanted: Wanted) -> np.ndarray:
    unit = wanted.config.demand_unit
    if not unit:
        check_demand_unit(path, demand, wanted.loads_mw)
    elif UNITS.get(unit) is not None and wanted.loads_mw <= 0:
        raise InputError(f"{path}: demand_unit = {unit!r} is a share of the loads' nominal power, and they have none")
    return demand * per_unit_of(unit, wanted.loads_mw)


def _demand_of_loads(
    wanted: Wanted, common: Mapping[str, np.ndarray], names: Sequence[str], own: np.ndarray
) -> np.ndarray:
    in_mw, nominal_mw = UNITS[wanted.config.unit], wanted.loads_mw
    loads = [each for each in wanted.assigned if each.element.table == "load"]
    if wanted.config.demand_unit:
        raise InputError(f"[profiles] demand_unit = {wanted.config.demand_unit!r}: there is no column 'Demand' in it")
    if nominal_mw <= 0:
        raise InputError("[profiles] without a column 'Demand' it is that of the loads, and they have no nominal power")
    weights, total = np.zeros(len(names)), np.zeros(len(own))
    for each in loads:
        if each.p_column == SOLAR:
            total += each.element.p_mw * common[SOLAR]
        else:
            weights[names.index(each.p_column)] += each.element.p_mw if in_mw is None else in_mw
    return (total + _weighted(own, weights)) / nominal_mw


def _solar_of_devices(wanted: Wanted, names: Sequence[str], own: np.ndarray) -> np.ndarray:
    weights = np.zeros(len(names))
    devices = [device for device in wanted.devices if device.column in names]
    for device in devices:
        weights[names.index(str(device.column))] += device.rating_mw * device.per_rating(wanted.config)
    return _weighted(own, weights, least=0.0) / (sum(device.rating_mw for device in devices) or 1.0)


def _weighted(own: np.ndarray, weights: np.ndarray, least: float = -np.inf) -> np.ndarray:
    """Return weighted sums of the columns (n_rows,) in float64, of values not below `least`."""
    total = np.zeros(len(own))
    for first in range(0, len(own), BLOCK_ROWS):
        block = slice(first, first + BLOCK_ROWS)
        total[block] = np.maximum(own[block].astype(float), least) @ weights
    return total
