"""Series that came with a net, as a file beside a new scenario and its table ``[profiles]``.

Every fourth week is kept from training. Only columns that somebody follows are written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from neomflex_jax.devices import PvInverter
from neomflex_jax.errors import InputError
from neomflex_jax.files.whole_files import whole_file, write_whole
from neomflex_jax.grid.elements import Element
from neomflex_jax.grid.from_pandapower.sources import NetSeries, NetSource
from neomflex_jax.loose_types import FieldValue
from neomflex_jax.profiles.assign import DEMAND, SOLAR
from neomflex_jax.profiles.config import TABLES

TEST = "week 4 of 4"  # what is kept from training
TIME = "time"  # column
LEAST_DAYS = 35  # with less there need be no such week, for weeks begin on Mondays
DIGITS = 6  # significant ones that are written


@dataclass(frozen=True, eq=False)
class ScenarioSeries:
    """What is written of a net's series."""

    columns: Mapping[str, np.ndarray]  # (n_rows,) by name
    maps: Mapping[str, Mapping[str, str]]  # fields of ``[profiles]``: columns by key
    header: Mapping[str, FieldValue]  # further fields of ``[profiles]``: file, unit, clock, days
    times: Sequence[str]  # (n_rows,)
    step_hours: float
    steps_per_day: int
    notice: str

    @property
    def notice_file(self) -> str:
        """Name of the file that says whose data they are."""
        return f"{Path(self.header['file']).stem}_NOTICE.txt"


def scenario_series(
    source: NetSource,
    elements: Sequence[Element],
    inverters: Sequence[PvInverter],
    pv_rows: Mapping[str, Mapping[int, float]],
    stem: str,
) -> ScenarioSeries:
    """Choose the columns that a scenario needs.

    Parameters
    ----------
    elements
        Of the feeder, those that became devices left out.
    inverters
        The scenario's, new ones too: these follow Solar, the mean of the net's own PV.
    pv_rows
        Of the taken ones, by label: their rows in net.sgen.
    stem
        With which the file's name begins.

    Raises
    ------
    InputError
        If a new inverter has no sun to follow, or the series are shorter than `LEAST_DAYS`.
    """
    series = source.series
    assert series is not None
    maps = _elements_maps(series, elements)
    columns = {name: series.columns[name] for of in maps.values() for name in of.values()}
    maps["pv_inverters"] = {}
    for inverter in inverters:
        if inverter.label in pv_rows:
            name, values = _own_sun(source, inverter, pv_rows[inverter.label])
            maps["pv_inverters"][inverter.label] = name
            columns[name] = values
    loads = [one for one in elements if one.table == "load"]
    if len(maps["loads"]) < len(loads):
        columns[DEMAND] = _demand(source, elements)
    if len(maps["pv_inverters"]) < len(inverters):
        columns[SOLAR] = _solar(source)
    steps_per_day = round(24.0 / series.step_hours)
    n_rows = len(series.times) // steps_per_day * steps_per_day
    if n_rows < LEAST_DAYS * steps_per_day:
        need = f"{LEAST_DAYS} days of {steps_per_day} are needed to keep every fourth week from training"
        raise InputError(f"{source.name}: {len(series.times)} rows of series; {need}")
    whole = {name: values[:n_rows] for name, values in columns.items()}
    clock = {"timezone": series.timezone} if series.timezone else {}
    return ScenarioSeries(
        columns=whole,
        maps={field: of for field, of in maps.items() if of},
        step_hours=series.step_hours,
        steps_per_day=steps_per_day,
        notice=series.notice,
        header={"file": f"{stem}_series.csv", "unit": series.unit, "time_column": TIME, "test": [TEST]} | clock,
        times=series.times[:n_rows],
    )


def _elements_maps(series: NetSeries, elements: Sequence[Element]) -> dict[str, dict[str, str]]:
    maps: dict[str, dict[str, str]] = {}
    for field, table in TABLES.items():
        own = [element for element in elements if element.table == table]
        given = Counter(element.name for element in own)
        for of, target in ((series.p_of, field), (series.q_of, f"{field}_q")):
            maps[target] = {
                _key(element, given): of[table, element.index] for element in own if (table, element.index) in of
            }
    return maps


def _key(element: Element, given: Counter[str]) -> str:
    """Return what ``[profiles]`` calls an element: its name where nothing else can be meant by it, or else its row."""
    name = element.name
    return str(element.index) if given[name] > 1 or not name or name.isdigit() or set(name) & set("*?") else name


def _own_sun(source: NetSource, inverter: PvInverter, rows: Mapping[int, float]) -> tuple[str, np.ndarray]:
    """Return the column of a taken inverter: that of its elements, or if they differ one of their sum."""
    series = source.series
    assert series is not None
    names = {series.p_of[("sgen", row)] for row in rows if ("sgen", row) in series.p_of}
    nominal_mw = sum(float(source.net.sgen.at[row, "p_mw"]) for row in rows)
    if len(names) == 1 and (len(rows) == 1 or series.unit == "per_unit") and nominal_mw == inverter.p_max_mw:
        (name,) = names
        return name, series.columns[name]
    total_mw = sum(series.p_mw(source.net, ("sgen", row)) for row in rows if ("sgen", row) in series.p_of)
    values = total_mw / inverter.p_max_mw if series.unit == "per_unit" else total_mw
    return f"sun_{inverter.label}", np.asarray(values)


def _solar(source: NetSource) -> np.ndarray:
    """Mean of the net's PV, per unit of its rated power."""
    series = source.series
    assert series is not None
    suns = [
        row
        for row in series.p_of
        if row[0] == "sgen" and Element("sgen", 0, "", 0, 0.0, 0.0, str(source.net.sgen.at[row[1], "type"])).is_sunny
    ]
    rated_mw = sum(float(source.net.sgen.at[number, "p_mw"]) for _, number in suns)
    if not rated_mw > 0:
        raise InputError(f"{source.name}: none of its series is of sun, which new PV would follow; --pv-per-agent 0")
    return np.asarray(sum(series.p_mw(source.net, row) for row in suns) / rated_mw)


def _demand(source: NetSource, elements: Sequence[Element]) -> np.ndarray:
    """Sum of the loads' series over their nominal power, for loads without one."""
    series = source.series
    assert series is not None
    own = [one for one in elements if one.table == "load" and ("load", one.index) in series.p_of]
    nominal_mw = sum(one.p_mw for one in own)
    if not nominal_mw > 0:
        raise InputError(f"{source.name}: no load has a series")
    return np.asarray(sum(series.p_mw(source.net, ("load", one.index)) for one in own) / nominal_mw)


def write_series(series: ScenarioSeries, folder: Path) -> None:
    """Write the file, whole, and beside it whose data it is."""
    path = folder / series.header["file"]
    frame = pd.DataFrame({TIME: series.times} | dict(series.columns))
    with whole_file(path) as partial:
        frame.to_csv(partial, index=False, float_format=f"%.{DIGITS}g", lineterminator="\n")
    write_whole(folder / series.notice_file, f"{path.name}: {series.notice}\n")
