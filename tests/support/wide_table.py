"""A small feeder with loads, sun and wind of its own, a scenario on it, and files of series by element."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

STEPS = 4  # of a day
SCENARIO = """
name = "own"
feeder = "{feeder}"
power_flow = "dc"
step_hours = 6.0
steps_per_day = 4

[[territories]]
agent = "agent_1"
buses = {buses}

[[batteries]]
bus = {bus}
capacity_mwh = 0.01
power_mw = 0.005

"""


def columns(n_days: int = 2, seed: int = 0, **series: float) -> pd.DataFrame:
    """Random columns of whole days, each times its factor."""
    random = np.random.default_rng(seed)
    table = {name: factor * random.uniform(0.2, 1.0, STEPS * n_days) for name, factor in series.items()}
    return pd.DataFrame(table).round(6)


def write_scenario(folder: Path, table: pd.DataFrame, profiles: str, feeder_folder: Path, **header: str) -> Path:
    """Write a table and a scenario that plays it by the lines of its [profiles]; gives the scenario's path."""
    table.to_csv(folder / "series.csv", index=False)
    buses = [int(bus) for bus in pd.read_csv(feeder_folder / "buses.csv")["bus"]]
    text = SCENARIO.format(feeder=feeder_folder.as_posix(), buses=buses, bus=buses[1])
    for name, value in header.items():
        text = re.sub(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
    path = folder / "own.toml"
    path.write_text(f'{text}[profiles]\nfile = "series.csv"\nevaluation_file = "series.csv"\n{profiles}\n', "utf-8")
    return path
