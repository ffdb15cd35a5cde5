"""How all figures look. Nothing here touches Matplotlib's global state."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from neomflex_jax.plots.days import COLUMN_END, ChosenDays
from neomflex_jax.plots.drawing import Figure

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart with any colour vision; its yellow is too pale for lines on white
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
LINE_STYLES = ("-", "--", "-.", ":")
INK, GREY, PALE = "#222222", "#6B6B6B", "#DDDDDD"

MOST_DAYS_WITH_HOURS = 4
MOST_DAY_LABELS = 14
LEAST_SUN, NIGHT = 1e-3, "no sun"  # per unit: below it is night
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
    set_title(axes, title, width)
    axes.set_ylabel(ylabel)
    plain_axes(axes)
    return figure, axes


def new_panels(title: str, ylabels: Sequence[str], n_days: int = 1, apart: int = 0) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels below each other, with the title above the first; all but the last `apart` share x."""
    figure, first = new_figure(title, ylabels[0], n_days)
    figure.set_figheight(min(1.6 + 2.0 * len(ylabels), 12.0))
    first.remove()
    panels = list(figure.subplots(len(ylabels), 1, squeeze=False)[:, 0])
    set_title(panels[0], title, figure.get_figwidth())
    shared = panels[: len(panels) - apart]
    for axes, ylabel in zip(panels, ylabels, strict=True):
        axes.set_ylabel(ylabel)
        plain_axes(axes)
    for axes in shared[:-1]:
        axes.sharex(shared[-1])
        axes.tick_params(labelbottom=False)
    figure.align_ylabels(panels)
    return figure, panels


def plain_axes(axes: Axes) -> None:
    """Leave the lines that help to read a value, and no frame."""
    axes.grid(axis="y", color=PALE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def set_title(axes: Axes, title: str, width_inch: float) -> None:
    """Write a title over a panel, in lines that a figure of this width has room for."""
    lines = textwrap.wrap(shown_text(title), int(TITLE_LETTERS_PER_INCH * width_inch)) or [""]
    axes.set_title("\n".join(lines), loc="left", fontsize=11, color=INK, parse_math=False)


def shown_text(name: str) -> str:
    """Return a user's text without what cannot be written into a picture: control characters, halves of letters."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)


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
    _shade_nights(axes, chosen)


def _shade_nights(axes: Axes, chosen: ChosenDays) -> None:
    """Shade the steps without sun, where the profiles have any sun and the days are few enough to tell them apart."""
    table = chosen.table
    if len(chosen.days) > MOST_DAY_LABELS or "solar_factor" not in table or not (table["solar_factor"] > 0).any():
        return
    dark = (table["solar_factor"] < LEAST_SUN).to_numpy()
    edges = np.diff(np.concatenate([[False], dark, [False]]).astype(int))
    ends, hours = table[COLUMN_END].to_numpy(float), table["step_hours"].to_numpy(float)
    for index, (first, after) in enumerate(zip(np.flatnonzero(edges > 0), np.flatnonzero(edges < 0), strict=True)):
        label = "" if index else NIGHT
        axes.axvspan(
            ends[first] - hours[first], ends[after - 1], color=INK, alpha=0.07, linewidth=0, zorder=0, label=label
        )


def entry(name: str) -> str:
    """Return a user's name as a legend has room for it, over several lines if need be."""
    lines = textwrap.wrap(shown_text(name), ENTRY_LETTERS)
    return "\n".join(lines) if len(lines) <= ENTRY_LINES else "\n".join([*lines[: ENTRY_LINES - 1], "..." + lines[-1]])


def legend(figure: Figure, *panels: Axes) -> None:
    """Put the legend beside the panel, where it covers no data."""
    entries = [panel.get_legend_handles_labels() for panel in panels]
    handles = [handle for group, _ in entries for handle in group]
    labels = [label for _, group in entries for label in group]
    handles, labels = _once(handles, labels)
    beside = figure.legend(
        handles,
        labels,
        loc="outside right center",  # above stands the title, which may be as wide as the figure
        frameon=False,
        fontsize=9,
        handlelength=2.8,
        ncols=-(-len(labels) // LEGEND_ROWS) or 1,
    )
    for text in beside.get_texts():
        text.set_parse_math(False)


def _once(handles: list[Artist], labels: list[str]) -> tuple[list[Artist], list[str]]:
    """Return the entries without those that look and are called the same in several panels."""
    found = dict(zip(reversed(labels), reversed(handles), strict=True))
    kept = sorted(dict.fromkeys(labels), key=lambda label: label == NIGHT)  # the background last
    return [found[label] for label in kept], kept
