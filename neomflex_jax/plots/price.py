"""What energy costs, and what storage does with it: bought (charged) and sold (discharged) by hour and by price.

Energies are at the terminals, powers times the length of a step; a step's power is the sum over the stores, so that
what one store sells to another is neither bought nor sold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.tables import PRICE
from neomflex_jax.plots import style
from neomflex_jax.plots.days import COLUMN_END, COLUMN_MIDDLE, ChosenDays, choose
from neomflex_jax.plots.device_lines import device_lines
from neomflex_jax.plots.drawing import Axes, Figure

N_BINS = 12
BOUGHT, SOLD = "bought: charged", "sold: discharged"


def draw(
    steps: pd.DataFrame, run: str, days: Sequence[int] | None = None, *, devices: Sequence[str] | None = None
) -> Figure:
    """Draw the price over the days, the energy of storage below it, and the same energy by price.

    Parameters
    ----------
    steps
        As from `evaluation.tables.step_metrics`, of a scenario with a tariff.
    run, days
        What to show; days None: all.
    devices
        Stores, by kind and bus, see `draw_figure`; None: all.

    Returns
    -------
    figure
        Prices per MWh; energies in MWh, positive sold.

    Raises
    ------
    InputError
        If the table has no prices or no stores, or not the run, a day or a device.
    """
    if PRICE not in steps:
        raise InputError(
            f"the table has no column {PRICE}: the scenario has no tariff; name the profiles' column of the price in "
            "tariff_column, and evaluate again"
        )
    chosen = choose(steps, run, days)
    stores = device_lines(chosen, "dispatch", "Dispatch", devices)
    n_days = len(chosen.days)
    labels = ["price (per MWh)", "energy a step\n(MWh, positive sold)", "energy (MWh)"]
    figure, (upper, lower, by_price) = style.new_panels(
        chosen.title("Price, and energy of storage"), labels, n_days, apart=1
    )
    price = chosen.table[PRICE].to_numpy(float)
    energy_mwh = np.sum(list(stores.values.values()), axis=0) * chosen.table["step_hours"].to_numpy(float)
    upper.plot(chosen.table[COLUMN_MIDDLE], price, drawstyle="steps-mid", color=style.INK, linewidth=1.4, label="price")
    _draw_energies(lower, chosen, energy_mwh)
    for axes in (upper, lower):
        style.day_axis(axes, chosen)
    upper.set_xlabel("")
    known = np.isfinite(price) & np.isfinite(energy_mwh)
    _draw_by_price(by_price, price[known], energy_mwh[known])
    style.legend(figure, upper, lower, by_price)
    return figure


def _draw_energies(axes: Axes, chosen: ChosenDays, energy_mwh: np.ndarray) -> None:
    """Draw a bar a step: up what is sold, down what is bought."""
    table = chosen.table
    width = table["step_hours"].to_numpy(float)
    begins = table[COLUMN_END].to_numpy(float) - width
    for which, colour, label in ((energy_mwh < 0, style.BLUE, BOUGHT), (energy_mwh > 0, style.VERMILLION, SOLD)):
        axes.bar(begins[which], energy_mwh[which], width[which], align="edge", color=colour, linewidth=0, label=label)
    axes.axhline(0.0, color=style.GREY, linewidth=0.8)


def _draw_by_price(axes: Axes, price: np.ndarray, energy_mwh: np.ndarray) -> None:
    """Draw how much is bought and sold at which price, and the mean price of both."""
    edges = np.histogram_bin_edges(price, N_BINS)
    half = np.diff(edges) / 2.0
    for which, colour, word, side in (
        (energy_mwh < 0, style.BLUE, "bought", 0.0),
        (energy_mwh > 0, style.VERMILLION, "sold", 1.0),
    ):
        amount = np.abs(energy_mwh[which])
        in_bins, _ = np.histogram(price[which], edges, weights=amount)
        axes.bar(edges[:-1] + side * half, in_bins, half, align="edge", color=colour, linewidth=0)
        if amount.sum() > 0:
            mean = float(np.average(price[which], weights=amount))
            said = f"{word} {amount.sum():.3g} MWh,\nmean price {mean:.4g}"
            axes.axvline(mean, color=colour, linewidth=1.4, linestyle="--", label=said)
    axes.set_xlabel("price (per MWh)")
