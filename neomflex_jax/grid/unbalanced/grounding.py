"""The parts of a feeder that nothing grounds: their voltages could be anything, and Y is singular.

Nodes that conductors join are one part; windings of a transformer join their own nodes, and no two of them are one
part. Raised by as much as you like, an ungrounded part draws no current: the sum of Y over the part's nodes is 0 in
each of its rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from neomflex_jax.errors import InputError, shown_list
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder

ROUNDING = 1e-13  # of the largest admittance at a node
MOST_NAMED = 6


def floating_nodes(feeder: UnbalancedFeeder, branches: Collection[int] = ()) -> np.ndarray:
    """Positions of the nodes in parts that nothing grounds; of the loads' branches the listed ones count."""
    y, part = feeder.admittance(branches), _parts(feeder, branches)
    own = part[y.row] == part[y.col]
    raised, largest = np.zeros(feeder.n_node, complex), np.zeros(feeder.n_node)
    np.add.at(raised, y.row[own], y.data[own])
    np.maximum.at(largest, y.row, np.abs(y.data))
    grounded = np.zeros(feeder.n_node, bool)
    grounded[part[np.abs(raised) > ROUNDING * largest]] = True
    return np.flatnonzero(~grounded[part])


def _parts(feeder: UnbalancedFeeder, branches: Collection[int]) -> np.ndarray:
    """Number of each node's part, (n_node,)."""
    ends = np.array([pair for group in _joined(feeder, branches) for pair in pairwise(group)], int)
    first, second = ends.reshape(-1, 2).T
    size = (feeder.n_node, feeder.n_node)
    return connected_components(coo_matrix((np.ones(len(first)), (first, second)), shape=size), directed=False)[1]


def _joined(feeder: UnbalancedFeeder, branches: Collection[int]) -> Iterator[list[int]]:
    """Nodes that are of one part, group by group."""
    for element in (*feeder.elements, *(source.element for source in feeder.sources)):
        size = element.n_conductors if element.windings else len(element.nodes)
        for start in range(0, len(element.nodes), size):
            yield [node for node in element.nodes[start : start + size] if node >= 0]
    listed = set(branches)
    for place, pair in enumerate(pair for load in feeder.loads for pair in load.branches):
        if place in listed:
            yield [node for node in pair if node >= 0]


def check_grounded(feeder: UnbalancedFeeder) -> None:
    """Raise `InputError` for a part of the feeder that neither an element nor a load grounds, naming its nodes."""
    every = range(sum(len(load.branches) for load in feeder.loads))
    floating = floating_nodes(feeder, every)
    if floating.size:
        refuse_floating(feeder, floating.tolist())


def refuse_floating(feeder: UnbalancedFeeder, nodes: Sequence[int]) -> None:
    """Raise `InputError` for nodes that nothing grounds, naming them and what stands at them."""
    names = [str(feeder.node_labels[node]) for node in nodes[:5]]
    more = f" and {len(nodes) - 5} more" if len(nodes) > 5 else ""
    floating = set(nodes)
    there = [each.name for each in feeder.elements if not floating.isdisjoint(each.nodes)]
    there += [load.name for load in feeder.loads if not floating.isdisjoint(load.nodes)]
    listed = shown_list(there[:MOST_NAMED]) + (", ..." if len(there) > MOST_NAMED else "")
    raise InputError(
        f"feeder {feeder.name!r}: nothing grounds node {', '.join(names)}{more}, so that its voltage could be anything "
        f"(there: {listed}); join it to the source, "
        "or ground it by an element: a winding in grounded wye, a reactor of high impedance, OpenDSS's ppm_antifloat"
    )


def open_voltage(feeder: UnbalancedFeeder, node: int) -> InputError:
    """Error for a node whose voltage rounding leaves open, naming what joins it most closely to another."""
    label, siemens = feeder.node_labels[node], {"": 0.0}
    for element in feeder.elements:
        at = [row for row, own in enumerate(element.nodes) if own == node]
        siemens[element.name] = float(np.abs(element.y_siemens[at]).max(initial=0.0))
    name = max(siemens, key=lambda each: siemens[each])
    joined = (
        f" ({name} joins it by {1 / siemens[name]:.2g} ohm; 1e-6 ohm is little enough for a switch)" if name else ""
    )
    return InputError(
        f"feeder {feeder.name!r}: its admittances leave the voltage of node {label} open; is anything between it and "
        f"ground, or an element of next to no impedance beside it?{joined}"
    )
