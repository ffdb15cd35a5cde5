"""A radial network's buses depth first: each is followed by the first that hangs on it, and by all that hang there.

So sums along the tree are carried from row to row, and go through memory only where it forks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from neomflex_jax.grid.topology import Topology, spanning_tree

# flags of a row: nothing hangs on its bus; more than one do; its own bus hangs on another than the row before's, of
# all that do so it comes first on the way back, from the last row to row 0
LEAF, GATHERS, HANDS_ON, FIRST = 1, 2, 4, 8


class DepthFirst(NamedTuple):
    """Row 0 is the slack's; all of 32 bits: JAX 0.10.2 mixes up the precisions of programs that share one of 64."""

    above: np.ndarray  # (n_bus,) int32, row of the bus above each row's; 0 in row 0
    forks: np.ndarray  # (n_bus,) int32, flags of each row
    row: np.ndarray  # (n_bus,) int32, row of each bus
    bus: np.ndarray  # (n_bus - 1,) int32, which of the buses without the slack each row from 1 on holds
    branch: np.ndarray  # (n_bus - 1,) int32, branch above the bus of each row from 1 on
    towards: np.ndarray  # (n_bus - 1,) int32, +1 where that branch's from -> to leads towards the slack, -1 where away


@lru_cache(maxsize=32)
def depth_first(topology: Topology) -> DepthFirst:
    """Depth-first order of a radial network's buses."""
    tree = spanning_tree(topology)
    below: list[list[int]] = [[] for _ in range(topology.n_bus)]
    for bus in tree.order[1:]:
        below[tree.parent[bus]].append(int(bus))
    order, waiting = [], [topology.slack]
    while waiting:
        order.append(waiting.pop())
        waiting += reversed(below[order[-1]])
    row = np.empty(topology.n_bus, np.int32)
    row[order] = np.arange(topology.n_bus)
    above = np.append(np.int32(0), row[tree.parent[order[1:]]])
    held, others = np.argsort(row[topology.non_slack]), order[1:]
    of_rows = (held, tree.parent_branch[others], -tree.direction[others])
    return DepthFirst(above, _forks(above), row, *(part.astype(np.int32) for part in of_rows))


def _forks(above: np.ndarray) -> np.ndarray:
    rows = np.arange(1, len(above), dtype=np.int32)
    hangs_on = above[1:]
    n_below = np.bincount(hangs_on, minlength=len(above))
    hands_on = np.append(False, hangs_on != rows - 1)
    last = np.zeros(len(above), np.int32)
    last[hangs_on] = rows  # the last row that hangs on each
    first = hands_on & (last[above] == np.arange(len(above)))
    return (LEAF * (n_below == 0) + GATHERS * (n_below > 1) + HANDS_ON * hands_on + FIRST * first).astype(np.int32)
