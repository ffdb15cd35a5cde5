"""The network's impedances as what elimination along the feeder leaves of them: few numbers a node, and not a matrix.

Elimination of buses, the ends first, from the admittances Y of all elements gives for each bus k, with D_k what is left
of its own block then and j the buses that are still joined to it ::

    i_j <- i_j - T_jk i_k,         T_jk = Y_jk D_k^-1        towards the source
    v_k  = D_k^-1 i_k - U_kj v_j,  U_kj = D_k^-1 Y_kj        and back

On a tree a bus is joined to the one above it alone, D_k^-1 is the impedance of what lies between the two, T and U are
what a current becomes above and a voltage below: the backward/forward sweep over phase blocks (C. S. Cheng, D.
Shirmohammadi, IEEE Trans. Power Systems 10(2), 1995), in which transformers of any connection and loops take part.
Buses without loads and with two neighbours at most go first: no current enters there, so only who wants all voltages
passes them. Worked out on the host in extended precision, for what other elements have in D cancels.

The result is a list of sums, one a quantity, each over quantities before it (`Sums`); `sweeps/sum_kernel.py` runs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy.sparse import csc_matrix

Block: TypeAlias = np.ndarray  # of complex numbers in extended precision
Entries: TypeAlias = list[tuple[int, complex]]
PATHS = 2  # neighbours of a bus without loads that goes first


class Sums(NamedTuple):
    """Quantities 0 to n_in - 1 are given; each row is one more, the sum of coefficients times quantities before it."""

    n_in: int
    first: np.ndarray  # (n_row + 1,) int32, where each row's entries begin
    source: np.ndarray  # (n_entry,) int32, a quantity
    coefficient: np.ndarray  # (n_entry,) complex
    out: np.ndarray  # (n_out,) int32, the quantities that are asked for

    def __call__(self, given: np.ndarray) -> np.ndarray:
        """Work the sums out in NumPy, (n_in, ...) -> (n_out, ...), in the precision of what is given."""
        found = list(given)
        coefficient = self.coefficient.astype(given.dtype)
        for start, stop in zip(self.first[:-1].tolist(), self.first[1:].tolist(), strict=True):
            total = np.zeros_like(given[0])
            for entry in range(start, stop):
                total = total + coefficient[entry] * found[self.source[entry]]
            found.append(total)
        return np.array([found[quantity] for quantity in self.out]).reshape(len(self.out), *given.shape[1:])


@dataclass
class _Bus:
    """A bus that was eliminated."""

    nodes: list[int]
    inverse: Block
    above: list[tuple[list[int], Block, Block]] = field(default_factory=list)  # nodes of j, T_jk and U_kj


class _Written:
    """Rows as they are written."""

    def __init__(self, n_in: int) -> None:
        self.n_in, self.rows = n_in, list[Entries]()

    def add(self, entries: Entries) -> int:
        """Write a row; returns its quantity."""
        self.rows.append([(source, value) for source, value in entries if value != 0])
        return self.n_in + len(self.rows) - 1

    def sums(self, out: Sequence[int]) -> Sums:
        """All rows as arrays."""
        lengths = [len(row) for row in self.rows]
        entries = [entry for row in self.rows for entry in row]
        return Sums(
            self.n_in,
            np.cumsum([0, *lengths]).astype(np.int32),
            np.array([source for source, _ in entries], np.int32),
            np.array([complex(value) for _, value in entries], complex),
            np.array(out, np.int32),
        )


def sums_of(
    y: csc_matrix, base: np.ndarray, bus: Sequence[object], entering: csc_matrix, leaving: csc_matrix
) -> tuple[Sums, Sums] | None:
    """Sums that take the branches' currents to their own voltages, and to those of all nodes.

    Parameters
    ----------
    y
        Admittances of all elements, (n_node, n_node), symmetric in which entries there are.
    base
        Unit of each node's voltage, (n_node,): scaled in extended precision, for where a closed switch has 1e7 siemens
        a rounding is as large as other elements.
    bus
        Of each node.
    entering
        Currents into the nodes by the branches', (n_node, n_branch).
    leaving
        The branches' voltages by the nodes', (n_branch, n_node).

    Returns
    -------
    tuple or None
        None where a block cannot be inverted.
    """
    entering, leaving = entering.tocsr(), leaving.tocsr()
    loaded = np.diff(entering.indptr) + np.diff(leaving.tocsc().indptr) > 0
    try:
        order, n_first = _eliminated(y, base, bus, loaded)
    except np.linalg.LinAlgError:
        return None
    return (
        _written(order[n_first:], entering, leaving).sums_of_branches(),
        _written(order, entering, leaving).sums_of_nodes(y.shape[0]),
    )


@dataclass
class _Solved:
    """Rows with the voltages of nodes."""

    written: _Written
    voltage: dict[int, int]  # quantity of each node
    leaving: csc_matrix

    def sums_of_branches(self) -> Sums:
        out = [self.written.add(_entries(self.leaving, row, self.voltage)) for row in range(self.leaving.shape[0])]
        return self.written.sums(out)

    def sums_of_nodes(self, n_node: int) -> Sums:
        return self.written.sums([self.voltage[node] for node in range(n_node)])


def _written(order: list[_Bus], entering: csc_matrix, leaving: csc_matrix) -> _Solved:
    """Write the sweep towards the source and back."""
    written = _Written(entering.shape[1])
    gathered: dict[int, Entries] = {}  # of nodes that currents enter
    current: dict[int, int] = {}
    itself = {branch: branch for branch in range(entering.shape[1])}
    for bus in order:
        for node in bus.nodes:
            entries = _entries(entering, node, itself) + gathered.pop(node, [])
            if entries:
                current[node] = written.add(entries)
        for nodes, taken, _ in bus.above:
            for row, node in enumerate(nodes):
                handed = [(current[n], -taken[row, k]) for k, n in enumerate(bus.nodes) if n in current]
                gathered.setdefault(node, []).extend(handed)
        if not any(node in current for node in bus.nodes):
            for nodes, _, _ in bus.above:
                for node in nodes:
                    if not gathered[node]:
                        del gathered[node]
    voltage: dict[int, int] = {}
    for bus in reversed(order):
        for row, node in enumerate(bus.nodes):
            own = [(current[n], bus.inverse[row, k]) for k, n in enumerate(bus.nodes) if n in current]
            others = [(voltage[n], -seen[row, k]) for nodes, _, seen in bus.above for k, n in enumerate(nodes)]
            voltage[node] = written.add(own + others)
    return _Solved(written, voltage, leaving)


def _entries(matrix: csc_matrix, row: int, quantity: dict[int, int]) -> Entries:
    """Entries of a matrix's row, by the quantities that its columns are."""
    places = range(matrix.indptr[row], matrix.indptr[row + 1])
    return [(quantity[int(matrix.indices[k])], complex(matrix.data[k])) for k in places]


def _eliminated(y: csc_matrix, base: np.ndarray, bus: Sequence[object], loaded: np.ndarray) -> tuple[list[_Bus], int]:
    """Eliminate all buses; returns them in their order, and how many have no loads and went first."""
    numbers = {label: number for number, label in enumerate(dict.fromkeys(bus))}
    of_node = np.array([numbers[label] for label in bus])
    nodes = [np.flatnonzero(of_node == number).tolist() for number in range(len(numbers))]
    blocks = _blocks(y, base, of_node, nodes)
    joined: list[set[int]] = [set() for _ in nodes]
    for one, other in blocks:
        if one != other:
            joined[one].add(other)
            joined[other].add(one)
    has_load = [bool(loaded[own].any()) for own in nodes]
    order: list[_Bus] = []
    for number in _first_ones(joined, has_load):
        order.append(_eliminate(number, nodes, blocks, joined))
    n_first, left = len(order), set(range(len(nodes))) - {int(of_node[each.nodes[0]]) for each in order}
    source = int(of_node[0])  # the slack's bus comes first in a feeder, and goes last

    def turn(number: int) -> tuple[bool, int, int]:
        return number == source, len(joined[number]), -number

    waiting = [turn(number) for number in left]
    heapify(waiting)
    while waiting:
        place = heappop(waiting)
        number = -place[2]
        if number not in left or place != turn(number):
            continue
        left.remove(number)
        neighbours = list(joined[number])
        order.append(_eliminate(number, nodes, blocks, joined))
        for other in neighbours:
            heappush(waiting, turn(other))
    return order, n_first


def _first_ones(joined: list[set[int]], has_load: list[bool]) -> Iterator[int]:
    """Buses without loads that have few neighbours when their turn comes."""
    waiting, gone = [n for n, own in enumerate(joined) if len(own) <= PATHS], set[int]()
    while waiting:
        number = waiting.pop()
        if number in gone or has_load[number] or len(joined[number]) > PATHS:
            continue
        neighbours = list(joined[number])
        gone.add(number)
        yield number
        waiting += [other for other in neighbours if len(joined[other]) <= PATHS]


def _blocks(
    y: csc_matrix, base: np.ndarray, of_node: np.ndarray, nodes: list[list[int]]
) -> dict[tuple[int, int], Block]:
    """Blocks of Y by their buses."""
    place = np.empty(len(of_node), int)
    for own in nodes:
        place[own] = np.arange(len(own))
    blocks: dict[tuple[int, int], Block] = {}
    entries, unit = y.tocoo(), base.astype(np.longdouble)
    for row, column, value in zip(entries.row.tolist(), entries.col.tolist(), entries.data, strict=True):
        pair = int(of_node[row]), int(of_node[column])
        if pair not in blocks:
            blocks[pair] = np.zeros((len(nodes[pair[0]]), len(nodes[pair[1]])), np.clongdouble)
        blocks[pair][place[row], place[column]] += unit[row] * np.clongdouble(value) * unit[column]
    return blocks


def _eliminate(
    number: int, nodes: list[list[int]], blocks: dict[tuple[int, int], Block], joined: list[set[int]]
) -> _Bus:
    """Eliminate a bus from what is left."""
    own = blocks.pop((number, number))
    found = _Bus(nodes[number], _inverse(own))
    others = sorted(joined[number])
    taken = {other: _solved(own.T, found.inverse.T, blocks.pop((other, number)).T).T for other in others}
    seen = {other: blocks.pop((number, other)) for other in others}
    for other in others:
        for further in others:
            change = taken[other] @ seen[further]
            before = blocks.get((other, further))
            blocks[other, further] = -change if before is None else before - change
        joined[other] |= set(others)
        joined[other] -= {other, number}
        found.above.append((nodes[other], taken[other], _solved(own, found.inverse, seen[other])))
    joined[number] = set()
    return found


def _solved(block: Block, inverse: Block, wanted: Block) -> Block:
    """Solve by the inverse, and once more for what is left: a delta winding's zero sequence hangs on that."""
    found = inverse @ wanted
    return found + inverse @ (wanted - block @ found)


def _inverse(block: Block) -> Block:
    """Inverse in extended precision: LAPACK's, refined."""
    scale = 1 / np.sqrt(np.maximum(np.abs(np.diagonal(block)), np.finfo(float).tiny))
    scaled = scale[:, None] * block * scale
    inverse = np.linalg.inv(scaled.astype(complex)).astype(np.clongdouble)
    for _ in range(3):
        inverse = inverse + inverse @ (np.eye(len(block)) - scaled @ inverse)
    return scale[:, None] * inverse * scale
