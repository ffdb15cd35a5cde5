"""How a set of errors is drawn over an axis: its range, where 98 % of it lies, and its mean."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def vm_error_pu(recorded_pu: np.ndarray, exact_pu: np.ndarray) -> np.ndarray:
    """Subtract exact from recorded in double precision, NaN where either side has no answer."""
    error = np.asarray(recorded_pu, float) - exact_pu
    return np.where(np.isfinite(error), error, np.nan)


def draw_spread(axes: Axes, at: np.ndarray, errors: np.ndarray) -> None:
    """Draw the columns of `errors` (n, n_at) at positions `at`; a column without any number leaves a gap."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of columns that are all NaN
        low, p1, mean, p99, high = (
            np.nanmin(errors, axis=0),
            np.nanpercentile(errors, 1, axis=0),
            np.nanmean(errors, axis=0),
            np.nanpercentile(errors, 99, axis=0),
            np.nanmax(errors, axis=0),
        )
    axes.fill_between(at, low, high, color=style.BLUE, alpha=0.18, linewidth=0, label="smallest to largest")
    axes.fill_between(at, p1, p99, color=style.BLUE, alpha=0.35, linewidth=0, label="1 % to 99 %")
    axes.plot(at, mean, color=style.BLUE, linewidth=1.6, marker="o", markersize=2.5, label="mean (bias)")
    axes.axhline(0.0, color=style.INK, linewidth=0.8, zorder=1)
