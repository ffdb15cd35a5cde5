"""Voltage envelope: lowest, mean and highest voltage of all buses, against the reward band and the hard limits."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from neomflex_jax.plots import style
from neomflex_jax.plots.days import COLUMN_MIDDLE, choose
from neomflex_jax.scenario import Limits

DEFAULT_LIMITS = Limits()


def draw(
    steps: pd.DataFrame,
    run: str,
    days: Sequence[int] | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
    overlay: Sequence[str] = (),
) -> Figure:
    """Draw the envelope of one run.

    Parameters
    ----------
    steps
        As from `evaluation.tables.step_metrics`.
    run, days
        What to show; days None: all.
    limits
        Of the scenario; by default those of a scenario that sets none.
    overlay
        Further runs, as thin lines at their lowest and highest voltage.
    """
    chosen = choose(steps, run, days)
    figure, axes = style.new_figure(chosen.title("Voltage of all buses"), "voltage (pu)", len(chosen.days))
    axes.axhspan(
        limits.band_min_pu,
        limits.band_max_pu,
        color=style.GREEN,
        alpha=0.13,
        linewidth=0,
        label=f"reward band {limits.band_min_pu:g}..{limits.band_max_pu:g}",
    )
    for limit, label in (
        (limits.hard_max_pu, f"hard limits {limits.hard_min_pu:g}, {limits.hard_max_pu:g}"),
        (limits.hard_min_pu, ""),
    ):
        axes.axhline(limit, color=style.VERMILLION, linewidth=1.2, linestyle="--", label=label)

    table = chosen.table
    hours = table[COLUMN_MIDDLE]
    axes.fill_between(
        hours,
        table["voltage_min_pu"],
        table["voltage_max_pu"],
        color=style.BLUE,
        alpha=0.28,
        linewidth=0,
        label=f"{run}: lowest to highest",
    )
    axes.plot(hours, table["voltage_mean_pu"], label=f"{run}: mean", **style.series_style(0, len(chosen.days)))
    for index, other in enumerate(overlay):
        other_table = choose(steps, other, chosen.days).table
        for column, label in (("voltage_max_pu", f"{other}: lowest, highest"), ("voltage_min_pu", "")):
            axes.plot(
                other_table[COLUMN_MIDDLE],
                other_table[column],
                color=style.INK,
                linewidth=0.8,
                linestyle=style.LINE_STYLES[index % len(style.LINE_STYLES)],
                label=label,
            )
    failed = hours[table["converged"].isin([False])]  # the rows that part days hold neither True nor False
    if len(failed):
        axes.plot(
            failed,
            [0.02] * len(failed),
            "x",
            transform=axes.get_xaxis_transform(),
            color=style.INK,
            label="power flow failed",
        )
    style.day_axis(axes, chosen)
    style.legend(figure, axes)
    return figure
