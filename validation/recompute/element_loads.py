"""Loads of series by element, worked out a second time from the file and the feeder's list of elements.

``load of a bus = sum of its elements``, with phases each load by itself. An element is ``nominal power x its column``
or, where the columns are powers, the column itself, generation negative. Its column is that of its name, of its row, of
its bus, or of the first pattern that fits; without one loads follow Demand, sun Solar, and everything else keeps its
nominal power.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from neomflex_jax.files.parquet import is_parquet, parquet_time_column
from neomflex_jax.files.tables import first_rows, number_in
from neomflex_jax.files.wide_tables import read_header, read_wide
from neomflex_jax.grid import AnyFeeder, UnbalancedFeeder, load_feeder
from neomflex_jax.grid.elements import Element, Elements, loads_at_buses
from neomflex_jax.profiles import SeriesConfig
from neomflex_jax.scenario import Scenario
from validation.recompute.day_parts import first_midnight, rows_played

POWERS = {"MW": 1.0, "kW": 1e-3, "W": 1e-6}  # MW in one
FIELDS = {"load": "loads", "sgen": "generators", "storage": "storages"}
OF_CLASSES = {"pvsystem": "sgen", "generator": "sgen", "storage": "storage"}  # of OpenDSS's, as tables
OF_CLASSES |= dict.fromkeys(("sgen", "asymmetric_sgen"), "sgen")  # of pandapower's with phases
PER_UNIT_COLUMNS = ("Demand", "Solar")
DATE = "date of the day"  # a column that is added where sessions of a file are played
WITHOUT_SOURCE = ("", "wye", "delta", "none", "nan")  # types of generators that say nothing of what drives them


@dataclass(frozen=True)
class Followed:
    """What one element follows."""

    element: Element
    column: str | None  # None: its nominal power, always
    q_column: str | None  # None: the same as its active power
    by_scenario: bool  # whether the scenario says so


def loads_with_own_series(scenario: Scenario, feeder: AnyFeeder) -> np.ndarray:
    """Return the loads that are not their nominal power times Demand, (n_load,) bool: by node on balanced feeders."""
    others = [one.element for one in followed(scenario, feeder) if one.by_scenario or one.column != "Demand"]
    if isinstance(feeder, UnbalancedFeeder):
        return np.isin(np.arange(feeder.n_load), [element.index for element in others])
    return np.isin(feeder.nodes.bus, list({element.bus for element in others}))


def followed(scenario: Scenario, feeder: AnyFeeder) -> tuple[Followed, ...]:
    """Return what each element of the feeder follows."""
    return followed_of(scenario.series, _listed(feeder))


def _listed(feeder: AnyFeeder) -> Elements:
    """Return a feeder's elements; with phases each load is one, under its name without the class."""
    if not isinstance(feeder, UnbalancedFeeder):
        return feeder.elements or loads_at_buses(feeder.nodes, feeder.load_p_mw, feeder.load_q_mvar)
    rows = []
    for row, (load, bus) in enumerate(zip(feeder.loads, feeder.load_buses, strict=True)):
        kind, _, name = load.name.partition(".")
        source = "pv" if kind == "pvsystem" else ""
        rows.append(Element(OF_CLASSES.get(kind, "load"), row, name, bus, load.p_mw, load.q_mvar, source))
    return Elements(tuple(rows))


@lru_cache(maxsize=8)
def followed_of(series: SeriesConfig, elements: Elements) -> tuple[Followed, ...]:
    """Return what each of some elements follows by a scenario's ``[profiles]``."""
    found = []
    for element in elements.rows:
        own, own_q = (looked_up(getattr(series, FIELDS[element.table] + end), element) for end in ("", "_q"))
        rest = {"load": "Demand", "sgen": _column_of_generator(element.type)}.get(element.table)
        found.append(Followed(element, rest if own is None else own, own_q, own is not None))
    return tuple(found)


def _column_of_generator(type_: str) -> str | None:
    """Return Solar if a generator is photovoltaic by the type that its source states, or its type names no source."""
    plain = type_.casefold().strip()
    return "Solar" if plain in WITHOUT_SOURCE or re.search("pv|solar|photovoltaic", plain) else None


def looked_up(columns: Mapping[str, str], element: Element) -> str | None:
    """Return the column of an element among those that ``[profiles]`` states by name, row, bus or pattern."""
    name = element.name or str(element.index)
    patterns = [key for key in columns if any(sign in key for sign in "*?") and fnmatchcase(name, key)]
    for key in (element.name, str(element.index), f"bus {element.bus}", *patterns):
        if key and key in columns:
            words = (("{name}", element.name), ("{index}", str(element.index)), ("{bus}", str(element.bus)))
            column = columns[key]
            for word, value in words:
                column = column.replace(word, value)
            return column
    return None


def file_rows(scenario: Scenario, path: Path) -> pd.DataFrame:
    """Read a series' file, or a folder's, as rows of the scenario's step, by the clock that ``[profiles]`` states."""
    series, days_by = scenario.series, path
    if path.is_dir():
        files = sorted(file for file in path.glob("[!.]*") if file.suffix.lower() in (".csv", ".parquet", ".pq"))
        files = [file for file in files if file.name != series.sessions_file]
        tables = []
        for file in files:
            part, times = _read_table(scenario, file)
            tables.append(part.set_axis([file.stem], axis=1) if part.shape[1] == 1 else part)
            if series.split_column in (file.stem, *read_header(file)):
                days_by = file
        table = pd.concat(tables, axis=1)
    else:
        table, times = _read_table(scenario, path)
    if series.demand_unit in (*POWERS, "per_cent"):
        table["Demand"] *= _share_of_nominal(scenario)
    if series.sessions_file and times is not None:
        n_days = len(table) // scenario.steps_per_day
        days = pd.date_range(first_midnight(times, series.timezone), periods=n_days, freq="D")
        table[DATE] = np.repeat(days, scenario.steps_per_day)
    if not series.splits or series.part == "all":
        return table
    return rows_played(series, days_by, table, times, scenario.steps_per_day)


def _read_table(scenario: Scenario, path: Path) -> tuple[pd.DataFrame, pd.DatetimeIndex | None]:
    """Read a file as rows of the scenario's step, and the times of the file's own rows."""
    series = scenario.series
    header = read_header(path)
    column = series.time_column if series.time_column in header else _first_text(path, header, series.split_column)
    texts = ("", column, series.split_column)
    numbers = [name for name in header if name not in texts and not _is_left_out(series, name)]
    wide = read_wide(path, numbers, column)
    table = pd.DataFrame(wide.values, columns=numbers)
    times = None if column is None or series == SeriesConfig() else times_in(wide.texts)
    if series.fill:
        table = table.interpolate(limit_direction="both")
    if times is not None and series.resample:
        table = _resampled(scenario, table, times)
    return table, times


def _share_of_nominal(scenario: Scenario) -> float:
    """Return the share of the loads' nominal power that a Demand of 1 is."""
    unit = scenario.series.demand_unit
    if unit == "per_cent":
        return 0.01
    listed = _listed(load_feeder(scenario.feeder))
    return POWERS[unit] / sum(element.p_mw for element in listed.rows if element.table == "load")


def _resampled(scenario: Scenario, table: pd.DataFrame, times: pd.DatetimeIndex) -> pd.DataFrame:
    series = scenario.series
    if series.timezone and times.tz is None:
        times = times.tz_localize(series.timezone, ambiguous="infer").tz_convert("UTC")
    step = pd.Timedelta(hours=scenario.step_hours)
    return table.set_index(times).resample(step, origin="start").mean().dropna(how="all").reset_index(drop=True)


def _first_text(path: Path, header: tuple[str, ...], besides: str) -> str | None:
    """Return the first column whose first cell is no number, one beside; of a Parquet table that of its times."""
    if is_parquet(path):
        return parquet_time_column(path)
    _, rows = first_rows(path, 1)
    cells = zip(header, rows[0], strict=False)
    return next((name for name, cell in cells if math.isnan(number_in(cell)) and name != besides), None)


def _is_left_out(series: SeriesConfig, name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in series.ignore)


def times_in(texts: tuple[str, ...]) -> pd.DatetimeIndex | None:
    """Return the times in cells, None if one of them is none."""
    cells = pd.Series(texts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas says that it guesses
        stated_zone = bool(cells.str.contains(r":\d\d.*(?:Z|[+-]\d\d:?\d\d)$").all())
        found = pd.to_datetime(cells, format="mixed", dayfirst="." in texts[0], utc=stated_zone, errors="coerce")
    return None if found.isna().any() else pd.DatetimeIndex(found)


def element_powers(
    scenario: Scenario, feeder: AnyFeeder, rows: pd.DataFrame
) -> tuple[list[Element], np.ndarray, np.ndarray]:
    """Return all elements with their consumption p in MW and q in Mvar, (n, n_element), on rows of the file."""
    series, n_rows = scenario.series, len(rows)
    elements, p_mw, q_mvar = [], [], []
    for one in followed(scenario, feeder):
        p_values, p_is_power = _values(series, rows, one.column, n_rows, one.by_scenario)
        p, q = one.element.p_mw, one.element.q_mvar
        sign = -1.0 if one.element.table == "sgen" else 1.0
        active = sign * p_values if p_is_power else p * p_values
        ratio = q / p if p else 0.0
        if one.by_scenario and series.power_factor and one.element.table == "load":
            ratio = math.sqrt(1.0 / series.power_factor**2 - 1.0)
            reactive = active * ratio
        else:
            reactive = active * ratio if p_is_power else q * p_values
        if one.q_column is not None:
            q_values, q_is_power = _values(series, rows, one.q_column, n_rows, True)
            reactive = sign * q_values if q_is_power else q * q_values
        elements.append(one.element)
        p_mw.append(active * _factor(scenario, one.element, one.column))
        q_mvar.append(reactive * _factor(scenario, one.element, one.column))
    return elements, np.array(p_mw).T, np.array(q_mvar).T


def _values(
    series: SeriesConfig, rows: pd.DataFrame, column: str | None, n_rows: int, by_scenario: bool
) -> tuple[np.ndarray, bool]:
    """Return what a column says and whether it is a power."""
    if column is None:
        return np.ones(n_rows), False
    values = np.asarray(rows[column], float)
    if column == "Solar":
        values = np.maximum(values, 0.0)
    is_power = by_scenario and series.unit in POWERS and column not in PER_UNIT_COLUMNS
    return values * (POWERS[series.unit] if is_power else 1.0), is_power


def _factor(scenario: Scenario, element: Element, column: str | None) -> float:
    """Return the variant's factor: on generators that of Solar, on all else that of Demand, on steady powers none."""
    variant = scenario.chosen_variant
    if column is None:
        return 1.0
    of_solar = column == "Solar" or (element.table == "sgen" and column != "Demand")
    return variant.solar_factor if of_solar else variant.demand_factor


def at_loads(feeder: AnyFeeder, elements: list[Element], values: np.ndarray) -> np.ndarray:
    """Values of elements (n, n_element) by load, (n, n_load): summed at the nodes of their buses, equally, if balanced.

    With phases each is a load.
    """
    if isinstance(feeder, UnbalancedFeeder):
        return values[:, np.argsort([element.index for element in elements])]
    total = np.zeros((len(values), feeder.n_node))
    for number, element in enumerate(elements):
        nodes = feeder.nodes.at[element.bus]
        total[:, nodes] += values[:, [number]] / len(nodes)
    return total
