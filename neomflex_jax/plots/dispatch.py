"""Power of every store, with the demand and the sun that it answers in the background."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from neomflex_jax.plots import style
from neomflex_jax.plots.days import COLUMN_MIDDLE, choose
from neomflex_jax.plots.device_lines import device_lines
from neomflex_jax.plots.drawing import Figure
from neomflex_jax.plots.many import draw_lines


def draw(
    steps: pd.DataFrame, run: str, days: Sequence[int] | None = None, *, devices: Sequence[str] | None = None
) -> Figure:
    """Draw the stores' powers in MW, positive when discharging, over demand and solar in per unit.

    Parameters
    ----------
    steps
        As from `evaluation.tables.step_metrics`.
    run, days
        What to show; days None: all.
    devices
        By kind and bus, see `draw_figure`; None: all, of many their range and the extremes.

    Returns
    -------
    figure
        A line a device over the hours of the days.

    Raises
    ------
    InputError
        If the run, a day or a device is not in the table, saying what is.
    """
    chosen = choose(steps, run, days)
    powers = device_lines(chosen, "dispatch", "Dispatch", devices)
    figure, axes = style.new_figure(chosen.title(powers.title), "power (MW, positive discharging)", len(chosen.days))
    hours = chosen.table[COLUMN_MIDDLE]

    background = axes.twinx()
    background.set_ylabel("demand, solar (per unit)", color=style.GREY)
    background.tick_params(axis="y", colors=style.GREY)
    background.spines["top"].set_visible(False)
    background.fill_between(
        hours, chosen.table["solar_factor"], color=style.ORANGE, alpha=0.25, linewidth=0, label="solar"
    )
    background.plot(hours, chosen.table["load_factor"], color=style.GREY, linewidth=1.0, label="demand")
    background.set_ylim(0, 1.05 * max(1.0, chosen.table[["solar_factor", "load_factor"]].max().max()))
    axes.set_zorder(background.get_zorder() + 1)
    axes.patch.set_visible(False)

    axes.axhline(0.0, color=style.GREY, linewidth=0.8, zorder=1)
    draw_lines(axes, hours.to_numpy(float), powers.values, powers.many, len(chosen.days), held=True)
    style.day_axis(axes, chosen)
    style.legend(figure, axes, background)
    return figure
