"""Cutting a feeder into connected territories of about equal load.

Electrical distance between two buses is the least sum of |z| along branches in service, in per unit, so that both sides
of a transformer count alike. Territories are grown from seeds that lie far apart, the lightest first, and then borders
between neighbours move to where the squares of the territories' loads sum to the least.

Sources: electrical distance for partitioning, E. Cotilla-Sanchez and others, "Multi-Attribute Partitioning of Power
Networks Based on Electrical Distance", IEEE Trans. Power Systems 28(4), 2013; seeds by farthest-first traversal,
T. F. Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical Computer Science 38, 1985.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import AnyFeeder
from neomflex_jax.grid.load_by_bus import nominal_load
from neomflex_jax.grid.topology import Topology
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.grid.unbalanced.joined import joined_z_pu
from neomflex_jax.loose_types import BusLabel

EMPTY_BUS = 1e-3  # what a bus without load weighs, of the mean bus: borders among empty buses have a place, too
GAIN = 1e-9  # of the total: the least that a move must gain, so that rounding cannot make it go on for ever

Neighbours = list[list[tuple[int, float]]]  # of each bus: neighbour and |z| of the branch to it


def partition_by_electrical_distance(
    feeder: AnyFeeder, n_agents: int, *, device_buses: Collection[BusLabel] = ()
) -> tuple[tuple[BusLabel, ...], ...]:
    """Cut a feeder, radial or meshed, into connected territories balanced by nominal load; equal calls, equal answers.

    Parameters
    ----------
    device_buses
        Labels of buses with a device: as many territories as there can be have one.

    Returns
    -------
    territories
        Bus labels of each, every bus in exactly one; the territory nearest to the slack comes first. The slack's bus,
        if it has no load, goes to the nearest territory that can have it.

    Raises
    ------
    InputError
        If there are fewer than one or more agents than buses with load or a device.
    """
    load_mva = nominal_load_mva(feeder)
    has_device = np.isin(feeder.bus_labels, list(device_buses))
    usable = np.flatnonzero((load_mva > 0) | has_device).tolist()
    if not 1 <= n_agents <= len(usable):
        what = "load or a device" if has_device.any() else "load"
        most = f"1..{len(usable)}, the number of buses with {what} of feeder {feeder.name!r}"
        raise InputError(f"agents = {n_agents} must lie in {most}")
    neighbours = electrical_neighbours(feeder)
    weight = load_mva + EMPTY_BUS * load_mva.mean()
    slack = feeder.topology.slack
    from_slack = _distances(neighbours, [slack])
    first = np.flatnonzero(has_device).tolist()
    owner = _grow(neighbours, weight, _seeds(neighbours, [first, usable], from_slack, n_agents))
    _balance(neighbours, weight, owner, n_agents, has_device.astype(float))
    if load_mva[slack] == 0 and not has_device[slack]:
        _give_slack_to_nearest(neighbours, owner, slack)
    parts = [np.flatnonzero(owner == agent) for agent in range(n_agents)]
    parts.sort(key=lambda own: (from_slack[own].min(), own[0]))
    return tuple(tuple(feeder.bus_labels[bus] for bus in own) for own in parts)


def nominal_load_mva(feeder: AnyFeeder) -> np.ndarray:
    """Apparent nominal consumption of every bus, (n_bus,), the grid's own generation left out."""
    return np.abs(nominal_load(feeder))


def electrical_neighbours(feeder: AnyFeeder) -> Neighbours:
    """Return of each bus the neighbours by branches in service, with |z| of the branch in per unit."""
    topology = feeder.topology
    if isinstance(feeder, UnbalancedFeeder):
        return _neighbours(topology, joined_z_pu(feeder.nodes, feeder.elements, feeder.v_base_kv))
    r_ohm, x_ohm, vn_kv = (np.asarray(part) for part in (feeder.r_ohm, feeder.x_ohm, feeder.vn_kv))
    z_pu = np.hypot(r_ohm, x_ohm) / vn_kv[list(topology.to_bus)] ** 2
    return _neighbours(topology, z_pu)


def _neighbours(topology: Topology, z_pu: np.ndarray) -> Neighbours:
    neighbours: Neighbours = [[] for _ in range(topology.n_bus)]
    for a, b, closed, z in zip(topology.from_bus, topology.to_bus, topology.in_service, z_pu, strict=True):
        if closed:
            neighbours[a].append((b, float(z)))
            neighbours[b].append((a, float(z)))
    return neighbours


def distances_from_slack(feeder: AnyFeeder) -> np.ndarray:
    """Electrical distance of every bus from the slack's, (n_bus,), in per unit."""
    return _distances(electrical_neighbours(feeder), [feeder.topology.slack])


def _distances(neighbours: Neighbours, sources: Iterable[int]) -> np.ndarray:
    """Electrical distance of every bus to the nearest of `sources`, by Dijkstra's algorithm, (n_bus,)."""
    distance = np.full(len(neighbours), np.inf)
    pending = [(0.0, bus) for bus in sources]
    while pending:
        near, bus = heapq.heappop(pending)
        if near < distance[bus]:
            distance[bus] = near
            for other, z in neighbours[bus]:
                if near + z < distance[other]:
                    heapq.heappush(pending, (near + z, other))
    return distance


def _seeds(neighbours: Neighbours, choices: list[list[int]], from_slack: np.ndarray, n_agents: int) -> list[int]:
    """Choose buses far apart: the farthest from the slack, then always the farthest from those chosen.

    Those of the first of `choices` that has any left come first.
    """
    seeds: list[int] = []
    while len(seeds) < n_agents:
        distance = _distances(neighbours, seeds) if seeds else from_slack
        free = next(left for own in choices if (left := [bus for bus in own if bus not in seeds]))
        seeds.append(max(free, key=lambda bus: (distance[bus], -bus)))
    return seeds


def _grow(neighbours: Neighbours, weight: np.ndarray, seeds: list[int]) -> np.ndarray:
    """Return each bus's owner: the lightest territory that still can takes its nearest free bus, until none is left."""
    owner = np.full(len(neighbours), -1)
    total = np.zeros(len(seeds))
    borders: list[list[tuple[float, int]]] = [[(0.0, seed)] for seed in seeds]
    owner[seeds] = np.arange(len(seeds))

    def take(agent: int, distance: float, bus: int) -> None:
        owner[bus] = agent
        total[agent] += weight[bus]
        for other, z in neighbours[bus]:
            if owner[other] < 0:
                heapq.heappush(borders[agent], (distance + z, other))

    for agent in range(len(seeds)):
        take(agent, *borders[agent].pop())
    growing = set(range(len(seeds)))
    while growing:
        for agent in growing:
            while borders[agent] and owner[borders[agent][0][1]] >= 0:
                heapq.heappop(borders[agent])
        growing = {agent for agent in growing if borders[agent]}
        if growing:
            agent = min(growing, key=lambda one: (total[one], borders[one][0], one))
            take(agent, *heapq.heappop(borders[agent]))
    return owner


def _balance(neighbours: Neighbours, weight: np.ndarray, owner: np.ndarray, n_agents: int, devices: np.ndarray) -> None:
    """Move borders, in place, always by the move that evens the loads most and leaves nobody without a device.

    `devices` are their numbers at the buses, (n_bus,); a territory that has none has none to keep. A move through a
    branch from bus `b` of B to a bus of A cuts the tree of B's shortest paths from `b` at one branch: the side of `b`
    goes to A, so both stay connected.
    """
    total = np.bincount(owner, weight, n_agents)
    least = GAIN * float(total.sum()) ** 2
    while True:
        best_gain, best = least, None
        for bus, taker in _crossings(neighbours, owner):
            giver = int(owner[bus])
            keeps = _weights_below(neighbours, devices, owner, bus) if devices[owner == giver].any() else None
            for cut, weight_kept in _weights_below(neighbours, weight, owner, bus).items():
                if keeps is not None and not keeps[cut]:
                    continue
                moved = total[giver] - weight_kept
                # what the sum of squares falls by when `moved` goes from the giver to the taker
                gain = 2.0 * moved * (total[giver] - total[taker] - moved)
                if gain > best_gain:
                    best_gain, best = gain, (bus, taker, cut)
        if best is None:
            return
        bus, taker, cut = best
        kept = _buses_below(_paths(neighbours, owner, bus), cut)
        leaves = owner == owner[bus]
        leaves[list(kept)] = False
        owner[leaves] = taker
        total = np.bincount(owner, weight, n_agents)


def _crossings(neighbours: Neighbours, owner: np.ndarray) -> list[tuple[int, int]]:
    """Buses with a branch to another territory, each with that territory."""
    pairs = {(bus, int(owner[other])) for bus, near in enumerate(neighbours) for other, _ in near}
    return sorted((bus, other) for bus, other in pairs if other != owner[bus])


def _paths(neighbours: Neighbours, owner: np.ndarray, root: int) -> dict[int, int]:
    """Parent of every bus in the tree of shortest paths from `root` through its own territory, parents first."""
    parent: dict[int, int] = {}
    pending = [(0.0, root, -1)]
    while pending:
        near, bus, before = heapq.heappop(pending)
        if bus not in parent:
            parent[bus] = before
            for other, z in neighbours[bus]:
                if owner[other] == owner[root] and other not in parent:
                    heapq.heappush(pending, (near + z, other, bus))
    return parent


def _weights_below(neighbours: Neighbours, weight: np.ndarray, owner: np.ndarray, root: int) -> dict[int, float]:
    """Weight of every subtree of `_paths`, the whole tree left out."""
    parent = _paths(neighbours, owner, root)
    below = {bus: float(weight[bus]) for bus in parent}
    for bus in reversed(parent):
        if bus != root:
            below[parent[bus]] += below[bus]
    del below[root]
    return below


def _buses_below(parent: dict[int, int], top: int) -> set[int]:
    below = {top}
    for bus, before in parent.items():
        if before in below:
            below.add(bus)
    return below


def _give_slack_to_nearest(neighbours: Neighbours, owner: np.ndarray, slack: int) -> None:
    """Hand the slack's bus to its nearest neighbour's territory, if its own holds together without it."""
    nearest = min(neighbours[slack], key=lambda other: (other[1], other[0]))[0]
    own = np.flatnonzero(owner == owner[slack])
    rest = [int(bus) for bus in own if bus != slack]
    if owner[nearest] == owner[slack] or not rest:
        return
    reached, pending = {rest[0]}, [rest[0]]
    while pending:
        for other, _ in neighbours[pending.pop()]:
            if other != slack and owner[other] == owner[slack] and other not in reached:
                reached.add(other)
                pending.append(other)
    if len(reached) == len(rest):
        owner[slack] = owner[nearest]
