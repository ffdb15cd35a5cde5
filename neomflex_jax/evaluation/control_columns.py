"""What the tables say of a feeder's own controls where a scenario follows them: positions and operations by control.

The position of a regulator is the number of steps by which its tap is above the winding's rated voltage, so that more
raises the voltage of its side; that of a capacitor the steps that are in. Operations are steps from one to the next.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from neomflex_jax.environment.feeder_controls import plan_for
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.evaluation.trajectory_layout import FEEDER_STEPS, FEEDER_TAPS
from neomflex_jax.grid import load_feeder

BEGINS, POSITION, OPERATIONS = "feeder_control_", "_position", "_operations"
TOTAL = "feeder_control_operations"


def control_columns(trajectory: Trajectory) -> dict[str, np.ndarray | float]:
    """Columns of the step table, by name; none where no control is followed."""
    if FEEDER_TAPS not in trajectory.devices:
        return {}
    plan = plan_for(trajectory.scenario, load_feeder(trajectory.scenario.feeder))
    assert plan is not None  # the run has what it recorded
    step = np.array([each.winding.step for each in plan.regulators])
    names = [each.control.name for each in plan.regulators] + [each.control.name for each in plan.capacitors]

    def positions(when: str) -> np.ndarray:
        taps = np.asarray(trajectory.devices[FEEDER_TAPS + when], float)
        steps = np.asarray(trajectory.devices[FEEDER_STEPS + when], float)
        return np.concatenate([np.round((taps - 1.0) / step) if len(step) else taps, steps], axis=1)

    after, before = positions(""), positions("_before")
    columns: dict[str, np.ndarray | float] = {}
    for number, name in enumerate(name.partition(".")[2] for name in names):
        columns[f"{BEGINS}{name}{POSITION}"] = after[:, number]
        columns[f"{BEGINS}{name}{OPERATIONS}"] = np.abs(after - before)[:, number]
    return columns | {TOTAL: np.abs(after - before).sum(axis=1)}


def control_totals(steps: pd.DataFrame, by: list[str]) -> dict[str, pd.Series[float]]:
    """Columns of the daily and run tables, by name, indexed by `by`."""
    return {TOTAL: steps.groupby(by, sort=False)[TOTAL].sum()} if TOTAL in steps else {}
