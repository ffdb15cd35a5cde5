"""Energy in every store, in MWh; the state of charge is its share of the capacity, see the step table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from neomflex_jax.plots import style
from neomflex_jax.plots.days import COLUMN_END, choose
from neomflex_jax.plots.device_lines import device_lines
from neomflex_jax.plots.drawing import Figure
from neomflex_jax.plots.many import draw_lines


def draw(
    steps: pd.DataFrame,
    run: str,
    days: Sequence[int] | None = None,
    *,
    windows_mwh: Mapping[int, tuple[float, float]] | None = None,
    devices: Sequence[str] | None = None,
) -> Figure:
    """Draw the energy that each device holds after every step.

    Parameters
    ----------
    steps
        As from `evaluation.tables.step_metrics`.
    run, days
        What to show; days None: all.
    windows_mwh
        By bus, the least and the most energy that its device may hold; drawn where given.
    devices
        By kind and bus, see `draw_figure`; None: all, of many their range and the extremes.

    Returns
    -------
    figure
        Energies in MWh over the hours of the days.

    Raises
    ------
    InputError
        If the run, a day or a device is not in the table, saying what is.
    """
    chosen = choose(steps, run, days)
    energies = device_lines(chosen, "soc", "Stored energy", devices)
    figure, axes = style.new_figure(chosen.title(energies.title), "energy (MWh)", len(chosen.days))
    draw_lines(axes, chosen.table[COLUMN_END].to_numpy(float), energies.values, energies.many, len(chosen.days))
    limits_mwh = sorted({limit for window in (windows_mwh or {}).values() for limit in window})
    for index, limit in enumerate(limits_mwh):
        axes.axhline(limit, color=style.GREY, linewidth=1.0, label="" if index else "window limits", zorder=1)
    axes.set_ylim(bottom=0)
    style.day_axis(axes, chosen)
    style.legend(figure, axes)
    return figure
