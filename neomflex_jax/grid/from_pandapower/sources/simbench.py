"""SimBench's grids with a year of series for every element, by code: ``1-LV-semiurb4--1-no_sw``.

The year is 2016 in steps of 15 minutes by German local time with summer time. Series are per unit of each element's
nominal power, and many elements share one, so that a year of a grid is some tens of columns. A generator whose series
is dark every night makes power from sun, whatever its type says: the renewables of a low-voltage grid that a
medium-voltage one sums up (``lv_RES``) are roofs.

Source: S. Meinecke and others, "SimBench - A Benchmark Dataset of Electric Power Systems to Compare Innovative
Solutions Based on Power Flow Analysis", Energies 13(12), 2020.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.grid.elements import SUN
from neomflex_jax.grid.from_pandapower.sources.source import NetSeries, NetSource, Row
from neomflex_jax.loose_types import PandapowerNet
from neomflex_jax.matplotlib_import import load_matplotlib

TIMEZONE = "Europe/Berlin"
STEP_HOURS = 0.25
NIGHT_HOURS = (23.5, 2.5)  # from and to: dark in Germany all year, whichever clock
NOTICE = (
    "SimBench (www.simbench.net), University of Kassel, Fraunhofer IEE, RWTH Aachen University and TU Dortmund; made "
    "available under the Open Database License (ODbL) 1.0, https://opendatacommons.org/licenses/odbl/1-0/"
)
SHAPES = {"load": "load", "sgen": "renewables", "storage": "storage"}  # table of an element: its series in net.profiles


def open_net(code: str) -> NetSource:
    """Load a grid with its series.

    Raises
    ------
    InputError
        Without the package `simbench`, or on a code that it does not know.
    """
    load_matplotlib()  # which pandapower imports
    try:
        import simbench  # an extra of its own
    except ImportError as error:
        raise InputError(
            f"simbench:{code} needs SimBench's grids; install them with: pip install 'neomflex-jax[simbench]'"
        ) from error
    known = simbench.collect_all_simbench_codes()
    if code not in known:
        raise unknown_name("code of SimBench", code, known, listed_by="simbench.collect_all_simbench_codes()")
    net = simbench.get_simbench_net(code)
    series = _series(net)
    _tell_sun(net, series)
    return NetSource(net, code, series)


def _series(net: PandapowerNet) -> NetSeries:
    columns: dict[str, np.ndarray] = {}
    p_of: dict[Row, str] = {}
    q_of: dict[Row, str] = {}
    for table, shapes in SHAPES.items():
        frame = net.profiles[shapes]
        for number, profile in net[table]["profile"].items():
            names = (f"{profile}_pload", f"{profile}_qload") if table == "load" else (profile,)
            if any(name not in frame for name in names):
                continue  # keeps its nominal power, as SimBench itself leaves it
            columns |= {name: frame[name].to_numpy(float) for name in names if name not in columns}
            p_of[table, number] = names[0]
            if len(names) > 1:
                q_of[table, number] = names[-1]
    times = pd.to_datetime(net.profiles["load"]["time"], format="%d.%m.%Y %H:%M")
    texts = tuple(times.dt.strftime("%Y-%m-%d %H:%M"))
    return NetSeries(columns, p_of, q_of, "per_unit", texts, TIMEZONE, STEP_HOURS, NOTICE)


def _tell_sun(net: PandapowerNet, series: NetSeries) -> None:
    """Add "(PV)" to the type of every static generator whose series follows the sun."""
    times = pd.DatetimeIndex(series.times)
    hours = np.asarray(times.hour + times.minute / 60.0, float)
    is_night = (hours >= NIGHT_HOURS[0]) | (hours <= NIGHT_HOURS[1])
    for number, kind in net.sgen["type"].items():
        column = series.p_of.get(("sgen", number))
        if column is None or any(word in str(kind).lower() for word in SUN):
            continue
        values = series.columns[column]
        if values.any() and not values[is_night].any():
            net.sgen.loc[number, "type"] = f"{kind} (PV)"
