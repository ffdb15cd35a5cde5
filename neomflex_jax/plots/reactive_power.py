"""Reactive power of every inverter."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from neomflex_jax.plots import style
from neomflex_jax.plots.days import COLUMN_MIDDLE, choose
from neomflex_jax.plots.device_lines import device_lines
from neomflex_jax.plots.drawing import Figure
from neomflex_jax.plots.many import draw_lines


def draw(
    steps: pd.DataFrame, run: str, days: Sequence[int] | None = None, *, devices: Sequence[str] | None = None
) -> Figure:
    """Draw what each inverter injects in Mvar, positive into the grid.

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
    powers = device_lines(chosen, "reactive-power", "Reactive power", devices)
    figure, axes = style.new_figure(
        chosen.title(powers.title), "reactive power (Mvar, positive into the grid)", len(chosen.days)
    )
    axes.axhline(0.0, color=style.GREY, linewidth=0.8, zorder=1)
    hours = chosen.table[COLUMN_MIDDLE].to_numpy(float)
    draw_lines(axes, hours, powers.values, powers.many, len(chosen.days), held=True)
    style.day_axis(axes, chosen)
    style.legend(figure, axes)
    return figure
