"""Voltage unbalance over the day: the worst bus with three phases, and the mean of all."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.unbalance_columns import VUF_LARGEST, VUF_MEAN
from neomflex_jax.plots import style
from neomflex_jax.plots.days import COLUMN_MIDDLE, choose
from neomflex_jax.plots.drawing import Figure


def draw(steps: pd.DataFrame, run: str, days: Sequence[int] | None = None, *, overlay: Sequence[str] = ()) -> Figure:
    """Draw the voltage unbalance factor of one run.

    Parameters
    ----------
    steps
        As from `evaluation.tables.step_metrics`.
    run, days
        What to show; days None: all.
    overlay
        Further runs, as thin lines of their worst bus.

    Returns
    -------
    figure
        Negative over positive sequence voltage in per cent, over the hours of the days.

    Raises
    ------
    InputError
        If the table has no unbalance, because its feeder has no phases.
    """
    if VUF_LARGEST not in steps:
        raise InputError(f"the table has no column {VUF_LARGEST}: only feeders with phases have an unbalance")
    chosen = choose(steps, run, days)
    title = chosen.title("Voltage unbalance of buses with three phases")
    figure, axes = style.new_figure(title, "negative over positive sequence (%)", len(chosen.days))
    hours, n_days = chosen.table[COLUMN_MIDDLE], len(chosen.days)
    for index, (column, what) in enumerate(((VUF_LARGEST, "worst bus"), (VUF_MEAN, "mean"))):
        axes.plot(hours, chosen.table[column], label=f"{run}: {what}", **style.series_style(index, n_days))
    for index, other in enumerate(overlay):
        beside = choose(steps, other, chosen.days)
        dashes = style.LINE_STYLES[(index + 1) % len(style.LINE_STYLES)]
        thin: style.LineStyle = {"color": style.INK, "linewidth": 0.8, "linestyle": dashes}
        axes.plot(beside.table[COLUMN_MIDDLE], beside.table[VUF_LARGEST], label=f"{other}: worst bus", **thin)
    axes.set_ylim(bottom=0)
    style.day_axis(axes, chosen)
    style.legend(figure, axes)
    return figure
