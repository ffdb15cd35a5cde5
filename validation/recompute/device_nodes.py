"""Where devices stand on a feeder with phases, worked out a second time from labels: ``bus.phase``.

A device stands at the phases that it names, or at all of its bus's, neutrals left out, with an equal share at each. One
with a rule of its own measures the same phases at the bus that it controls, their mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neomflex_jax.grid import AnyFeeder, UnbalancedFeeder
from validation.recompute.devices.twin import SomeDevice


def device_nodes(feeder: AnyFeeder, device: SomeDevice) -> np.ndarray:
    """Positions of the nodes at which a device stands."""
    return nodes_at(feeder, device.bus, device)


def nodes_at(feeder: AnyFeeder, bus: Any, device: SomeDevice) -> np.ndarray:
    """Positions of those of a bus's nodes that are of a device's phases: where it stands, or what it measures."""
    own = feeder.nodes.at[bus]
    if not isinstance(feeder, UnbalancedFeeder):
        return own
    wanted = {f"{bus}.{phase}" for phase in (device.phases or (1, 2, 3))}
    return np.array([node for node in own if feeder.node_labels[node] in wanted], int)


def loads_at(feeder: AnyFeeder, bus: object) -> np.ndarray:
    """Positions of the loads at a bus; of a balanced feeder its nodes, by which loads are counted there."""
    if not isinstance(feeder, UnbalancedFeeder):
        return feeder.nodes.at[bus]
    return np.array([place for place, own in enumerate(feeder.load_buses) if own == bus], int)
