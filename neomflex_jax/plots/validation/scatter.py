"""Every bus's voltage in every step, recorded against pandapower's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import Figure, LogNorm

if TYPE_CHECKING:
    from validation import Validated

CELLS = 90


def draw(run: Validated) -> Figure:
    """Count bus-steps in cells of both voltages: below the line the record is too low, above it too high."""
    trajectory, limits = run.trajectory, run.trajectory.scenario.limits
    recorded, exact = np.asarray(trajectory.vm_pu, float).ravel(), run.replayed.vm_pu.ravel()
    known = np.isfinite(recorded) & np.isfinite(exact)
    figure = Figure(figsize=(6.6, 5.4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(f"Voltage of every bus and step: {trajectory.run}", loc="left", fontsize=11, color=style.INK)
    axes.set_xlabel(f"{run.report.referee} (pu)")
    axes.set_ylabel(f"recorded, {trajectory.power_flow} (pu)")
    axes.spines[["top", "right"]].set_visible(False)
    if not known.any():
        axes.text(0.5, 0.5, "no voltage is known on both sides", ha="center", transform=axes.transAxes)
        return figure
    values = np.concatenate([recorded[known], exact[known]])
    room = 0.02 * max(float(np.ptp(values)), 1e-4)
    low, high = float(values.min()) - room, float(values.max()) + room
    cells = axes.hexbin(
        exact[known], recorded[known], gridsize=CELLS, extent=(low, high, low, high), norm=LogNorm(), mincnt=1,
        cmap="Blues", linewidths=0.1, edgecolors=style.GREY,
    )  # fmt: skip
    axes.plot([low, high], [low, high], color=style.INK, linewidth=0.8, label="equal")
    for limit, colour, label in (
        (limits.band_min_pu, style.GREEN, f"band {limits.band_min_pu:g}..{limits.band_max_pu:g}"),
        (limits.band_max_pu, style.GREEN, None),
        (limits.hard_min_pu, style.VERMILLION, f"hard limits {limits.hard_min_pu:g}, {limits.hard_max_pu:g}"),
        (limits.hard_max_pu, style.VERMILLION, None),
    ):
        if low <= limit <= high:
            axes.axvline(limit, color=colour, linewidth=0.9, linestyle="--", label=label)
            axes.axhline(limit, color=colour, linewidth=0.9, linestyle="--")
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    figure.colorbar(cells, ax=axes, label="bus-steps", shrink=0.85)
    return figure
