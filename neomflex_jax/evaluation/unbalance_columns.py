"""What the tables say of the unbalance of feeders with phases: the voltage unbalance factor in per cent."""

from __future__ import annotations

import numpy as np
import pandas as pd

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.evaluation.trajectory_layout import VUF

VUF_LARGEST, VUF_MEAN = "vuf_max_percent", "vuf_mean_percent"  # of all buses with three phases


def unbalance_columns(trajectory: Trajectory) -> dict[str, np.ndarray | float]:
    """Columns of the step table, by name; none of a feeder without phases."""
    if VUF not in trajectory.devices or not trajectory.devices[VUF].shape[1]:
        return {}
    vuf_percent = trajectory.devices[VUF]
    return {VUF_LARGEST: vuf_percent.max(axis=1), VUF_MEAN: vuf_percent.mean(axis=1, dtype=np.float64)}


def unbalance_totals(steps: pd.DataFrame, by: list[str]) -> dict[str, pd.Series[float]]:
    """Columns of the daily and run tables, by name, indexed by `by`."""
    if VUF_LARGEST not in steps:
        return {}
    groups = steps.groupby(by, sort=False)
    return {"max_vuf_percent": groups[VUF_LARGEST].max(), "mean_vuf_percent": groups[VUF_MEAN].mean()}
