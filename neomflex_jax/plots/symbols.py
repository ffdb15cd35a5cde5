"""Symbols of devices below their bus: of one size on paper, whatever the scale of the diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import Affine2D, Circle, Line2D, LineCollection, Rectangle, ScaledTranslation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text
    from matplotlib.transforms import Transform

# points
ASIDE, BELOW = 22.0, 18.0  # from the bus to a symbol's middle, where two share a bus and always
TEXT_BELOW = 9.5  # from a symbol's middle to its text
BATTERY_WIDTH, BATTERY_HEIGHT = 9.0, 14.0
SUN_RADIUS, RAY = 4.6, 2.6


class BatterySymbol:
    """A battery, filled from below by its state of charge."""

    HANDLE = Line2D([], [], marker="s", linestyle="", color=style.INK, markerfacecolor=style.GREEN, markersize=7)

    def __init__(self, axes: Axes, place: np.ndarray, aside: int, with_text: bool) -> None:
        where = _beside(axes, place, aside)
        left, bottom = -BATTERY_WIDTH / 2, -BATTERY_HEIGHT / 2
        terminal = Rectangle((-2.0, -bottom), 4.0, 1.8, color=style.INK, transform=where, zorder=3)
        case = Rectangle(
            (left, bottom),
            BATTERY_WIDTH,
            BATTERY_HEIGHT,
            facecolor="white",
            edgecolor=style.INK,
            transform=where,
            zorder=3,
        )
        self._charge = Rectangle(
            (left + 1, bottom + 1), BATTERY_WIDTH - 2, 0, color=style.GREEN, linewidth=0, transform=where, zorder=4
        )
        for patch in (terminal, case, self._charge):
            axes.add_patch(patch)
        self._text = _text(axes, where, with_text)

    def show(self, soc: float, p_mw: float) -> None:
        """Fill to `soc`; state it and the power, positive when discharging."""
        self._charge.set_height(np.clip(soc, 0, 1) * (BATTERY_HEIGHT - 2))
        self._text.set_text(f"{100 * soc:.0f} %\n{_signed(p_mw)} MW")


class Sun:
    """A PV inverter, filled by its share of the rated power."""

    HANDLE = Line2D([], [], marker="o", linestyle="", color=style.ORANGE, markersize=7)

    def __init__(self, axes: Axes, place: np.ndarray, aside: int, with_text: bool, p_max_mw: float) -> None:
        self._p_max_mw = p_max_mw
        where = _beside(axes, place, aside)
        angles = np.arange(8) * np.pi / 4
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        rays = np.stack([directions * (SUN_RADIUS + 1), directions * (SUN_RADIUS + 1 + RAY)], axis=1)
        axes.add_collection(
            LineCollection(list(rays), colors=style.ORANGE, linewidths=1.1, transform=where, zorder=3), autolim=False
        )
        self._disc = Circle((0, 0), 0.0, color=style.ORANGE, linewidth=0, transform=where, zorder=4)
        rim = Circle((0, 0), SUN_RADIUS, facecolor="white", edgecolor=style.ORANGE, transform=where, zorder=3)
        for patch in (rim, self._disc):
            axes.add_patch(patch)
        self._text = _text(axes, where, with_text)

    def show(self, p_mw: float, q_mvar: float) -> None:
        """Fill the disc's area by the power; state active and reactive power, positive into the grid."""
        share = np.clip(p_mw / self._p_max_mw, 0, 1) if self._p_max_mw > 0 else 0.0
        self._disc.set_radius(SUN_RADIUS * np.sqrt(share))
        self._text.set_text(f"{_signed(p_mw)} MW\n{_signed(q_mvar)} Mvar")


def _beside(axes: Axes, place: np.ndarray, aside: int) -> Transform:
    """From points around the symbol's middle to the screen."""
    to_inches = Affine2D().translate(ASIDE * aside, -BELOW).scale(1 / 72)
    to_place = ScaledTranslation(place[0], place[1], axes.transData)  # type: ignore[arg-type]  # takes any transform
    return to_inches + axes.figure.dpi_scale_trans + to_place


def _text(axes: Axes, where: Transform, shown: bool) -> Text:
    text = axes.text(0, -TEXT_BELOW, "", transform=where, ha="center", va="top", fontsize=7, color=style.INK, zorder=3)
    text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})  # over the branches that pass
    text.set_visible(shown)
    return text


def _signed(value: float) -> str:
    """Two decimals with a sign; nothing is written -0.00."""
    rounded = round(value, 2) + 0.0
    return f"{rounded:+.2f}".replace("-", "\N{MINUS SIGN}") if rounded else "0.00"
