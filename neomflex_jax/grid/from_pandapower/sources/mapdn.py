"""A folder in MAPDN's layout: a net, and ``load_active.csv``, ``load_reactive.csv``, ``pv_active.csv`` in MW and Mvar.

The first column of each is the time, the others follow the order of the net's loads and static generators. What MAPDN
takes for an inverter's ratings is taken here, too: the largest active power of its series, and 1.2 times that in MVA.

Source: J. Wang and others, "Multi-Agent Reinforcement Learning for Active Voltage Control on Power Distribution
Networks", NeurIPS 2021; the layout is that of its repository, Future-Power-Networks/MAPDN.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError
from neomflex_jax.files.paths import is_file
from neomflex_jax.files.wide_tables import read_header, read_wide
from neomflex_jax.grid.from_pandapower.json_file import PICKLES, read_net
from neomflex_jax.grid.from_pandapower.sources.source import NetSeries, NetSource, Row
from neomflex_jax.loose_types import PandapowerNet

LOADS_P, LOADS_Q, PV_P = "load_active.csv", "load_reactive.csv", "pv_active.csv"
SERIES = (LOADS_P, LOADS_Q, PV_P)
OVERSIZE = 1.2  # apparent over largest active power


def is_mapdn(folder: Path) -> bool:
    """Return True if a folder has at least one of MAPDN's files of series."""
    return any(is_file(folder / name) for name in SERIES)


def open_net(folder: Path) -> NetSource:
    """Read a folder.

    Raises
    ------
    InputError
        On files that are missing, a net that is a pickle, or columns and rows that do not fit the net.
    """
    found = _net_file(folder)
    missing = [name for name in SERIES if not is_file(folder / name)] + ["net.json"] * (found is None)
    if found is None or missing:
        given = ", ".join(name for name in SERIES if name not in missing)
        how = "; save the net with pandapower.to_json(net, 'net.json')" if found is None else ""
        raise InputError(f"{folder}: has {given}, and MAPDN's layout needs {', '.join(missing)} beside it{how}")
    net = read_net(found)
    loads, generators = (net[table].index[net[table]["in_service"].to_numpy(bool)] for table in ("load", "sgen"))
    columns: dict[str, np.ndarray] = {}
    p_of, times = _read(folder / LOADS_P, net, "load", loads, columns)
    q_of, times_of_q = _read(folder / LOADS_Q, net, "load", loads, columns)
    pv_of, times_of_pv = _read(folder / PV_P, net, "sgen", generators, columns)
    for name, other in ((LOADS_Q, times_of_q), (PV_P, times_of_pv)):
        if other != times:
            raise InputError(f"{folder / name}: its times are not those of {LOADS_P}; give all three the same rows")
    for (_, number), column in pv_of.items():
        p_max_mw = float(columns[column].max())
        net.sgen.loc[number, ["p_mw", "max_p_mw", "sn_mva"]] = p_max_mw, p_max_mw, OVERSIZE * p_max_mw
        net.sgen.loc[number, ["q_mvar", "scaling"]] = 0.0, 1.0
    net.sgen.loc[generators, "type"] = "PV"
    step_hours = _step_hours(folder / LOADS_P, times)
    series = NetSeries(columns, p_of | pv_of, q_of, "MW", times, "", step_hours, "MAPDN's layout, as it was given")
    return NetSource(net, folder.resolve().name, series)


def _net_file(folder: Path) -> Path | None:
    """Return the one file that may hold the net, None if there is none."""
    found = sorted(folder.glob("*.json"))
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{folder}: has {len(found)} nets, {found[0].name} and {found[1].name}; keep one .json")
    pickles = [path for path in sorted(folder.iterdir()) if path.suffix in PICKLES]
    return pickles[0] if pickles else None  # a pickle is refused with what to do


def _read(
    path: Path, net: PandapowerNet, table: str, rows: pd.Index, columns: dict[str, np.ndarray]
) -> tuple[dict[Row, str], tuple[str, ...]]:
    """Add a file's columns, in MW or Mvar; returns the column of each element, and the times."""
    header = read_header(path)
    time, names = header[0], tuple(header[1:])
    if len(names) != len(rows):
        raise InputError(f"{path}: {len(names)} columns beside the time, and the net has {len(rows)} rows in {table}")
    read = read_wide(path, names, time)
    bad = np.argwhere(~np.isfinite(read.values))
    if len(bad):
        raise InputError(f"{path}: line {read.lines[bad[0][0]]}, column {names[bad[0][1]]!r}: no number")
    column_of: dict[Row, str] = {}
    for place, number in enumerate(rows):
        column_of[table, int(number)] = column = f"{path.stem}_{int(number)}"
        columns[column] = read.values[:, place] * net[table].at[number, "scaling"]
    return column_of, read.texts


def _step_hours(path: Path, times: tuple[str, ...]) -> float:
    try:
        first = pd.to_datetime(list(times[:2]))
    except ValueError as error:
        raise InputError(f"{path}: its first column holds no times: {times[0]!r}") from error
    step_hours = float((first[1] - first[0]) / pd.Timedelta(hours=1)) if len(first) == 2 else 0.0
    if not 0 < step_hours <= 12:
        raise InputError(f"{path}: rows {step_hours:g} hours apart; a day has at least two steps")
    return step_hours
