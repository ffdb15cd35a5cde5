"""Symbols of devices below their bus, as their kinds state them: of one size on paper, whatever the diagram's scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from neomflex_jax.devices import Device, Kind, Look, Symbol
from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import Affine2D, Circle, Line2D, LineCollection, Rectangle, ScaledTranslation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text
    from matplotlib.transforms import Transform

# points
ASIDE, BELOW = 22.0, 18.0  # from the bus to a symbol's middle, where two share a bus and always
TEXT_BELOW = 9.5  # from a symbol's middle to its text
TANK_WIDTH, TANK_HEIGHT = 9.0, 14.0
DISC_RADIUS, RAY = 4.6, 2.6


class Drawn:
    """A device's symbol and the text below it."""

    def __init__(self, axes: Axes, place: np.ndarray, aside: int, with_text: bool, symbol: Symbol) -> None:
        where = _beside(axes, place, aside)
        self._fill = SHAPES[symbol.shape](axes, where, symbol)
        self._text = _text(axes, where, with_text)

    def fill(self, share: float) -> None:
        """Fill the symbol to a share, 0 to 1."""
        self._fill(share)

    def show(self, look: Look) -> None:
        """Fill the symbol, and write its numbers with their units, a line each."""
        self.fill(float(np.clip(look.filled, 0.0, 1.0)))
        self._text.set_text("\n".join(_with_unit(value, unit) for value, unit in look.numbers))


Fill = Callable[[float], None]  # to a share of the symbol


def _tank(axes: Axes, where: Transform, symbol: Symbol) -> Fill:
    """Draw a case with a terminal, filled from below."""
    left, bottom = -TANK_WIDTH / 2, -TANK_HEIGHT / 2
    terminal = Rectangle((-2.0, -bottom), 4.0, 1.8, color=symbol.colour, transform=where, zorder=3)
    case = Rectangle(
        (left, bottom),
        TANK_WIDTH,
        TANK_HEIGHT,
        facecolor="white",
        edgecolor=symbol.colour,
        transform=where,
        zorder=3,
    )
    inside = Rectangle(
        (left + 1, bottom + 1), TANK_WIDTH - 2, 0, color=symbol.fill, linewidth=0, transform=where, zorder=4
    )
    for patch in (terminal, case, inside):
        axes.add_patch(patch)
    return lambda share: inside.set_height(share * (TANK_HEIGHT - 2))


def _sun(axes: Axes, where: Transform, symbol: Symbol) -> Fill:
    """Draw a disc with rays."""
    angles = np.arange(8) * np.pi / 4
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rays = np.stack([directions * (DISC_RADIUS + 1), directions * (DISC_RADIUS + 1 + RAY)], axis=1)
    axes.add_collection(
        LineCollection(list(rays), colors=symbol.colour, linewidths=1.1, transform=where, zorder=3), autolim=False
    )
    return _disc(axes, where, symbol)


def _disc(axes: Axes, where: Transform, symbol: Symbol) -> Fill:
    """Draw a disc, of which the share is filled by area."""
    inside = Circle((0, 0), 0.0, color=symbol.fill, linewidth=0, transform=where, zorder=4)
    rim = Circle((0, 0), DISC_RADIUS, facecolor="white", edgecolor=symbol.colour, transform=where, zorder=3)
    for patch in (rim, inside):
        axes.add_patch(patch)
    return lambda share: inside.set_radius(DISC_RADIUS * np.sqrt(share))


SHAPES: dict[str, Callable[[Axes, Transform, Symbol], Fill]] = {"tank": _tank, "sun": _sun, "disc": _disc}


def symbol_of(kind: Kind) -> Symbol:
    """Return the symbol that a kind states, or a disc under its noun."""
    return kind.symbol or Symbol(kind.noun)


def filled_shares(
    recorded: Mapping[str, np.ndarray], devices: Sequence[tuple[Kind, int, Device]]
) -> Float[np.ndarray, "n_steps n_device"]:
    """Return by which share each device's symbol is filled in every step.

    Parameters
    ----------
    recorded
        (n_steps, n_device of its kind) by name, those that kinds record.
    devices
        Kind, place in the kind's records, and the device.
    """
    columns = []
    for kind, index, device in devices:
        names = [one.name for one in kind.recorded]
        steps = zip(*(np.asarray(recorded[name])[:, index].tolist() for name in names), strict=True)
        columns.append([device.look(dict(zip(names, values, strict=True))).filled for values in steps])
    return np.clip(np.array(columns, float).T, 0.0, 1.0)


def legend_handle(symbol: Symbol) -> Line2D:
    """Return the symbol for a legend."""
    marker = "s" if symbol.shape == "tank" else "o"
    return Line2D([], [], marker=marker, linestyle="", color=symbol.colour, markerfacecolor=symbol.fill, markersize=7)


def _beside(axes: Axes, place: np.ndarray, aside: int) -> Transform:
    """Return the transform from points around the symbol's middle to the screen."""
    to_inches = Affine2D().translate(ASIDE * aside, -BELOW).scale(1 / 72)
    to_place = ScaledTranslation(place[0], place[1], axes.transData)  # type: ignore[arg-type]  # takes any transform
    return to_inches + axes.figure.dpi_scale_trans + to_place


def _text(axes: Axes, where: Transform, shown: bool) -> Text:
    text = axes.text(0, -TEXT_BELOW, "", transform=where, ha="center", va="top", fontsize=7, color=style.INK, zorder=3)
    text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})  # over the branches that pass
    text.set_visible(shown)
    return text


def _with_unit(value: float, unit: str) -> str:
    return f"{100 * value:.0f} %" if unit == "of capacity" else f"{_signed(value)} {unit}"


def _signed(value: float) -> str:
    """Return a number with two decimals and its sign; zero has none."""
    rounded = round(value, 2) + 0.0
    return f"{rounded:+.2f}".replace("-", "\N{MINUS SIGN}") if rounded else "0.00"
