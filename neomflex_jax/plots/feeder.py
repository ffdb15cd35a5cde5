"""A feeder as a tree from its slack, buses coloured by voltage.

To the right: branches between a bus and the slack. Upwards: room for every end of the tree, nothing geographic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.places import bus_places as bus_places  # of other drawings, too
from neomflex_jax.grid.topology import Topology, spanning_tree
from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import Figure, LineCollection

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LABELS = 150  # more would cover each other


def draw_feeder(feeder: Feeder, vm_pu: np.ndarray) -> Figure:
    """Draw the feeder with the voltages `vm_pu` (n_node,)."""
    place = bus_places(feeder.topology)
    figure, axes = style.new_figure(f"{feeder.name}: voltage at nominal load", "")
    figure.set_figheight(min(3.0 + 0.12 * len(np.unique(place[:, 1])), 16.0))
    draw_branches(axes, feeder.topology, place)
    x, y = place[feeder.nodes.bus_position].T
    dots = axes.scatter(x, y, c=vm_pu, cmap="viridis", s=28, zorder=3, edgecolors=style.INK, linewidths=0.4)
    draw_labels(axes, feeder, place)
    axes.set_xlabel("branches from the slack")
    figure.colorbar(dots, ax=axes, label="voltage (pu)")
    axes.legend(loc="best", frameon=False, fontsize=8)
    return figure


def draw_branches(axes: Axes, topology: Topology, place: np.ndarray, slack_size: float = 60.0) -> None:
    """Draw every branch between its buses' places (n_bus, 2), and mark the slack."""
    ends = np.array([topology.from_bus, topology.to_bus]).T
    closed = np.array(topology.in_service, bool)
    in_tree = closed.copy()
    in_tree[spanning_tree(topology).loop_branches] = False
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


def draw_labels(axes: Axes, feeder: Feeder, place: np.ndarray, above: float = 4.0) -> None:
    """Write every bus's label so many points above it, unless they would cover each other."""
    if feeder.n_bus <= MOST_LABELS:
        for label, (x, y) in zip(feeder.bus_labels, place, strict=True):
            axes.annotate(str(label), (x, y), (0, above), textcoords="offset points", ha="center", fontsize=6)
