"""Constraints of a training beside what runs do on the days that are judged: shares of steps, costs, and their limits.

    share = steps that break the constraint / steps,   kept if share <= limit

Intervals are 95 % bootstraps over days (`claims.py`): other days of the same kind could have come out anywhere in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from neomflex_jax.evaluation.claims import Interval, mean_interval
from neomflex_jax.evaluation.loading_columns import LOADING_VIOLATIONS
from neomflex_jax.evaluation.tables import daily_summary, read_step_metrics
from neomflex_jax.files.whole_files import write_whole

FILE = "constraints.csv"
COUNTED = {
    "voltage": "voltage_violations",
    "loading": LOADING_VIOLATIONS,
    "band": "buses_outside_band",
}  # column of the step table that counts breaks


def constraint_table(steps: pd.DataFrame, limits: Mapping[str, float]) -> pd.DataFrame:
    """One row a run and constraint.

    Parameters
    ----------
    steps
        The step table.
    limits
        Share of steps that may break it, by constraint. Those that the step table does not count are left out.

    Returns
    -------
    pd.DataFrame
        ``run``, ``constraint``, ``limit``, ``share`` of steps, ``kept``, ``mean_day_cost``, ``n_days``, and
        ``share_low``, ``share_high``, ``day_cost_low``, ``day_cost_high``, NaN for one day.
    """
    rows = []
    days = daily_summary(steps).set_index(["run", "day"])["day_cost"]
    for name in (name for name in limits if COUNTED.get(name) in steps):
        broken = (steps[COUNTED[name]] > 0).groupby([steps["run"], steps["day"]], sort=False).mean()
        for run in steps["run"].unique():
            share, cost = (mean_interval(values[run].to_numpy(float)) for values in (broken, days))
            rows.append(_row(str(run), name, limits[name], share, cost) | {"n_days": len(days[run])})
    return pd.DataFrame(rows)


def write_constraints(step_file: Path, limits: Mapping[str, float]) -> None:
    """Write the `constraint_table` of a step table's file beside it."""
    table = constraint_table(read_step_metrics(step_file), limits)
    write_whole(step_file.parent / FILE, table.to_csv(index=False, float_format="%.9g", lineterminator="\n"))


def _row(run: str, name: str, limit: float, share: Interval, cost: Interval) -> dict[str, object]:
    return {
        "run": run,
        "constraint": name,
        "limit": limit,
        "share": share.estimate,
        "share_low": share.low,
        "share_high": share.high,
        "kept": share.estimate <= limit,
        "mean_day_cost": cost.estimate,
        "day_cost_low": cost.low,
        "day_cost_high": cost.high,
    }
