"""Who controls what: a feeder as a tree from its slack, buses in their agents' colours, devices marked.

To the right: branches between a bus and the slack. Upwards: room for every end of the tree, nothing geographic.
"""

from __future__ import annotations

import numpy as np

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import Figure, offset_copy
from neomflex_jax.plots.feeder import bus_places, draw_branches, draw_labels
from neomflex_jax.scenario import Scenario

SHAPES = ("o", "D", "^", "v", "p", "h")  # the next one when the colours begin again
MOST_AGENTS = len(SHAPES) * len(style.COLOURS)
DEVICES = {  # marker, colour, points above the bus; both fit at one bus
    "PV inverter": ("*", style.ORANGE, 7.0),
    "battery": ("s", style.INK, -7.0),
}


def draw_territories(scenario: Scenario, feeder: Feeder) -> Figure:
    """Draw the scenario's territories and devices on its feeder."""
    place = bus_places(feeder.topology)
    figure, axes = style.new_figure(f"{scenario.name}: territories and devices", "")
    figure.set_figheight(min(3.0 + 0.12 * len(np.unique(place[:, 1])), 16.0))
    draw_branches(axes, feeder.topology, place, slack_size=90.0)
    for index, part in enumerate(scenario.territories):
        own = place[[feeder.bus_position(bus) for bus in part.buses]]
        shape = SHAPES[index // len(style.COLOURS) % len(SHAPES)]
        colour = style.COLOURS[index % len(style.COLOURS)]
        axes.scatter(own[:, 0], own[:, 1], marker=shape, s=30, color=colour, zorder=3, linewidths=0, label=part.agent)
    buses = {
        "PV inverter": [device.bus for device in scenario.pv_inverters],
        "battery": [device.bus for device in scenario.batteries],
    }
    for name, (shape, colour, above) in DEVICES.items():
        if buses[name]:
            at = place[[feeder.bus_position(bus) for bus in buses[name]]]
            beside = offset_copy(axes.transData, figure, y=above, units="points")
            axes.scatter(
                at[:, 0],
                at[:, 1],
                marker=shape,
                s=26,
                color=colour,
                transform=beside,
                zorder=4,
                linewidths=0,
                label=name,
            )
    draw_labels(axes, feeder, place, above=12.0)  # clear of the PV marks
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
