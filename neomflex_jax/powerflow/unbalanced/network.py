"""The network as the loads' branches see it, from one sparse factorisation of Y on the host.

With A the incidence of branches and nodes (+1 where one begins, -1 where it ends), Z the inverse of the admittances Y
of all elements and sources, and w the voltages without load, currents c of the branches leave ::

    v = w - Z A' c,   u = A v = A w - (A Z A') c

so a power flow iterates on the branches alone and works out the nodes' voltages once, at the end. Voltages of a branch
are in per unit of a reference r, its own voltage without load (its nominal one where there is next to none), so all
are close to 1; powers in MVA. Complex matrices are kept as real ones of twice the size, ``[[re, -im], [im, re]]``, for
one product of real numbers is faster than four of parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.sparse import csc_matrix, csr_matrix, diags_array
from scipy.sparse.linalg import splu

from neomflex_jax.errors import InputError
from neomflex_jax.free_memory import free_bytes_here
from neomflex_jax.grid.parts import STATIC
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.grid.unbalanced.grounding import floating_nodes, open_voltage, refuse_floating
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow.unbalanced.branches import ends_of, nominal_of
from neomflex_jax.powerflow.unbalanced.port_rows import Chosen, port_rows
from neomflex_jax.powerflow.unbalanced.ports import Ports
from neomflex_jax.powerflow.unbalanced.sums import NetworkSums, network_sums

LEAST_VOLTAGE = 0.05  # pu of the nominal one: with less a branch is measured by its nominal voltage
# pu of its voltage that a branch's nominal admittance takes by itself; beyond, the fixed point might not settle
STRONGEST = 0.5
REFINEMENTS = 2  # of a solution, each good for some eight digits
COLUMNS = 256  # that are solved together: extended precision takes twice the memory
NOTHING = Chosen()
LARGEST_RESIDUAL = 1e-7  # of a solved unit current; more means that Y is singular to working precision


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Meters:
    """Currents into conductors in kA, of any terminal, in real form."""

    start: Array  # (2 n_meter,) without load
    transfer: Array  # (2 n_meter, 2 n_branch)

    __repr__ = one_line


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class PortNetwork:
    """What currents of the branches do, in real form: parts of complex vectors one after the other."""

    start: Array  # (2 n_branch,) voltages of the branches without load, of their references: 1 or so
    r_squared: Array  # (n_branch,) squared reference over nominal voltage
    impedance: Array  # (2 n_branch, 2 n_branch) what their currents take from their voltages
    node_start: Array  # (2 n_node,) voltages of nodes without load, pu
    node_impedance: Array  # (2 n_node, 2 n_branch)
    source_start: Array  # (2 n_terminal,) currents out of the sources without load, MVA at the node's base
    source_transfer: Array  # (2 n_terminal, 2 n_branch)
    conductor_start: Array  # (2 n_conductor,) currents into the elements' first terminals without load, kA
    conductor_transfer: Array  # (2, n_conductor, n_branch) real and imaginary part of what the branches add to them
    conductor_max_i_ka: Array  # (n_conductor,) NaN without a rating
    own_slope: Array  # (n_branch,) h of `iteration.py`, which knows the loads' models; 0 until it is worked out
    within: Array | None  # (2, n_branch) nominal p and q of branches whose admittance the network has in it, else 0
    meters: Meters | None  # of conductors that controls watch
    ports: Ports | None  # where each case may have taps and capacitors of its own
    sums: NetworkSums  # which do the same as the impedances, on CPUs
    source_node: tuple[int, ...] = field(metadata=STATIC)  # (n_terminal,) of each source's conductors
    by_sums: bool = field(default=False, metadata=STATIC)  # True in a program that is for CPUs

    __repr__ = one_line


def port_network(feeder: UnbalancedFeeder, chosen: Chosen = NOTHING) -> PortNetwork:
    """Factorise a feeder's network; raises `InputError` if it has no unique voltages. Units: kV, kA, siemens, MVA."""
    _check_size(feeder)
    ends, _ = ends_of(feeder)
    within = np.asarray(np.isin(ends, floating_nodes(feeder)).any(axis=1))
    solved = _solved(feeder, within)
    if solved.weak.any():  # what these branches hang on may be too weak to be solved without them
        within = within | solved.weak
        solved = _solved(feeder, within)
    if solved.unsolved is not None:
        raise solved.unsolved
    return _network(feeder, solved, within, chosen)


def _check_size(feeder: UnbalancedFeeder) -> None:
    """Refuse a feeder whose matrices, all nodes by all branches of loads, would not fit into memory."""
    n_branch = sum(len(load.branches) for load in feeder.loads)
    n_conductor = sum(element.n_conductors for element in feeder.elements)
    one = 8 * n_branch  # bytes of a row in float64; complex, real and as it is made
    needed = one * (3 * 2 * feeder.n_node + 2 * 4 * feeder.n_node + 4 * 2 * n_branch + 3 * 2 * n_conductor)
    here = free_bytes_here()
    if here is not None and needed > here:
        raise InputError(
            f"feeder {feeder.name!r}: {feeder.n_node:,} nodes and {n_branch:,} branches of loads take "
            f"{needed / 2**30:.1f} GiB to be bound, and {here / 2**30:.1f} GiB are free; join loads at a bus into one, "
            "or take a part of the feeder"
        )


def _metered(feeder: UnbalancedFeeder, chosen: Chosen) -> np.ndarray:
    """Positions of the metered conductors among those of all elements."""
    first = np.cumsum([0, *(len(element.nodes) for element in feeder.elements)])
    place = {element.name: start for element, start in zip(feeder.elements, first, strict=False)}
    return np.array([place[name] + conductor for name, conductor in chosen.meters], int)


class _Effects(NamedTuple):
    """What the nodes' voltages in kV, columns of them, are for all that is asked."""

    branch: np.ndarray
    node: np.ndarray
    source: np.ndarray
    conductor: np.ndarray


class _Solved(NamedTuple):
    """Voltages in kV without load, and those that each branch's unit of power makes."""

    y: csc_matrix
    solve: Callable[[np.ndarray], np.ndarray]
    no_load: np.ndarray  # (n_node,)
    incidence: csc_matrix
    reference: np.ndarray  # (n_branch,)
    response: np.ndarray  # (n_node, n_branch)
    weak: np.ndarray  # (n_branch,) whether the network is too weak for the branch
    unsolved: InputError | None


def _solved(feeder: UnbalancedFeeder, within: np.ndarray) -> _Solved:
    """Solve the network with the nominal admittances of some branches in it."""
    folded = np.flatnonzero(within).tolist()
    floating = floating_nodes(feeder, folded)
    if floating.size:
        refuse_floating(feeder, floating.tolist())
    y = csc_matrix(feeder.admittance(folded))
    solve = _solver(feeder, y)
    no_load = solve(_source_currents(feeder))
    incidence, reference = _incidence(feeder, no_load)
    currents = -incidence.T.toarray() * reference  # of a branch that takes 1 MVA at its nominal voltage
    response = solve(currents)
    own = np.asarray(incidence.multiply(response.T).sum(axis=1)).ravel() / reference
    weak = ~within & (np.abs(own * nominal_of(feeder)) > STRONGEST)
    unsolved = _unsolved(feeder, y, response, currents)
    return _Solved(y, solve, no_load, incidence, reference, response, weak, unsolved)


def _network(feeder: UnbalancedFeeder, solved: _Solved, within: np.ndarray, chosen: Chosen) -> PortNetwork:
    """Network with the nominal admittances of some branches in it."""
    no_load, incidence, reference, response = solved.no_load, solved.incidence, solved.reference, solved.response
    terminals, transfer = _source_rows(feeder)
    feed = np.concatenate([source.i_ampere[_real(source)] / 1000 for source in feeder.sources])
    base, conductors, at_first = feeder.v_base_kv, _conductor_rows(feeder), _first_terminals(feeder)
    first = conductors[at_first]

    def effects(voltages: np.ndarray) -> _Effects:
        by_row = (slice(None), *(None,) * (voltages.ndim - 1))
        return _Effects(
            (incidence @ voltages) / reference[by_row],
            voltages / base[by_row],
            -(transfer @ voltages) * base[terminals][by_row],
            first @ voltages,
        )

    start, taken = effects(no_load), effects(response)
    nominal = nominal_of(feeder)
    network = PortNetwork(
        start=_real_vector(start.branch),
        r_squared=jnp.asarray(np.abs(reference) ** 2),
        impedance=_real_matrix(taken.branch),
        node_start=_real_vector(start.node),
        node_impedance=_real_matrix(taken.node),
        source_start=_real_vector(feed * base[terminals] + start.source),
        source_transfer=_real_matrix(taken.source),
        conductor_start=_real_vector(start.conductor),
        conductor_transfer=jnp.asarray(np.stack([taken.conductor.real, taken.conductor.imag])),
        conductor_max_i_ka=jnp.asarray(feeder.branch_max_i_ka),
        own_slope=jnp.zeros(len(reference)),
        within=jnp.asarray(np.where(within, [nominal.real, nominal.imag], 0.0)) if within.any() else None,
        meters=None,
        ports=None,
        sums=network_sums(solved.y, base, feeder.nodes.bus, incidence, reference, nominal, (taken.branch, taken.node)),
        source_node=tuple(terminals.tolist()),
    )
    metered = _metered(feeder, chosen)
    if chosen.meters:
        watched = (_real_vector(conductors[metered] @ no_load), _real_matrix(conductors[metered] @ response))
        network = replace(network, meters=Meters(*watched))
    if not (chosen.taps or chosen.capacitors):
        return network
    rows = port_rows(feeder, chosen)
    driven = solved.solve(rows.driven)
    if (unsolved := _unsolved(feeder, solved.y, driven, rows.driven)) is not None:
        raise unsolved
    added, own = effects(driven), rows.seen @ driven + rows.own
    beside = added.conductor + rows.beside[at_first]
    ports = Ports(
        seen=_real_vector(rows.seen @ no_load),
        seen_by_branch=_real_matrix(rows.seen @ response),
        own=(jnp.asarray(own.real), jnp.asarray(own.imag)),
        branch=_real_matrix(added.branch),
        node=_real_matrix(added.node),
        source=_real_matrix(added.source),
        conductor=(jnp.asarray(beside.real), jnp.asarray(beside.imag)),
        meter=_real_matrix(conductors[metered] @ driven + rows.beside[metered]),
        present=jnp.asarray(rows.present),
        setting=rows.setting,
        n_tap=len(chosen.taps),
    )
    return replace(network, ports=ports)


def _incidence(feeder: UnbalancedFeeder, no_load: np.ndarray) -> tuple[csc_matrix, np.ndarray]:
    """Branches' voltages of their nominal ones from those of nodes in kV, and the branches' references of the former.

    Transposed, it makes the nodes' currents in kA of what branches take, in MVA at nominal voltage.
    """
    ends, kv = ends_of(feeder)
    branch, side = np.nonzero(ends >= 0)
    value = np.where(side == 0, 1.0, -1.0) / kv[branch]
    incidence = csc_matrix((value, (branch, ends[branch, side])), shape=(len(kv), feeder.n_node))
    unloaded = incidence @ no_load
    return incidence, np.where(np.abs(unloaded) > LEAST_VOLTAGE, unloaded, 1.0)


def _solver(feeder: UnbalancedFeeder, y: csc_matrix) -> Callable[[np.ndarray], np.ndarray]:
    """Function that solves Y v = i to the last digits, refined by what is left in extended precision.

    Voltage levels are scaled to each other by powers of two, which round nothing: the voltages to ground of a delta
    winding hang on the last digits of its admittances, and those behind a closed switch of 1e7 siemens on those of Y.
    """
    scale = 2.0 ** np.round(np.log2(feeder.v_base_kv))
    scaled = csc_matrix(diags_array(scale) @ y @ diags_array(scale)).astype(complex)
    try:
        factors = splu(scaled, "MMD_AT_PLUS_A", diag_pivot_thresh=0.001, options={"SymmetricMode": True})
    except RuntimeError:
        raise open_voltage(feeder, int(np.argmin(np.abs(y.diagonal())))) from None

    def once(currents: np.ndarray) -> np.ndarray:
        by_row = scale.reshape(-1, *(1,) * (currents.ndim - 1))
        # one by one: of many at once, SuperLU takes several times as long on large feeders
        columns = np.ascontiguousarray((by_row * currents).astype(complex).reshape(len(scale), -1).T)
        return by_row * np.array([factors.solve(one) for one in columns], complex).T.reshape(currents.shape)

    extended = y.astype(np.clongdouble)

    def refined(currents: np.ndarray) -> np.ndarray:
        v = once(currents).astype(np.clongdouble)
        for _ in range(REFINEMENTS):
            v = v + once(np.asarray(currents - extended @ v, complex))
        return v.astype(complex)

    def solve(currents: np.ndarray) -> np.ndarray:
        if currents.ndim == 1:
            return refined(currents)
        pieces = [currents[:, start : start + COLUMNS] for start in range(0, currents.shape[1], COLUMNS)]
        return np.concatenate([refined(piece) for piece in pieces], axis=1) if pieces else once(currents)

    return solve


def _unsolved(feeder: UnbalancedFeeder, y: csc_matrix, solved: np.ndarray, wanted: np.ndarray) -> InputError | None:
    """What is to be said of a network whose voltages are not to be had in working precision; None of all others."""
    left = np.abs(y @ solved - wanted).max(axis=1, initial=0.0)
    size = np.abs(wanted).max(initial=1.0)
    if not np.isfinite(solved).all() or left.max(initial=0.0) > LARGEST_RESIDUAL * size:
        return open_voltage(feeder, int(np.nanargmax(np.where(np.isfinite(left), left, np.inf))))
    return None


def _real(source: Any) -> np.ndarray:
    """Positions of a source's conductors that are not grounded."""
    return np.flatnonzero(np.array(source.element.nodes) >= 0)


def _source_currents(feeder: UnbalancedFeeder) -> np.ndarray:
    """Currents that the sources would feed into a short circuit, in kA."""
    total = np.zeros(feeder.n_node, complex)
    for source in feeder.sources:
        kept = _real(source)
        np.add.at(total, np.array(source.element.nodes)[kept], source.i_ampere[kept] / 1000)
    return total


def _source_rows(feeder: UnbalancedFeeder) -> tuple[np.ndarray, csc_matrix]:
    """Nodes of the sources' conductors, and the currents into these by the voltages of all nodes."""
    terminals: list[int] = []
    rows, columns, values = [], [], []
    for source in feeder.sources:
        kept = _real(source)
        nodes = np.array(source.element.nodes)[kept]
        row, column = np.meshgrid(len(terminals) + np.arange(len(kept)), nodes, indexing="ij")
        rows.append(row.ravel())
        columns.append(column.ravel())
        values.append(source.element.y_siemens[np.ix_(kept, kept)].ravel())
        terminals += nodes.tolist()
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return np.array(terminals, int), csc_matrix(entries, shape=(len(terminals), feeder.n_node))


def _conductor_rows(feeder: UnbalancedFeeder) -> csr_matrix:
    """Currents into the conductors of all elements by the voltages of all nodes."""
    n_conductor, rows, columns, values = 0, [], [], []
    for element in feeder.elements:
        nodes = np.array(element.nodes, int)
        kept = np.flatnonzero(nodes >= 0)
        row, column = np.meshgrid(n_conductor + np.arange(len(nodes)), nodes[kept], indexing="ij")
        rows.append(row.ravel())
        columns.append(column.ravel())
        values.append(element.y_siemens[:, kept].ravel())
        n_conductor += len(nodes)
    none = np.zeros(0, int)
    places = (np.concatenate([none, *rows]), np.concatenate([none, *columns]))
    return csr_matrix((np.concatenate([none, *values]), places), shape=(n_conductor, feeder.n_node))


def _first_terminals(feeder: UnbalancedFeeder) -> np.ndarray:
    """Which of all elements' conductors are at first terminals."""
    first = [np.arange(len(element.nodes)) < element.n_conductors for element in feeder.elements]
    return np.flatnonzero(np.concatenate([np.zeros(0, bool), *first]))


def _real_vector(values: np.ndarray) -> Array:
    return jnp.asarray(np.concatenate([values.real, values.imag]))


def _real_matrix(values: np.ndarray) -> Array:
    return jnp.asarray(np.block([[values.real, -values.imag], [values.imag, values.real]]))
