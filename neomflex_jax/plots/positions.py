"""Position of every device that moves in whole steps, and of a feeder's own controls where it follows them.

Of a device that sets a ratio a higher position lowers the voltage behind it; of the feeder's own regulators, counted as
OpenDSS counts taps, it raises it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from neomflex_jax.evaluation.control_columns import BEGINS, POSITION
from neomflex_jax.evaluation.tables import columns_of
from neomflex_jax.plots.days import choose
from neomflex_jax.plots.device_lines import draw_device_lines
from neomflex_jax.plots.drawing import Figure, MaxNLocator


def draw(
    steps: pd.DataFrame, run: str, days: Sequence[int] | None = None, *, devices: Sequence[str] | None = None
) -> Figure:
    """Draw the positions in steps.

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
    columns = columns_of(steps, BEGINS, POSITION)
    controls = {column.removeprefix(BEGINS).removesuffix(POSITION): column for column in columns}
    chosen, title = choose(steps, run, days), "Positions"
    figure, axes = draw_device_lines(chosen, "positions", title, "position (steps)", devices, controls)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
