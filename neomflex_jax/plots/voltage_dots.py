"""Buses as dots in the colour of their voltage, on a scale that is the scenario's hard limits: equal in every frame.

A bus outside the hard limits is ringed; without voltages, after a power flow that failed, dots are white.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import TwoSlopeNorm, colormaps
from neomflex_jax.scenario import Limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar

COLOURS, FAILED_COLOUR = "RdYlBu", "white"
RING_PER_DOT = 2.6  # by area


class VoltageDots:
    """The dots and rings of one diagram."""

    def __init__(self, axes: Axes, place: Float[np.ndarray, "n_node 2"], limits: Limits, size: float) -> None:
        self._place, self._limits = place, limits
        middle = 0.5 * (limits.band_min_pu + limits.band_max_pu)
        self._ticks = [limits.hard_min_pu, limits.band_min_pu, middle, limits.band_max_pu, limits.hard_max_pu]
        x, y = place.T
        self._rings = axes.scatter(
            x, y, s=RING_PER_DOT * size, facecolors="none", edgecolors=style.VERMILLION, linewidths=1.8, zorder=3
        )
        self.dots = axes.scatter(
            x,
            y,
            c=np.full(len(x), middle),
            cmap=colormaps[COLOURS].with_extremes(bad=FAILED_COLOUR),
            norm=TwoSlopeNorm(middle, limits.hard_min_pu, limits.hard_max_pu),
            s=size,
            edgecolors=style.INK,
            linewidths=0.8 if size > 20 else 0.3,
            zorder=4,
            plotnonfinite=True,
        )

    def show(self, vm_pu: Float[np.ndarray, " n_node"], solved: bool) -> np.ndarray:
        """Colour the dots; returns which nodes are outside the hard limits."""
        self.dots.set_array(np.ma.masked_invalid(vm_pu))
        self.dots.set_edgecolor(style.INK if solved else style.VERMILLION)
        outside = (vm_pu < self._limits.hard_min_pu) | (vm_pu > self._limits.hard_max_pu)
        self._rings.set_offsets(np.where(outside[:, None], self._place, np.nan))
        return outside

    def mark(self, bar: Colorbar) -> None:
        """Write the limits and the band at a colour bar of the dots."""
        bar.set_ticks(self._ticks)


def voltage_colours(shares: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
    """Return the colours at shares, 0 to 1, of the scale from the lowest to the highest voltage."""
    return np.asarray(colormaps[COLOURS](shares))[:, :3]
