"""Who controls what: a feeder as a tree from its slack, buses in their agents' colours, devices marked.

To the right: branches between a bus and the slack. Upwards: room for every end of the tree, nothing geographic.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from neomflex_jax.devices import Turn
from neomflex_jax.grid import AnyFeeder, UnbalancedFeeder
from neomflex_jax.grid.places import bus_places
from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import Figure, offset_copy
from neomflex_jax.plots.feeder import draw_branches, draw_labels
from neomflex_jax.plots.symbols import symbol_of
from neomflex_jax.scenario import Scenario

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHAPES = ("o", "D", "^", "v", "p", "h")  # the next one when the colours begin again
MOST_AGENTS = len(SHAPES) * len(style.COLOURS)
BESIDE = 7.0  # points from a bus to the markers of its devices: generation above, all else below, side by side


def draw_territories(scenario: Scenario, feeder: AnyFeeder) -> Figure:
    """Draw the scenario's territories and devices on its feeder."""
    place = bus_places(feeder.topology)
    figure, axes = style.new_figure(f"{scenario.name}: territories and devices", "")
    figure.set_figheight(min(3.0 + 0.12 * len(np.unique(place[:, 1])), 16.0))
    draw_branches(axes, feeder.topology, place, slack_size=90.0, by_phase=isinstance(feeder, UnbalancedFeeder))
    for index, part in enumerate(scenario.territories):
        own = place[[feeder.bus_position(bus) for bus in part.buses]]
        shape = SHAPES[index // len(style.COLOURS) % len(SHAPES)]
        colour = style.COLOURS[index % len(style.COLOURS)]
        axes.scatter(own[:, 0], own[:, 1], marker=shape, s=30, color=colour, zorder=3, linewidths=0, label=part.agent)
    _mark_devices(figure, axes, scenario, place[[feeder.bus_position(each.bus) for each in scenario.devices]])
    draw_labels(axes, feeder, place, above=12.0)  # clear of the marks
    axes.set_xlabel("branches from the slack")
    handles, labels = axes.get_legend_handles_labels()
    if len(scenario.territories) > MOST_AGENTS:  # colours and shapes begin again: they part neighbours, no more
        agents = set(scenario.agents)
        named = [(handle, label) for handle, label in zip(handles, labels, strict=True) if label not in agents]
        handles, labels = (list(part) for part in zip(*named, strict=True))
        axes.set_title(f"{len(agents)} agents", loc="right", fontsize=9, color=style.GREY)
    columns = -(-len(labels) // style.LEGEND_ROWS)
    labels = [style.entry(label) for label in labels]
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8, ncols=columns)
    return figure


def _mark_devices(figure: Figure, axes: Axes, scenario: Scenario, place: Float[np.ndarray, "n_device 2"]) -> None:
    """Mark the devices, whose buses are at these places, with a marker for each kind."""
    first, beside = 0, Counter[bool]()
    for kind in scenario.kinds:
        at = place[first : first + len(scenario.of(kind))]
        first += len(at)
        if len(at) == 0:
            continue
        above, symbol = kind.turn == Turn.GENERATION, symbol_of(kind)
        aside = (beside[above] + 1) // 2 * (-1) ** beside[above]  # 0, -1, 1, -2, ... from the bus
        beside[above] += 1
        offset = offset_copy(axes.transData, figure, x=BESIDE * aside, y=BESIDE if above else -BESIDE, units="points")
        axes.scatter(
            at[:, 0],
            at[:, 1],
            marker=symbol.marker,
            s=26,
            color=symbol.colour,
            transform=offset,
            zorder=4,
            linewidths=0,
            label=kind.noun,
        )
