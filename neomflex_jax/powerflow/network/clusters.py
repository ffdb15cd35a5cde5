"""Cut a tree into small pieces, so that sums along it become small dense products.

A piece holds at most `size` nodes: fragments of the tree that all hang on one node of another piece (or on the root).
The pieces form a tree themselves. Runs once on the host, in NumPy, at a cost linear in the nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Clusters:
    """Pieces of a tree of n nodes; empty slots of a piece hold node n, which does not exist."""

    nodes: np.ndarray  # (n_cluster, size) node in each slot; a parent's slot comes before its children's
    slot: np.ndarray  # (n,) flat position, cluster * size + slot, of each node
    parent: np.ndarray  # (n_cluster,) piece on which this one hangs, -1 for the root
    parent_slot: np.ndarray  # (n_cluster,) slot of the node there, 0 for the root
    path: np.ndarray  # (n_cluster, size, size) path[c, i, j] = 1 where j lies on the way from the piece's edge to i


def cluster_tree(parent: np.ndarray, order: np.ndarray, size: int) -> Clusters:
    """Cut the tree given by each node's parent, -1 at the root; `order` lists the nodes, parents first."""
    n = len(parent)
    cut = _cuts(parent, order, size)
    of_node, members, hangs_on = _pack(parent, order, cut, size)
    nodes = np.full((len(members), size), n)
    slot = np.zeros(n, int)
    for cluster, inside in enumerate(members):
        nodes[cluster, : len(inside)] = inside
        slot[inside] = cluster * size + np.arange(len(inside))
    path = np.zeros((len(members), size, size))
    for node in order:
        cluster, row = divmod(int(slot[node]), size)
        above = parent[node]
        if above >= 0 and of_node[above] == cluster:
            path[cluster, row] = path[cluster, slot[above] % size]
        path[cluster, row, row] = 1.0
    hanging = np.array(hangs_on)
    rooted = hanging >= 0
    return Clusters(
        nodes=nodes,
        slot=slot,
        parent=np.where(rooted, slot[hanging] // size, -1),
        parent_slot=np.where(rooted, slot[hanging] % size, 0),
        path=path,
    )


def _cuts(parent: np.ndarray, order: np.ndarray, size: int) -> np.ndarray:
    """Mask (n,) of the nodes that start a fragment: where one would outgrow `size`, its largest branches come off."""
    children: list[list[int]] = [[] for _ in parent]
    weight, cut = np.ones(len(parent), int), np.zeros(len(parent), bool)
    for node in order[::-1]:
        below = sorted(children[node], key=lambda child: weight[child])
        weight[node] += sum(weight[child] for child in below)
        while weight[node] > size:
            largest = below.pop()
            cut[largest] = True
            weight[node] -= weight[largest]
        if parent[node] >= 0:
            children[parent[node]].append(int(node))
        else:
            cut[node] = True
    return cut


def _pack(
    parent: np.ndarray, order: np.ndarray, cut: np.ndarray, size: int
) -> tuple[np.ndarray, list[list[int]], list[int]]:
    """Join fragments that hang on the same node into one piece while they fit.

    Returns
    -------
    of_node, members, hangs_on
        Piece of each node, (n,); nodes of each piece; node on which each piece hangs, -1 for the root.
    """
    fragment = np.zeros(len(parent), int)
    fragments: dict[int, list[int]] = {}
    for node in order:
        fragment[node] = node if cut[node] else fragment[parent[node]]
        fragments.setdefault(int(fragment[node]), []).append(int(node))
    members: list[list[int]] = []
    hangs_on: list[int] = []
    open_pieces: dict[int, list[int]] = {}
    for head, inside in fragments.items():
        above = int(parent[head])
        room = [c for c in open_pieces.get(above, []) if len(members[c]) + len(inside) <= size]
        if room:
            members[room[0]].extend(inside)
            continue
        open_pieces.setdefault(above, []).append(len(members))
        members.append(list(inside))
        hangs_on.append(above)
    of_node = np.zeros(len(parent), int)
    for cluster, inside in enumerate(members):
        of_node[inside] = cluster
    return of_node, members, hangs_on
