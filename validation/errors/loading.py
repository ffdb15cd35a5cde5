"""Loadings of limited branches, as recorded and as pandapower has them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neomflex_jax.evaluation.trajectory import Trajectory
from validation.errors.summary import Confusion, ErrorSummary, confusion, summarise
from validation.recompute.loading import Limited
from validation.recompute.record import Record
from validation.referee.replay import Replay


@dataclass(frozen=True)
class LoadingMetrics:
    """How far recorded loadings are off, in per cent of the ratings, and steps x branches above the limits."""

    n_branches: int  # limited
    error: ErrorSummary
    worst_branch: str | None  # by the largest error; None if nothing could be compared
    recorded_max_percent: float
    max_percent: float  # pandapower's
    hard: Confusion
    soft: Confusion


@dataclass(frozen=True, eq=False)
class Loadings:
    """Both sides, (n, n_limited) each, per cent of the ratings; NaN where a power flow has no answer."""

    limited: Limited
    recorded: np.ndarray
    exact: np.ndarray

    def above_hard(self, percent: np.ndarray) -> np.ndarray:
        """Steps x branches above their hard limits, (n, n_limited) bool."""
        return self.limited.above(percent, self.limited.hard_percent)

    def metrics(self) -> LoadingMetrics:
        """Work out the figures."""
        limited, both = self.limited, (self.recorded, self.exact)
        off = np.abs(self.recorded - self.exact)
        largest = np.max(off, axis=0, where=np.isfinite(off), initial=-1.0)
        return LoadingMetrics(
            n_branches=len(limited.names),
            error=summarise(*both),
            worst_branch=limited.names[int(largest.argmax())] if largest.max() >= 0 else None,
            recorded_max_percent=_largest(self.recorded),
            max_percent=_largest(self.exact),
            hard=confusion(*map(self.above_hard, both)),
            soft=confusion(*(limited.above(percent, limited.soft_percent) for percent in both)),
        )


def loading_of(record: Record, grid: Trajectory | Replay) -> np.ndarray | None:
    """Loadings of one side, (n, n_limited); None where nothing is limited."""
    if record.limited is None:
        return None
    if isinstance(grid, Replay):
        return record.limited.percent_of(grid.branch_i_ka)
    return np.asarray(grid.branch_loading_percent, float)


def loadings_of(record: Record, replayed: Replay) -> Loadings | None:
    """Both sides; None where nothing is limited."""
    recorded, exact = loading_of(record, record.trajectory), loading_of(record, replayed)
    if record.limited is None or recorded is None or exact is None:
        return None
    return Loadings(record.limited, recorded, exact)


def _largest(percent: np.ndarray) -> float:
    known = percent[np.isfinite(percent)]
    return float(known.max()) if known.size else float("nan")
