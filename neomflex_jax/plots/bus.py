"""Voltage of chosen buses over days, with and without control, against the reward band and the hard limits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from neomflex_jax.plots import style
from neomflex_jax.plots.days import COLUMN_MIDDLE, ChosenDays, choose
from neomflex_jax.plots.drawing import Axes, Figure
from neomflex_jax.plots.many import MOST_LINES, draw_lines
from neomflex_jax.plots.named import named_columns
from neomflex_jax.plots.voltage import DEFAULT_LIMITS, draw_limits
from neomflex_jax.scenario import Limits

FAMILY = ("voltage_bus_", "_pu")


def draw(
    steps: pd.DataFrame,
    run: str,
    days: Sequence[int] | None = None,
    *,
    buses: Sequence[str | int] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    overlay: Sequence[str] = (),
) -> Figure:
    """Draw the voltages of some buses.

    Parameters
    ----------
    steps
        As from `evaluation.tables.step_metrics`.
    run, days
        What to show; days None: all.
    buses
        Labels, of a feeder with phases of a node (`671.2`) or of a bus, for all its nodes;
        None: the two with the lowest and the highest voltage of all shown runs and days.
    limits
        Of the scenario; by default those of a scenario that sets none.
    overlay
        Further runs, as thin lines in their bus's colour; of more than 8 buses none.

    Returns
    -------
    figure
        Voltages in per unit over the hours of the days.

    Raises
    ------
    InputError
        If a bus, run or day is not in the table, saying what is.
    """
    shown = [choose(steps, run, days)]
    shown += [choose(steps, other, shown[0].days) for other in overlay]
    columns = named_columns(steps, FAMILY, _with_nodes(steps, buses), "bus", "buses")
    if buses is None:
        columns = _extremes(columns, shown)
    n_days = len(shown[0].days)
    figure, axes = style.new_figure(shown[0].title(_what(list(columns))), "voltage (pu)", n_days)
    draw_limits(axes, limits)
    hours = shown[0].table[COLUMN_MIDDLE].to_numpy(float)
    if len(columns) > MOST_LINES:
        voltages = {f"bus {bus}": shown[0].table[name].to_numpy(float) for bus, name in columns.items()}
        draw_lines(axes, hours, voltages, "buses", n_days)
    else:
        _draw_runs(axes, shown, columns)
    style.day_axis(axes, shown[0])
    style.legend(figure, axes)
    return figure


def _what(buses: list[str]) -> str:
    if len(buses) > MOST_LINES:
        return f"Voltage of {len(buses)} buses"
    return f"Voltage of bus{'es' if len(buses) > 1 else ''} {', '.join(buses)}"


def _with_nodes(steps: pd.DataFrame, buses: Sequence[str | int] | None) -> list[str] | None:
    """Put a bus's nodes, ``671.1`` and so on, in the place of a bus that has them."""
    if buses is None:
        return None
    known = sorted(named_columns(steps, FAMILY, None, "bus", "buses"))
    names: list[str] = []
    for bus in map(str, buses):
        nodes = [] if bus in known else [name for name in known if name.rpartition(".")[0] == bus]
        names += nodes or [bus]
    return names


def _extremes(columns: dict[str, str], shown: Sequence[ChosenDays]) -> dict[str, str]:
    """Return the columns with the lowest and the highest voltage."""
    names = list(columns)
    values = np.concatenate([each.table[list(columns.values())].to_numpy(float) for each in shown])
    lowest = np.where(np.isfinite(values), values, np.inf).min(axis=0)
    highest = np.where(np.isfinite(values), values, -np.inf).max(axis=0)
    return {names[index]: columns[names[index]] for index in sorted({int(lowest.argmin()), int(highest.argmax())})}


def _draw_runs(axes: Axes, shown: Sequence[ChosenDays], columns: dict[str, str]) -> None:
    """Draw a colour a bus; the run asked for whole and thick, the others thin and dashed."""
    for number, chosen in enumerate(shown):
        hours = chosen.table[COLUMN_MIDDLE]
        for index, (bus, name) in enumerate(columns.items()):
            axes.plot(
                hours,
                chosen.table[name],
                color=style.COLOURS[index % len(style.COLOURS)],
                linestyle=style.LINE_STYLES[(number + index // len(style.COLOURS)) % len(style.LINE_STYLES)],
                linewidth=1.0 if number else 1.8,
                label=style.entry(f"bus {bus}, {chosen.run}"),
            )
