"""What nothing feeds: nodes that no element and no load joins to a source, whose voltages are 0.

Two nodes are joined where an admittance lies between them: in the matrix Y of the elements and sources (windings of a
transformer join theirs, and an open switch nothing), or a branch of a load. OpenDSS solves the same zeros, and calls
the elements there isolated.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from neomflex_jax.errors import InputError
from neomflex_jax.grid.parts import summarise_labels
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.grid.unbalanced.grounding import MOST_NAMED
from neomflex_jax.grid.unbalanced.load import Load
from neomflex_jax.loose_types import BusLabel


def unfed_nodes(feeder: UnbalancedFeeder) -> np.ndarray:
    """Positions of the nodes that nothing joins to a source, in their order."""
    every = range(sum(len(load.branches) for load in feeder.loads))
    part = connected_components(feeder.admittance(every) != 0, directed=False)[1]
    fed = {part[node] for source in feeder.sources for node in source.element.nodes if node >= 0}
    return np.flatnonzero(~np.isin(part, list(fed)))


def fed_buses(feeder: UnbalancedFeeder, without: tuple[BusLabel, BusLabel]) -> set[BusLabel]:
    """Labels of the buses that elements join to a source, but for those elements that join these two buses."""
    topology, left_out = feeder.topology, {feeder.bus_position(end) for end in without}
    pairs = zip(topology.from_bus, topology.to_bus, topology.in_service, strict=True)
    joined = np.array([(a, b) for a, b, closed in pairs if closed and {a, b} != left_out], int).reshape(-1, 2)
    shape = (feeder.n_bus, feeder.n_bus)
    part = connected_components(coo_matrix((np.ones(len(joined)), joined.T), shape=shape), directed=False)[1]
    sources = [node for source in feeder.sources for node in source.element.nodes if node >= 0]
    fed = {part[feeder.nodes.bus_position[node]] for node in sources}
    return {label for label, own in zip(feeder.bus_labels, part, strict=True) if own in fed}


def unfed_loads(feeder: UnbalancedFeeder, nodes: np.ndarray) -> list[Load]:
    """Loads with a power all of whose nodes are among those of `unfed_nodes`."""
    unfed = set(nodes.tolist())
    powered = [load for load in feeder.loads if load.p_mw or load.q_mvar]
    places = [[node for node in load.nodes if node >= 0] for load in powered]  # none: all its conductors are grounded
    return [load for load, own in zip(powered, places, strict=True) if own and unfed.issuperset(own)]


def refuse_unfed_loads(feeder: UnbalancedFeeder) -> None:
    """Raise `InputError` for what consumes or produces where nothing is connected to a source."""
    for load in unfed_loads(feeder, unfed_nodes(feeder)):
        at = summarise_labels([feeder.node_labels[node] for node in load.nodes if node >= 0])
        raise InputError(
            f"{load.name} is at node {at}, which nothing connects to a source; close a switch or a line, or disable it "
            "(Feeder.from_opendss(path, strict=False) leaves it without voltage, as OpenDSS does)"
        )


def refuse_unfed(feeder: UnbalancedFeeder) -> None:
    """Raise `InputError` where something is fed by nothing: limits of voltages would be broken there at any time."""
    if unfed := unfed_text(feeder):
        raise InputError(
            f"feeder {feeder.name!r}: {unfed}; these are below any limit, so close a switch or a line, or disable all "
            "elements there"
        )


def unfed_text(feeder: UnbalancedFeeder) -> str:
    """Say what nothing feeds: buses, nodes of buses of which others are fed, loads with their powers; "" of nothing."""
    nodes = unfed_nodes(feeder)
    if not nodes.size:
        return ""
    unfed = set(nodes.tolist())
    fed = {bus for place, bus in enumerate(feeder.nodes.bus) if place not in unfed}
    places = list(dict.fromkeys(_place(feeder, node, fed) for node in nodes.tolist()))
    text = f"nothing connects {summarise_labels(places)} to a source, where voltages are 0"
    loads = unfed_loads(feeder, nodes)
    if not loads:
        return text
    named = ", ".join(f"{load.name} {load.p_mw:+g} MW" for load in loads[:MOST_NAMED])
    more = f", ... ({len(loads)} in all)" if len(loads) > MOST_NAMED else ""
    consumed, produced = (sum(max(sign * load.p_mw, 0.0) for load in loads) for sign in (1, -1))
    return (
        f"{text}, which leaves out {consumed:.4g} MW of consumption and {produced:.4g} MW of production: {named}{more}"
    )


def _place(feeder: UnbalancedFeeder, node: int, fed: set[int | str]) -> str:
    bus = feeder.nodes.bus[node]
    return f"node {feeder.node_labels[node]}" if bus in fed else f"bus {bus}"
