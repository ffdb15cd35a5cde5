"""Energy in every battery, in MWh; the state of charge is its share of the capacity, see the step table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.tables import columns_of
from neomflex_jax.plots import style
from neomflex_jax.plots.days import COLUMN_END, choose
from neomflex_jax.plots.drawing import Figure
from neomflex_jax.plots.many import draw_lines


def draw(
    steps: pd.DataFrame,
    run: str,
    days: Sequence[int] | None = None,
    *,
    windows_mwh: Mapping[int, tuple[float, float]] | None = None,
) -> Figure:
    """Draw the energy that each battery holds after every step.

    Parameters
    ----------
    steps
        As from `evaluation.tables.step_metrics`.
    run, days
        What to show; days None: all.
    windows_mwh
        By battery bus, the least and the most energy it may hold; drawn where given.
    """
    chosen = choose(steps, run, days)
    columns = columns_of(steps, "battery_soc_bus_")
    if not columns:
        raise InputError("the table has no column battery_soc_bus_<bus>: there is no battery to show")
    figure, axes = style.new_figure(chosen.title("Energy in the batteries"), "energy (MWh)", len(chosen.days))
    energies = {
        f"battery at bus {column.removeprefix('battery_soc_bus_')}": chosen.table[column].to_numpy(float)
        for column in columns
    }
    draw_lines(axes, chosen.table[COLUMN_END].to_numpy(float), energies, "batteries", len(chosen.days))
    limits_mwh = sorted({limit for window in (windows_mwh or {}).values() for limit in window})
    for index, limit in enumerate(limits_mwh):
        axes.axhline(limit, color=style.GREY, linewidth=1.0, label="" if index else "window limits", zorder=1)
    axes.set_ylim(bottom=0)
    style.day_axis(axes, chosen)
    style.legend(figure, axes)
    return figure
