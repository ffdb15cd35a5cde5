"""The confusion matrices of limit violations: what pandapower says of every bus-step against what was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import Figure, Rectangle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from validation import Validated
    from validation.errors.summary import Confusion


def draw(run: Validated) -> Figure:
    """Draw one matrix for the hard limits and one for the band."""
    trajectory, limits = run.trajectory, run.trajectory.scenario.limits
    figure = Figure(figsize=(8.6, 3.6), dpi=150, layout="constrained")
    figure.suptitle(
        f"Bus-steps outside limits, {trajectory.power_flow} against {run.report.referee}: {trajectory.run}",
        x=0.01,
        ha="left",
        fontsize=11,
        color=style.INK,
    )
    panels = figure.subplots(1, 2)
    metrics = run.report.metrics
    _matrix(
        panels[0], f"hard limits {limits.hard_min_pu:g}..{limits.hard_max_pu:g} pu", metrics.hard, run.report.referee
    )
    _matrix(panels[1], f"band {limits.band_min_pu:g}..{limits.band_max_pu:g} pu", metrics.band, run.report.referee)
    return figure


def _matrix(axes: Axes, title: str, counts: Confusion, referee: str) -> None:
    total = counts.agreed + counts.missed + counts.invented + counts.inside
    cells = (
        (0, 0, counts.agreed, "found", style.BLUE),
        (1, 0, counts.missed, "missed", style.VERMILLION),
        (0, 1, counts.invented, "invented", style.ORANGE),
        (1, 1, counts.inside, "inside in both", style.GREEN),
    )
    for column, row, count, word, colour in cells:
        alpha = 0.42 if count else 0.08
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, alpha=alpha, edgecolor="white", linewidth=2))
        text = f"{word}\n{count:,}\n{count / total:.2%}" if total else word
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=10, color=style.INK)
    axes.set_xlim(0, 2)
    axes.set_ylim(2, 0)
    axes.set_title(title, fontsize=10, color=style.INK)
    axes.set_xticks([0.5, 1.5], ["outside", "inside"])
    axes.set_yticks([0.5, 1.5], ["outside", "inside"], rotation=90, va="center")
    axes.set_xlabel("recorded")
    axes.set_ylabel(referee)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
