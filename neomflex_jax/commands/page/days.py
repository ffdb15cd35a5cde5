"""What every day cost, run by run, and the worst days of the policy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from neomflex_jax.commands.console import short
from neomflex_jax.commands.page.played import SAID
from neomflex_jax.commands.result_kinds import NO_CONTROL_RUNS
from neomflex_jax.loose_types import JsonObject

N_WORST = 6
MOST_RUNS = 6


@dataclass(frozen=True)
class WorstDay:
    """A row of the table of worst days; `day` is counted from 0, as in daily_summary.csv."""

    day: int
    cells: tuple[str, ...]


WORST_HEADER = ("day", "cost", "no control", "losses, MWh", "lowest, pu", "highest, pu", "buses x steps outside")


def worst_days(daily: pd.DataFrame, run: str) -> tuple[WorstDay, ...]:
    """Return the dearest days of a run, the dearest first, from the daily summary."""
    own = daily[daily["run"] == run].sort_values("day_cost", ascending=False).head(N_WORST)
    idle = _no_control(daily, run)
    return tuple(
        WorstDay(
            int(row["day"]),
            (
                str(int(row["day"])),
                short(row["day_cost"]),
                "" if idle is None else short(idle.get(row["day"])),
                short(row["total_losses_mwh"]),
                _pu(row["min_voltage_pu"]),
                _pu(row["max_voltage_pu"]),
                f"{int(row['buses_outside_band']):,}",
            ),
        )
        for row in own.to_dict("records")
    )


def day_costs(daily: pd.DataFrame, run: str) -> JsonObject:
    """Return each run's cost of every day for a chart, that of `run` first; of many runs the first few."""
    names = [run, *(name for name in dict.fromkeys(daily["run"].astype(str)) if name != run)][:MOST_RUNS]
    costs = {name: daily[daily["run"] == name].set_index("day")["day_cost"] for name in names}
    idle = _no_control(daily, run)
    if idle is not None and not {*NO_CONTROL_RUNS} & {*names}:
        costs["no control"] = idle
    days = costs[run].index.to_numpy(int)
    return {
        "days": days.tolist(),
        "runs": [
            {"name": SAID.get(name, name), "cost": _plain(cost.reindex(days).to_numpy(float))}
            for name, cost in costs.items()
        ],
    }


def _no_control(daily: pd.DataFrame, run: str) -> pd.Series[float] | None:
    own = daily[daily["run"] == run].set_index("day")
    if "no_control_day_cost" in own:
        return own["no_control_day_cost"]
    beside = daily[daily["run"].isin(NO_CONTROL_RUNS) & (daily["run"] != run)]
    return None if beside.empty else beside.drop_duplicates("day").set_index("day")["day_cost"]


def _pu(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else "n/a"


def _plain(values: np.ndarray) -> list[float | None]:
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]
