"""A small folder in MAPDN's layout: its net, and four weeks of six-hour steps."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandapower
import pandas as pd

STEPS, DAYS = 4, 35


def small_net() -> Any:
    """Three buses in a row, a load at two of them and PV at the last."""
    net = pandapower.create_empty_network(name="small")
    buses = [pandapower.create_bus(net, 12.66) for _ in range(3)]
    pandapower.create_ext_grid(net, buses[0])
    for a, b in itertools.pairwise(buses):
        per_km = {"r_ohm_per_km": 0.3, "x_ohm_per_km": 0.2, "c_nf_per_km": 0.0}
        pandapower.create_line_from_parameters(net, a, b, 1.0, **per_km, max_i_ka=1.0)
        pandapower.create_load(net, b, p_mw=0.5, q_mvar=0.2)
    pandapower.create_sgen(net, buses[-1], p_mw=0.1)
    return net


def write_mapdn(folder: Path) -> dict[str, np.ndarray]:
    """Write the folder; returns the values of its files by their names, (n_rows, n_columns)."""
    folder.mkdir(parents=True, exist_ok=True)
    pandapower.to_json(small_net(), str(folder / "model.json"))
    random = np.random.default_rng(0)
    times = pd.date_range("2012-01-01", periods=STEPS * DAYS, freq="6h").astype(str)
    sun = np.arange(len(times)) % STEPS == STEPS // 2
    values = {
        "load_active.csv": random.uniform(0.2, 0.6, (len(times), 2)).round(4),
        "load_reactive.csv": random.uniform(0.0, 0.2, (len(times), 2)).round(4),
        "pv_active.csv": (sun * random.uniform(0.2, 0.8, len(times)))[:, None].round(4),
    }
    for name, columns in values.items():
        frame = pd.DataFrame(columns, columns=[f"bus_{number}" for number in range(columns.shape[1])])
        frame.insert(0, "time", times)
        frame.to_csv(folder / name, index=False)
    return values
