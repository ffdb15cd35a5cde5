"""Position of every device that moves in whole steps."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from neomflex_jax.plots import style
from neomflex_jax.plots.days import COLUMN_MIDDLE, choose
from neomflex_jax.plots.device_lines import device_lines
from neomflex_jax.plots.drawing import Figure, MaxNLocator
from neomflex_jax.plots.many import draw_lines


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
    chosen = choose(steps, run, days)
    positions = device_lines(chosen, "positions", "Positions", devices)
    figure, axes = style.new_figure(chosen.title(positions.title), "position (steps)", len(chosen.days))
    axes.axhline(0.0, color=style.GREY, linewidth=0.8, zorder=1)
    hours = chosen.table[COLUMN_MIDDLE].to_numpy(float)
    draw_lines(axes, hours, positions.values, positions.many, len(chosen.days), held=True)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    style.day_axis(axes, chosen)
    style.legend(figure, axes)
    return figure
