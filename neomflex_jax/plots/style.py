"""How all figures look. Nothing here touches Matplotlib's global state."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from neomflex_jax.plots.days import ChosenDays
from neomflex_jax.plots.drawing import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart with any colour vision; its yellow is too pale for lines on white
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
LINE_STYLES = ("-", "--", "-.", ":")
INK, GREY, PALE = "#222222", "#6B6B6B", "#DDDDDD"

MOST_DAYS_WITH_HOURS = 4
MOST_DAY_LABELS = 14
TITLE_LETTERS_PER_INCH = 10
ENTRY_LETTERS, ENTRY_LINES = 32, 3  # of a name in a legend
LEGEND_ROWS = 18  # in a figure of the usual height


class LineStyle(TypedDict):
    """Options of Matplotlib's `plot`."""

    color: str
    linestyle: str
    linewidth: float


def new_figure(title: str, ylabel: str, n_days: int = 1) -> tuple[Figure, Axes]:
    """Return a figure of one panel, wider for many days, with room for legends outside it."""
    width = min(9.0 + 0.5 * max(n_days - MOST_DAYS_WITH_HOURS, 0), 24.0)
    figure = Figure(figsize=(width, 4.0), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    lines = textwrap.wrap(title, int(TITLE_LETTERS_PER_INCH * width)) or [""]
    axes.set_title("\n".join(lines), loc="left", fontsize=11, color=INK)
    axes.set_ylabel(ylabel)
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def series_style(index: int, n_days: int = 1) -> LineStyle:
    """Return colour and dashes of one of several lines; both differ between neighbours, for prints in grey.

    Over many days lines are thin and whole: dashes would melt together.
    """
    few = n_days <= MOST_DAYS_WITH_HOURS
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": LINE_STYLES[index % len(LINE_STYLES)] if few else "-",
        "linewidth": 1.6 if few else 0.8,
    }


def day_axis(axes: Axes, chosen: ChosenDays) -> None:
    """Label the hours of a few days, or the days of many, and part them."""
    n_days, day_hours = len(chosen.days), chosen.day_hours
    starts = np.arange(n_days) * day_hours
    axes.set_xlim(0, n_days * day_hours)
    if 1 < n_days <= MOST_DAY_LABELS:
        axes.vlines(starts[1:], 0, 1, transform=axes.get_xaxis_transform(), color=GREY, linewidth=0.6, zorder=1)
    if n_days <= MOST_DAYS_WITH_HOURS:
        hours = np.arange(4) * day_hours / 4
        ticks = (starts[:, None] + hours).ravel()
        labels = [
            f"{hour:g}" + (f"\nday {day}" if at == 2 else "") for day in chosen.days for at, hour in enumerate(hours)
        ]
        axes.set_xticks(ticks, labels)
        axes.set_xlabel("hour of the day")
    else:
        every = -(-n_days // MOST_DAY_LABELS)
        axes.set_xticks(starts[::every] + day_hours / 2, [str(day) for day in chosen.days[::every]])
        axes.tick_params(axis="x", length=0)
        axes.set_xlabel("day")


def entry(name: str) -> str:
    """Return a user's name as a legend has room for it, over several lines if need be."""
    lines = textwrap.wrap(name, ENTRY_LETTERS)
    return "\n".join(lines) if len(lines) <= ENTRY_LINES else "\n".join([*lines[: ENTRY_LINES - 1], "..." + lines[-1]])


def legend(figure: Figure, *panels: Axes) -> None:
    """Put the legend beside the panel, where it covers no data."""
    entries = [panel.get_legend_handles_labels() for panel in panels]
    handles = [handle for group, _ in entries for handle in group]
    labels = [label for _, group in entries for label in group]
    figure.legend(
        handles,
        labels,
        loc="outside right center",  # above stands the title, which may be as wide as the figure
        frameon=False,
        fontsize=9,
        handlelength=2.8,
        ncols=-(-len(labels) // LEGEND_ROWS) or 1,
    )
