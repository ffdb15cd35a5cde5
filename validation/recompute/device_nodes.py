"""Where devices stand on a feeder with phases, worked out a second time from labels: ``bus.phase``.

A device stands at the phases that it names, or at all of its bus's, neutrals left out, with an equal share at each.
"""

from __future__ import annotations

import numpy as np

from neomflex_jax.grid import AnyFeeder, UnbalancedFeeder
from validation.recompute.devices.twin import SomeDevice


def device_nodes(feeder: AnyFeeder, device: SomeDevice) -> np.ndarray:
    """Positions of the nodes at which a device stands."""
    own = feeder.nodes.at[device.bus]
    if not isinstance(feeder, UnbalancedFeeder):
        return own
    wanted = {f"{device.bus}.{phase}" for phase in (device.phases or (1, 2, 3))}
    return np.array([node for node in own if feeder.node_labels[node] in wanted], int)


def loads_at(feeder: AnyFeeder, bus: object) -> np.ndarray:
    """Positions of the loads at a bus; of a balanced feeder its nodes, by which loads are counted there."""
    if not isinstance(feeder, UnbalancedFeeder):
        return feeder.nodes.at[bus]
    return np.array([place for place, own in enumerate(feeder.load_buses) if own == bus], int)
