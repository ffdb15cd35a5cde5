"""The step table: pandapower's figures of every step beside the recorded ones."""

from __future__ import annotations

import numpy as np
import pandas as pd

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.files.tables import without_negative_zeros
from validation.errors.metrics import Series
from validation.referee.replay import Replay


def step_table(trajectory: Trajectory, replayed: Replay, series: Series) -> pd.DataFrame:
    """Return a table with a row a step; days are counted from the profiles' first."""
    worst = np.nan_to_num(np.abs(series.vm_error_pu), nan=-1.0).argmax(axis=1)
    day = np.asarray(trajectory.dataset_index) // trajectory.scenario.steps_per_day
    own = {"run": trajectory.run, "day": day, "step": trajectory.step}
    own |= {"dataset_index": trajectory.dataset_index, "status": replayed.status, "attempts": replayed.attempts}
    sides = (
        ("", replayed, series.cost, series.outside_hard, series.outside_band),
        ("recorded_", trajectory, series.recorded_cost, series.recorded_outside_hard, series.recorded_outside_band),
    )
    for prefix, source, cost, hard, band in sides:
        own |= {
            f"{prefix}losses_mw": source.loss_mw,
            f"{prefix}slack_p_mw": source.slack_p_mw,
            f"{prefix}slack_q_mvar": source.slack_q_mvar,
            f"{prefix}voltage_min_pu": source.vm_pu.min(axis=1),
            f"{prefix}voltage_max_pu": source.vm_pu.max(axis=1),
            f"{prefix}cost": cost,
            f"{prefix}buses_outside_hard_limits": hard.sum(axis=1),
            f"{prefix}buses_outside_band": band.sum(axis=1),
        }
    if series.loadings is not None:
        for prefix, percent in (("", series.loadings.exact), ("recorded_", series.loadings.recorded)):
            own |= {
                f"{prefix}loading_max_percent": percent.max(axis=1),
                f"{prefix}branches_above_hard_limits": series.loadings.above_hard(percent).sum(axis=1),
            }
    rows = np.arange(trajectory.n_steps)
    own |= {"voltage_error_pu": series.vm_error_pu[rows, worst]}
    own |= {"voltage_error_bus": np.asarray(trajectory.nodes.labels)[worst]}
    return without_negative_zeros(pd.DataFrame(own))
