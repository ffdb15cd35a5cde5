"""Which bus is connected to which: the static part of a feeder, and the spanning tree that the power flow walks along.

Positions, not labels, everywhere. The tree is rooted at the slack; branches in service that it leaves out close loops.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from neomflex_jax.one_line import one_line


@dataclass(frozen=True)
class Topology:
    """Buses and the branches between them; hashable, therefore static under jit."""

    n_bus: int
    slack: int
    from_bus: tuple[int, ...]
    to_bus: tuple[int, ...]
    in_service: tuple[bool, ...]
    further_slacks: tuple[int, ...] = ()  # other buses of external grids

    __repr__ = one_line

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:  # jit asks at every call, and a feeder may have 10,000 branches
        return hash((self.n_bus, self.slack, self.from_bus, self.to_bus, self.in_service, self.further_slacks))

    @property
    def n_branch(self) -> int:
        """Number of branches, open ones included."""
        return len(self.from_bus)

    @property
    def non_slack(self) -> np.ndarray:
        """Positions of all buses but the slack, ascending, shape (n_bus - 1,)."""
        return np.delete(np.arange(self.n_bus), self.slack)

    @property
    def is_radial(self) -> bool:
        """True if no branch in service closes a loop."""
        return len(spanning_tree(self).loop_branches) == 0


@dataclass(frozen=True, eq=False)
class SpanningTree:
    """A breadth-first tree over the branches in service; one from each of several slacks."""

    order: np.ndarray  # (n_reached,) buses, every bus after its parent, the slack first
    parent: np.ndarray  # (n_bus,) bus before it on the way from the slack; -1 at a slack and where no way leads
    parent_branch: np.ndarray  # (n_bus,) branch to that parent, or -1
    direction: np.ndarray  # (n_bus,) +1 where that branch's from -> to leads away from the slack, -1 where towards it
    loop_branches: np.ndarray  # (n_loop,) branches in service outside the tree

    __repr__ = one_line


@lru_cache(maxsize=32)
def spanning_tree(topology: Topology) -> SpanningTree:
    """Walk from the slack; ties between equally near branches go to the one listed first."""
    neighbours: list[list[tuple[int, int, int]]] = [[] for _ in range(topology.n_bus)]
    for branch, (a, b, closed) in enumerate(zip(topology.from_bus, topology.to_bus, topology.in_service, strict=True)):
        if closed:
            neighbours[a].append((b, branch, 1))
            neighbours[b].append((a, branch, -1))
    parent = np.full(topology.n_bus, -1)
    parent_branch, direction = parent.copy(), np.zeros(topology.n_bus, int)
    roots = (topology.slack, *topology.further_slacks)
    reached, frontier, order = set(roots), deque(roots), []
    while frontier:
        bus = frontier.popleft()
        order.append(bus)
        for other, branch, sign in neighbours[bus]:
            if other not in reached:
                reached.add(other)
                frontier.append(other)
                parent[other], parent_branch[other], direction[other] = bus, branch, sign
    in_tree = np.zeros(topology.n_branch, bool)
    in_tree[parent_branch[parent_branch >= 0]] = True
    loops = np.flatnonzero(np.array(topology.in_service, bool) & ~in_tree)
    return SpanningTree(np.array(order), parent, parent_branch, direction, loops)


@lru_cache(maxsize=32)
def path_matrix(topology: Topology) -> np.ndarray:
    """Tree branches between each bus and the slack, shape (n_bus - 1, n_branch), rows as in `Topology.non_slack`.

    +1 where the branch's from -> to direction leads away from the slack, -1 where it leads towards it, 0 elsewhere.
    """
    tree = spanning_tree(topology)
    path = np.zeros((topology.n_bus, topology.n_branch))
    for bus in tree.order[1:]:
        path[bus] = path[tree.parent[bus]]
        path[bus, tree.parent_branch[bus]] = tree.direction[bus]
    return path[topology.non_slack]
