"""A feeder as a tree from its slack, buses coloured by voltage.

To the right: branches between a bus and the slack. Upwards: room for every end of the tree, nothing geographic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.grid.feeder import AnyFeeder, Feeder
from neomflex_jax.grid.places import bus_places
from neomflex_jax.grid.topology import Topology, spanning_tree
from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import Figure, LineCollection

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MANY, ROOM_OF_MANY = 300, 2.5  # buses: more leave labels room as if they were so many times larger
BAR_INCH = 4.0
LETTER, LINE = 0.62, 1.15  # width of a letter and height of a line, over the size of letters


def draw_feeder(feeder: Feeder, vm_pu: np.ndarray) -> Figure:
    """Draw the feeder with the voltages `vm_pu` (n_node,)."""
    place = bus_places(feeder.topology)
    figure, axes = style.new_figure(f"{feeder.name}: voltage at nominal load", "")
    figure.set_figheight(min(3.0 + 0.12 * len(np.unique(place[:, 1])), 16.0))
    draw_branches(axes, feeder.topology, place)
    x, y = place[feeder.nodes.bus_position].T
    size = 28.0 if feeder.n_bus <= MANY else 10.0
    dots = axes.scatter(x, y, c=vm_pu, cmap="viridis", s=size, zorder=3, edgecolors=style.INK, linewidths=0.3)
    draw_labels(axes, feeder, place)
    axes.set_xlabel("branches from the slack")
    shrink = min(1.0, BAR_INCH / figure.get_figheight())
    figure.colorbar(dots, ax=axes, label="voltage (pu)", shrink=shrink, aspect=25, pad=0.02)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure


def draw_branches(
    axes: Axes, topology: Topology, place: np.ndarray, slack_size: float = 60.0, *, by_phase: bool = False
) -> None:
    """Draw every branch between its buses' places (n_bus, 2), and mark the slack.

    With `by_phase` branches between the same buses carry a phase each, and close no loop.
    """
    ends = np.array([topology.from_bus, topology.to_bus]).T
    closed = np.array(topology.in_service, bool)
    in_tree = closed.copy()
    in_tree[spanning_tree(topology).loop_branches] = False
    if by_phase:
        joined = {frozenset(pair) for pair in ends[in_tree].tolist()}
        in_tree |= closed & np.array([frozenset(pair) in joined for pair in ends.tolist()])
    for which, colour, dashes, name in (
        (in_tree, style.GREY, "-", "in service"),
        (closed & ~in_tree, style.VERMILLION, "-", "closes a loop"),
        (~closed, style.GREY, ":", "open"),
    ):
        if which.any():
            lines = LineCollection(
                list(place[ends[which]]), colors=colour, linestyles=dashes, linewidths=1.0, label=name
            )
            axes.add_collection(lines)
    slack_x, slack_y = place[topology.slack]
    axes.scatter(slack_x, slack_y, marker="s", s=slack_size, color=style.INK, zorder=2, label="slack")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def draw_labels(
    axes: Axes, feeder: AnyFeeder, place: np.ndarray, above: float = 4.0, first: Sequence[int] = (), size: float = 6.0
) -> None:
    """Write buses' labels so many points above them, of many those that have room.

    Parameters
    ----------
    first
        Positions of buses whose labels come before others', where there is room for one of them.
    size
        Of the letters, in points.
    """
    texts = [str(label) for label in feeder.bus_labels]
    for bus in _with_room(axes, place, [feeder.topology.slack, *first], texts, size):
        x, y = place[bus]
        axes.annotate(texts[bus], (x, y), (0, above), textcoords="offset points", ha="center", fontsize=size)


def _with_room(axes: Axes, place: np.ndarray, first: Sequence[int], texts: Sequence[str], size: float) -> list[int]:
    """Return the buses whose labels cover none before them, on a panel of about its share of the figure."""
    span = np.maximum(np.ptp(place, axis=0), 1.0)
    panel_inch = np.array(axes.bbox.size) / axes.figure.dpi
    points = (place - place.min(axis=0)) / span * panel_inch * 72.0
    shown: list[int] = []
    apart_by = 1.0 if len(texts) <= MANY else ROOM_OF_MANY
    order = dict.fromkeys([*first, *np.lexsort((place[:, 1], place[:, 0])).tolist()])
    for bus in order:
        half = 0.5 * LETTER * size * (len(texts[bus]) + 1)
        wide = np.array([half + 0.5 * LETTER * size * (len(texts[other]) + 1) for other in shown])
        apart = np.abs(points[shown] - points[bus])
        if not np.any((apart[:, 0] < apart_by * wide) & (apart[:, 1] < apart_by * LINE * size)):
            shown.append(bus)
    return shown
