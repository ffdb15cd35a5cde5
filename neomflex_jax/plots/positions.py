"""Position of every device that moves in whole steps."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from neomflex_jax.plots.days import choose
from neomflex_jax.plots.device_lines import draw_device_lines
from neomflex_jax.plots.drawing import Figure, MaxNLocator


def draw(
    steps: pd.DataFrame, run: str, days: Sequence[int] | None = None, *, devices: Sequence[str] | None = None
) -> Figure:
    """Draw the positions in steps.

    Parameters
    ----------
    steps
        As from `evaluation.tables.step_metrics`.
    run, days
        What to show; days None: all.
    devices
        By kind and bus, see `draw_figure`; None: all, of many their range and the extremes.

    Returns
    -------
    figure
        A line a device over the hours of the days.

    Raises
    ------
    InputError
        If the run, a day or a device is not in the table, saying what is.
    """
    figure, axes = draw_device_lines(choose(steps, run, days), "positions", "Positions", "position (steps)", devices)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
