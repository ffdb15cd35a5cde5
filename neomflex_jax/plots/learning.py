"""The learning curve of a training: cost of a day and share of buses outside the band over the steps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import Figure

LOG_FROM_RATIO = 20.0
FEW_CHUNKS = 5  # drawn as points too: a line of one point is no line


def draw(steps: np.ndarray, day_cost: np.ndarray, share_outside_band: np.ndarray, power_flow: str = "") -> Figure:
    """Draw both on two axes, every point and a running mean.

    Parameters
    ----------
    steps, day_cost, share_outside_band
        As in `metrics.csv`, (n_chunks,).
    power_flow
        What the costs are from, for the axis.
    """
    label = f"cost of a day in {power_flow}" if power_flow else "cost of a day"
    figure, axes = style.new_figure("Learning: cost of a day while exploring", label)
    smooth = 2 * max(len(steps) // 20, 1)  # an even number: chunks of half a day alternate
    for panel, values, colour, label in (
        (axes, day_cost, style.BLUE, "cost of a day"),
        (other := axes.twinx(), 100 * share_outside_band, style.ORANGE, "outside the band, %"),
    ):
        panel.plot(steps, values, color=colour, linewidth=0.7, alpha=0.45)
        mean = pd.Series(values).rolling(smooth, min_periods=1).mean()
        marker = "o" if len(steps) <= FEW_CHUNKS else None
        panel.plot(steps, mean, color=colour, linewidth=1.7, marker=marker, label=f"{label} (mean of {smooth})")
    other.set_ylabel("buses outside the band (%)")
    other.spines[["top", "left"]].set_visible(False)
    other.set_ylim(bottom=0)
    known = day_cost[np.isfinite(day_cost)]
    if known.size and known.min() > 0 and known.max() > LOG_FROM_RATIO * known.min():
        axes.set_yscale("log")
    axes.set_xlabel("environment steps, all copies together")
    style.legend(figure, axes, other)
    return figure
