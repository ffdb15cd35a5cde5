"""Where buses stand in a drawing: a tree from the slack, nothing geographic.

To the right: branches between a bus and the slack. Upwards: room for every end of the tree.
"""

from __future__ import annotations

import numpy as np

from neomflex_jax.grid.topology import Topology, spanning_tree


def bus_places(topology: Topology) -> np.ndarray:
    """Return depth in the tree and height of every bus, (n_bus, 2); an inner bus stands at its children's middle."""
    tree = spanning_tree(topology)
    depth = np.zeros(topology.n_bus, int)
    children: list[list[int]] = [[] for _ in range(topology.n_bus)]
    for bus in tree.order[1:]:
        depth[bus] = depth[tree.parent[bus]] + 1
        children[tree.parent[bus]].append(int(bus))
    height, pending, n_ends = np.zeros(topology.n_bus), [topology.slack], 0
    while pending:  # ends of the tree from bottom to top, depth first
        bus = pending.pop()
        pending += children[bus]
        if not children[bus]:
            height[bus], n_ends = n_ends, n_ends + 1
    for bus in tree.order[::-1]:
        if children[bus]:
            height[bus] = np.mean(height[children[bus]])
    return np.stack([depth, height], axis=1)
