"""What the tables say of limited branches: loadings in per cent of their ratings, and steps x branches above limits.

A step without a power-flow answer has no loadings, and all its branches count as above their limits.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from neomflex_jax.evaluation.trajectory import Trajectory

LARGEST, LOADING_VIOLATIONS, ABOVE_SOFT = "loading_max_percent", "loading_violations", "branches_above_soft_limit"
NO_CONTROL_LOADING = "no_control_loading_violations"
BRANCH = ("loading_branch_", "_percent")  # around a branch's name
LIMITS = ("loading_soft_percent", "loading_hard_percent")  # of all branches without a limit of their own


def loading_columns(trajectory: Trajectory) -> dict[str, np.ndarray | float]:
    """Columns of the step table, by name; none where the scenario limits no loading."""
    loading_percent, config = trajectory.branch_loading_percent, trajectory.scenario.loading
    if loading_percent is None:
        return {}
    soft_percent, _ = config.limits_percent(trajectory.branches)
    columns: dict[str, np.ndarray | float] = {
        LARGEST: loading_percent.max(axis=1),
        LOADING_VIOLATIONS: loading_violations(trajectory),
        ABOVE_SOFT: _n_above(loading_percent, soft_percent),
    }
    columns |= {name: limit for name in LIMITS if (limit := getattr(config, name)) is not None}
    return columns | {name.join(BRANCH): loading_percent[:, row] for row, name in enumerate(trajectory.branches)}


def loading_violations(trajectory: Trajectory) -> np.ndarray:
    """Branches above their hard limits in every step, (n,)."""
    assert trajectory.branch_loading_percent is not None  # asked only where something is limited
    return _n_above(
        trajectory.branch_loading_percent, trajectory.scenario.loading.limits_percent(trajectory.branches)[1]
    )


def loading_totals(steps: pd.DataFrame, by: list[str]) -> dict[str, pd.Series[float]]:
    """Columns of the daily and run tables, by name, indexed by `by`."""
    if LARGEST not in steps:
        return {}
    groups = steps.groupby(by, sort=False)
    counts = {name: groups[name].sum() for name in (LOADING_VIOLATIONS, ABOVE_SOFT)}
    return {"max_loading_percent": groups[LARGEST].max()} | counts


def _n_above(loading_percent: np.ndarray, limit_percent: np.ndarray) -> np.ndarray:
    # compared in the loadings' own precision, as the environment did; NaN is within no limit
    above = ~(loading_percent <= limit_percent.astype(loading_percent.dtype))
    return np.count_nonzero(above & np.isfinite(limit_percent), axis=1)
