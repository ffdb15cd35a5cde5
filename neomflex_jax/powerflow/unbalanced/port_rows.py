"""Where taps and capacitors of each case's own act: what is seen at every port, and what its source drives.

With M the part of a transformer's admittance that its taps change, at the present ones, a series voltage at a
conductor drives M's column, and what is seen is that conductor's voltage; its current M v belongs to the current source
beside it.
`ports.py` has the equations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.grid.unbalanced.element import Element
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder


class Chosen(NamedTuple):
    """What each case may set."""

    taps: tuple[tuple[str, int], ...] = ()  # windings, by the transformer's name and their number from 1
    capacitors: tuple[str, ...] = ()  # banks by name
    meters: tuple[tuple[str, int], ...] = ()  # conductors whose currents are measured, by element and number from 0


class PortRows(NamedTuple):
    """Ports on the host; x in pu and MVA at the node's base, voltages in kV, currents in kA."""

    setting: tuple[int, ...]  # (n_port,) which tap or bank acts there
    present: np.ndarray  # (n_tap + n_capacitor,) as the network has them
    seen: np.ndarray  # (n_port, n_node) x by the nodes' voltages
    own: np.ndarray  # (n_port, n_port) x by the sources themselves
    driven: np.ndarray  # (n_node, n_port) currents into the nodes
    beside: np.ndarray  # (n_conductor, n_port) currents into all elements' conductors, beside what voltages drive


class _Port(NamedTuple):
    setting: int
    element: int  # its position
    conductor: int  # of the element
    in_series: bool  # True: a voltage; False: a current beside it
    y: np.ndarray  # (n, n) admittance whose current is seen
    is_bank: bool


def port_rows(feeder: UnbalancedFeeder, chosen: Chosen) -> PortRows:
    """Find where the chosen windings and banks act.

    Raises
    ------
    InputError
        If there is no such winding or bank, or one is named twice.
    """
    ports = list(_ports(feeder, chosen))
    first = np.cumsum([0, *(len(element.nodes) for element in feeder.elements)])
    n_port, base = len(ports), feeder.v_base_kv
    seen, own = np.zeros((n_port, feeder.n_node), complex), np.zeros((n_port, n_port), complex)
    driven, beside = np.zeros((feeder.n_node, n_port), complex), np.zeros((int(first[-1]), n_port), complex)
    for number, port in enumerate(ports):
        nodes = np.array(feeder.elements[port.element].nodes, int)
        there, node = nodes >= 0, nodes[port.conductor]
        if port.in_series:
            np.add.at(driven[:, number], nodes[there], port.y[there, port.conductor] * base[node])
            beside[first[port.element] : first[port.element + 1], number] = -port.y[:, port.conductor] * base[node]
            seen[number, node] = 1 / base[node]
            continue
        driven[node, number] = 1 / base[node]
        beside[first[port.element] : first[port.element + 1], number] = (
            _returned(feeder.elements[port.element], port) / base[node]
        )
        sign = -1.0 if port.is_bank else 1.0
        np.add.at(seen[number], nodes[there], sign * port.y[port.conductor, there] * base[node])
        for other, source in enumerate(ports):
            if source.in_series and source.element == port.element:
                own[number, other] = (
                    -port.y[port.conductor, source.conductor] * base[node] * base[nodes[source.conductor]]
                )
    present = [feeder.taps[key] for key in chosen.taps]
    present += [_named(feeder)[name].share_in for name in chosen.capacitors]
    return PortRows(tuple(port.setting for port in ports), np.array(present), seen, own, driven, beside)


def _returned(element: Element, port: _Port) -> np.ndarray:
    """What a current source of 1 takes from the currents into its element's conductors, (n_conductor,).

    A grounded conductor of its winding has no port; its current follows from the others', that of a neutral as their
    negative sum.
    """
    taken = np.zeros(len(element.nodes), complex)
    taken[port.conductor] = -1.0
    if port.is_bank:
        own = np.arange(len(element.nodes))
    else:
        winding = port.conductor // element.n_conductors
        own = np.arange(winding * element.n_conductors, (winding + 1) * element.n_conductors)
    grounded = np.array(element.nodes)[own] < 0
    others = own[~grounded]
    shares = port.y[own[grounded]] @ np.linalg.pinv(port.y[others], rcond=1e-9)
    taken[own[grounded]] = -shares[:, others == port.conductor][:, 0]
    return taken


def _ports(feeder: UnbalancedFeeder, chosen: Chosen) -> Iterator[_Port]:
    """Ports of all windings, then of all banks."""
    elements, place = _named(feeder), {element.name: number for number, element in enumerate(feeder.elements)}
    listed = [*chosen.taps, *chosen.capacitors]
    for key in listed:
        if listed.count(key) > 1:
            raise InputError(f"{key!r} is named twice; each case has one setting of it")
    for number, (name, winding) in enumerate(chosen.taps):
        if (name, winding) not in feeder.taps:
            raise unknown_name("winding", f"{name} {winding}", [f"{one} {other}" for one, other in feeder.taps])
        element = elements[name]
        moved = element.y_siemens - (0.0 if element.fixed_siemens is None else element.fixed_siemens)
        for conductor in range((winding - 1) * element.n_conductors, winding * element.n_conductors):
            if element.nodes[conductor] >= 0:
                for in_series in (True, False):
                    yield _Port(number, place[name], conductor, in_series, moved, is_bank=False)
    banks = [element.name for element in feeder.elements if element.kind == "capacitor"]
    for number, name in enumerate(chosen.capacitors, len(chosen.taps)):
        if name not in banks:
            raise unknown_name("capacitor", name, banks)
        for conductor, node in enumerate(elements[name].nodes):
            if node >= 0:
                yield _Port(number, place[name], conductor, False, elements[name].whole_siemens, is_bank=True)


def _named(feeder: UnbalancedFeeder) -> dict[str, Element]:
    return {element.name: element for element in feeder.elements}
