"""Error against speed of the power-flow methods: what a faster one costs."""

from __future__ import annotations

import numpy as np

from neomflex_jax.evaluation.fidelity_report import Fidelity
from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import Figure, Line2D

NAME_WIDTH = 2.5  # a name takes about this factor of speed on the axis
LEAST_PU = 1e-9  # an error of exactly 0 is drawn here: the axis is logarithmic


def draw(report: Fidelity) -> Figure:
    """Draw each method's largest and mean voltage error over its flows a second."""
    title = f"Power-flow methods on {report.scenario.name}: voltage error against exact AC, and speed"
    figure, axes = style.new_figure(title, "voltage error (pu)")
    speeds = report.table["flows_per_second"].to_numpy(float)
    for index, row in enumerate(report.rows()):
        colour, speed = style.COLOURS[index % len(style.COLOURS)], row["flows_per_second"]
        largest, mean = (max(row[f"vm_error_{name}_pu"], LEAST_PU) for name in ("max", "mean"))
        axes.plot([speed, speed], [mean, largest], color=colour, linewidth=1.6, zorder=2)
        axes.plot(speed, largest, "o", color=colour, markersize=7, zorder=3)
        axes.plot(speed, mean, "o", color=colour, markersize=7, markerfacecolor="white", markeredgewidth=1.6, zorder=3)
        place, horizontal, vertical = _name_place(speed, speeds)
        axes.annotate(
            row["method"],
            (speed, largest),
            xytext=place,
            textcoords="offset points",
            ha=horizontal,
            va=vertical,
            fontsize=10,
            color=style.INK,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(speeds.min() / 3, speeds.max() * 3)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * 4)  # room for names
    axes.set_xlabel(f"power flows per second ({report.precision}, batches of {report.batch_size:,}, {report.device})")
    shapes = {"largest": style.GREY, "mean": "white"}
    handles = [
        Line2D([], [], marker="o", linestyle="", color=style.GREY, markerfacecolor=fill, markersize=7)
        for fill in shapes.values()
    ]
    samples = f"over {report.n_solved:,} samples x {report.n_bus} buses"
    axes.legend(handles, [f"{name} error {samples}" for name in shapes], loc="best", frameon=False, fontsize=9)
    return figure


def _name_place(speed: float, speeds: np.ndarray) -> tuple[tuple[float, float], str, str]:
    """Return a name's offset in points and alignment: right of its mark, unless a faster method stands there."""
    near = speeds[(speeds > speed / NAME_WIDTH) & (speeds < speed * NAME_WIDTH)]
    if not (near > speed).any():
        return (8.0, 0.0), "left", "center"
    if not (near < speed).any():
        return (-8.0, 0.0), "right", "center"
    return (0.0, 8.0), "center", "bottom"
