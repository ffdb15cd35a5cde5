"""Voltage envelope: lowest, mean and highest voltage of all buses, against the reward band and the hard limits.

Of feeders with phases each phase has an envelope of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from neomflex_jax.grid.nodes import PHASES
from neomflex_jax.plots import style
from neomflex_jax.plots.days import COLUMN_MIDDLE, ChosenDays, choose
from neomflex_jax.plots.drawing import Axes, Figure
from neomflex_jax.scenario import Limits

DEFAULT_LIMITS = Limits()
PHASE_COLOURS = (style.BLUE, style.VERMILLION, style.PURPLE)


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
    draw_limits(axes, limits)
    _envelope(axes, chosen)
    for index, other in enumerate(overlay):
        line_style = style.LINE_STYLES[index % len(style.LINE_STYLES)]
        _outline(axes, choose(steps, other, chosen.days), line_style)
    _failures(axes, chosen.table)
    style.day_axis(axes, chosen)
    style.legend(figure, axes)
    return figure


def draw_limits(axes: Axes, limits: Limits) -> None:
    """Draw the band that the reward asks for, and the hard limits."""
    band = f"reward band {limits.band_min_pu:g}..{limits.band_max_pu:g}"
    axes.axhspan(limits.band_min_pu, limits.band_max_pu, color=style.GREEN, alpha=0.13, linewidth=0, label=band)
    hard = f"hard limits {limits.hard_min_pu:g}, {limits.hard_max_pu:g}"
    for limit, label in ((limits.hard_max_pu, hard), (limits.hard_min_pu, "")):
        axes.axhline(limit, color=style.GREY, linewidth=1.2, linestyle="--", label=label)  # colours are the buses'


def _envelope(axes: Axes, chosen: ChosenDays) -> None:
    """Lowest to highest voltage as an area, the mean as a line."""
    table, run = chosen.table, chosen.run
    by_phase = _by_phase(list(table.columns))
    for (phase, columns), colour in zip(by_phase.items(), PHASE_COLOURS, strict=False):
        values = table[columns]
        low, high = values.min(axis=1), values.max(axis=1)
        label = f"{run}: phase {phase}, lowest, highest"
        axes.fill_between(table[COLUMN_MIDDLE], low, high, color=colour, alpha=0.08, linewidth=0)
        axes.plot(table[COLUMN_MIDDLE], low, color=colour, linewidth=1.4, label=label)
        axes.plot(table[COLUMN_MIDDLE], high, color=colour, linewidth=1.4)
    if by_phase:
        return
    hours, lowest, highest = (table[name] for name in (COLUMN_MIDDLE, "voltage_min_pu", "voltage_max_pu"))
    label = f"{run}: lowest to highest"
    axes.fill_between(hours, lowest, highest, color=style.BLUE, alpha=0.28, linewidth=0, label=label)
    axes.plot(hours, table["voltage_mean_pu"], label=f"{run}: mean", **style.series_style(0, len(chosen.days)))


def _by_phase(columns: Sequence[str]) -> dict[str, list[str]]:
    """Columns of nodes by their phase; empty of feeders without phases."""
    found: dict[str, list[str]] = {}
    for name in columns:
        if name.startswith("voltage_bus_") and name.endswith("_pu"):
            _, dot, phase = name.removesuffix("_pu").rpartition(".")
            if dot and phase in PHASES:
                found.setdefault(phase, []).append(name)
    return dict(sorted(found.items()))


def _outline(axes: Axes, chosen: ChosenDays, line_style: str) -> None:
    """Lowest and highest voltage of a run to compare with, as thin lines."""
    thin: style.LineStyle = {"color": style.INK, "linewidth": 0.8, "linestyle": line_style}
    hours = chosen.table[COLUMN_MIDDLE]
    axes.plot(hours, chosen.table["voltage_max_pu"], label=f"{chosen.run}: lowest, highest", **thin)
    axes.plot(hours, chosen.table["voltage_min_pu"], **thin)


def _failures(axes: Axes, table: pd.DataFrame) -> None:
    """Mark the steps whose power flow failed, at the foot of the figure."""
    is_failure = table["converged"].isin([False])  # the rows that part days hold neither True nor False
    failed = table[COLUMN_MIDDLE][is_failure]
    if len(failed):
        foot = axes.get_xaxis_transform()
        axes.plot(failed, [0.02] * len(failed), "x", transform=foot, color=style.INK, label="power flow failed")
