"""Reactive power of every PV inverter."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.tables import columns_of
from neomflex_jax.plots import style
from neomflex_jax.plots.days import COLUMN_MIDDLE, choose
from neomflex_jax.plots.drawing import Figure
from neomflex_jax.plots.many import draw_lines


def draw(steps: pd.DataFrame, run: str, days: Sequence[int] | None = None) -> Figure:
    """Draw what each inverter injects, positive into the grid; days None: all."""
    chosen = choose(steps, run, days)
    columns = columns_of(steps, "pv_bus_", "_q_mvar")
    if not columns:
        raise InputError("the table has no column pv_bus_<bus>_q_mvar: there is no PV inverter to show")
    figure, axes = style.new_figure(
        chosen.title("PV reactive power"), "reactive power (Mvar, positive into the grid)", len(chosen.days)
    )
    axes.axhline(0.0, color=style.GREY, linewidth=0.8, zorder=1)
    powers = {
        f"PV at bus {column.removeprefix('pv_bus_').removesuffix('_q_mvar')}": chosen.table[column].to_numpy(float)
        for column in columns
    }
    hours = chosen.table[COLUMN_MIDDLE].to_numpy(float)
    draw_lines(axes, hours, powers, "PV inverters", len(chosen.days), drawstyle="steps-mid")
    style.day_axis(axes, chosen)
    style.legend(figure, axes)
    return figure
