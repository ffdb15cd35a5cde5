"""Voltage error along the feeder: where a surrogate goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.grid import AnyFeeder, load_feeder
from neomflex_jax.grid.topology import spanning_tree
from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import Figure
from neomflex_jax.plots.validation.spread import draw_spread, vm_error_pu

if TYPE_CHECKING:
    from validation import Validated

MOST_LABELS = 60


def draw(run: Validated) -> Figure:
    """Draw the errors' spread at every bus, laterals one after the other with a gap before each."""
    trajectory = run.trajectory
    feeder = load_feeder(trajectory.scenario.feeder)
    figure, axes = style.new_figure(
        f"Voltage error along the feeder, {trajectory.power_flow} - {run.report.referee}: {trajectory.run}",
        "voltage error (pu)",
        n_days=1 + feeder.n_bus // 10,
    )
    errors = vm_error_pu(trajectory.vm_pu, run.replayed.vm_pu)
    order, at = along_feeder(feeder)
    nodes = [feeder.nodes.at[feeder.bus_labels[bus]] for bus in order]
    at_node = np.repeat(at, [len(each) for each in nodes])
    gaps = np.flatnonzero(np.diff(at_node) > 1)
    columns = np.insert(errors[:, np.concatenate(nodes)], gaps + 1, np.nan, axis=1)
    draw_spread(axes, np.insert(at_node, gaps + 1, at_node[gaps] + 1), columns)
    every = -(-feeder.n_bus // MOST_LABELS)
    labels = [str(feeder.bus_labels[bus]) for bus in order[::every]]
    axes.set_xticks(at[::every], labels, rotation=90, fontsize=7)
    axes.set_xlim(at[0] - 0.5, at[-1] + 0.5)
    axes.set_xlabel("bus, from the slack outwards; a gap begins a lateral")
    style.legend(figure, axes)
    return figure


def along_feeder(feeder: AnyFeeder) -> tuple[np.ndarray, np.ndarray]:
    """Return buses from the slack outwards, (n_bus,), and their positions, which skip one before each lateral.

    Of several ways on, the longest comes first; open branches do not count, and a loop is cut where it closes.
    """
    tree = spanning_tree(feeder.topology)
    below: dict[int, list[int]] = {int(bus): [] for bus in tree.order}
    reach = dict.fromkeys(below, 0)
    for bus in reversed(tree.order[1:].tolist()):
        above = int(tree.parent[bus])
        below[above].append(bus)
        reach[above] = max(reach[above], reach[bus] + 1)
    order: list[int] = []
    positions: list[int] = []
    waiting = [feeder.topology.slack]
    while waiting:
        bus = waiting.pop()
        follows = not order or tree.parent[bus] == order[-1]
        positions.append((positions[-1] if positions else -1) + (1 if follows else 2))
        order.append(bus)
        waiting += sorted(below[bus], key=reach.__getitem__)
    return np.array(order), np.array(positions)
