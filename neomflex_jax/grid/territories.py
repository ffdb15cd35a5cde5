"""Who observes and controls what, as index arrays with padding.

Agents differ in size; arrays over agents are padded to the largest. A padded slot points one past the end of what it
indexes, where the caller puts a zero. Devices go by the names of their tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import AnyFeeder
from neomflex_jax.grid.nodes import Nodes
from neomflex_jax.grid.parts import summarise_labels
from neomflex_jax.grid.topology import Topology
from neomflex_jax.loose_types import BusLabel
from neomflex_jax.one_line import one_line


@dataclass(frozen=True, eq=False)
class TerritoryLayout:
    """Index arrays for `n_agents` agents; positions, not labels."""

    buses: tuple[np.ndarray, ...]  # each agent's bus positions
    devices: dict[str, tuple[np.ndarray, ...]]  # of each table each agent's devices, by their order in the scenario
    device_bus: dict[str, np.ndarray]  # of each table (n_device,)
    nodes: tuple[np.ndarray, ...]  # each agent's node positions, in the order of its buses
    device_nodes: dict[str, np.ndarray]  # of each table (n_device, most nodes of any device), padded
    device_loads: dict[str, np.ndarray]  # of each table (n_device, most loads of a bus) loads at its bus, padded
    n_load: int  # loads are counted node by node on balanced feeders, one by one on those with phases
    membership: np.ndarray  # (n_agents, n_node) 1 where the node is the agent's and not the slack's
    bus_share: np.ndarray  # (n_agents,) share of all buses, slack included
    adjacent: np.ndarray  # (n_agents, n_agents) bool, True for oneself and where a branch in service joins two

    __repr__ = one_line

    @property
    def n_agents(self) -> int:
        """Number of agents."""
        return len(self.buses)

    @property
    def n_node(self) -> int:
        """Number of nodes."""
        return self.membership.shape[1]

    def owns(self, table: str) -> np.ndarray:
        """Ownership of a table's devices, (n_agents, n_device): 1 where the agent has the device."""
        number = np.arange(len(self.device_bus[table]))
        return np.stack([np.isin(number, own) for own in self.devices[table]]).astype(float)


def check_buses(feeder: AnyFeeder, what: str, buses: Sequence[tuple[str, Sequence[BusLabel]]]) -> None:
    """Raise `InputError` if `what` an agent has names a bus that the feeder does not have."""
    known = set(feeder.bus_labels)
    for agent, labels in buses:
        for label in labels:
            if label not in known:
                named = f" (write it as a text, {str(label)!r})" if str(label) in known else ""
                raise InputError(
                    f"{what} {agent} names bus {label}, which feeder {feeder.name!r} does not have{named}; "
                    f"its buses: {summarise_labels(feeder.bus_labels)}"
                )


def layout_territories(
    feeder: AnyFeeder,
    territories: Sequence[tuple[str, Sequence[BusLabel]]],
    devices: Mapping[str, Sequence[BusLabel]],
    device_nodes: Mapping[str, Sequence[np.ndarray]] | None = None,
) -> TerritoryLayout:
    """Turn bus labels into positions.

    Parameters
    ----------
    territories
        Agents and the labels of their buses.
    devices
        Labels of the buses of each table's devices.
    device_nodes
        Positions of the nodes that they stand at; None: all of their buses'.

    Raises
    ------
    InputError
        If a territory or device names a bus that the feeder does not have, or a bus is in nobody's territory.
    """
    check_buses(feeder, "the territory of", territories)
    owned = {label for _, labels in territories for label in labels}
    orphans = [label for label in feeder.bus_labels if label not in owned]
    if orphans:
        raise InputError(
            f"bus {summarise_labels(orphans)} of feeder {feeder.name!r} is in nobody's territory; add it to one"
        )
    if device_nodes is None:
        device_nodes = {table: [feeder.nodes.at[bus] for bus in labels] for table, labels in devices.items()}
    return _layout(
        tuple(tuple(feeder.bus_position(label) for label in labels) for _, labels in territories),
        tuple((table, tuple(map(feeder.bus_position, labels))) for table, labels in devices.items()),
        tuple(tuple(tuple(own.tolist()) for own in device_nodes[table]) for table in devices),
        feeder.topology,
        feeder.nodes,
        tuple(map(feeder.bus_position, feeder.load_buses)),
    )


@lru_cache(maxsize=64)  # the layout is static under jit: the same one must come back, or every new environment retraces
def _layout(
    territories: tuple[tuple[int, ...], ...],
    devices: tuple[tuple[str, tuple[int, ...]], ...],
    device_nodes: tuple[tuple[tuple[int, ...], ...], ...],
    topology: Topology,
    nodes: Nodes,
    load_bus: tuple[int, ...],
) -> TerritoryLayout:
    owns_bus = np.zeros((len(territories), topology.n_bus))
    for index, own in enumerate(territories):
        owns_bus[index, list(own)] = 1.0
    bus_share = owns_bus.sum(1) / topology.n_bus
    closed = np.array(topology.in_service)
    start, end = (owns_bus[:, np.array(bus)[closed]] for bus in (topology.from_bus, topology.to_bus))
    joined = start @ end.T
    owns_bus[:, topology.slack] = 0.0
    at_bus = list(nodes.at.values())
    most = max((len(own) for at in device_nodes for own in at), default=1)  # one width for all tables
    loads_at_bus: dict[int, list[int]] = {}
    for load, bus in enumerate(load_bus):
        loads_at_bus.setdefault(bus, []).append(load)

    def owned(device_bus: tuple[int, ...]) -> tuple[np.ndarray, ...]:
        return tuple(np.flatnonzero(np.isin(np.array(device_bus, int), own)) for own in territories)

    return TerritoryLayout(
        buses=tuple(np.array(own) for own in territories),
        devices={table: owned(bus) for table, bus in devices},
        device_bus={table: np.array(bus, int) for table, bus in devices},
        nodes=tuple(np.concatenate([at_bus[bus] for bus in own]) for own in territories),
        device_nodes={
            table: _padded(at, most, len(nodes)) for (table, _), at in zip(devices, device_nodes, strict=True)
        },
        device_loads={
            table: pad([np.array(loads_at_bus.get(one, []), int) for one in bus], fill=len(load_bus))[0]
            for table, bus in devices
        },
        n_load=len(load_bus),
        membership=owns_bus[:, nodes.bus_position],
        bus_share=bus_share,
        adjacent=(joined + joined.T > 0) | np.eye(len(territories), dtype=bool),
    )


def _padded(rows: Sequence[Sequence[int]], width: int, fill: int) -> np.ndarray:
    padded = np.full((len(rows), width), fill)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded


def pad(rows: Sequence[np.ndarray], fill: int) -> tuple[np.ndarray, np.ndarray]:
    """Stack rows of unequal length; returns the indices (n_rows, longest) and the mask of what is real."""
    longest = max((len(row) for row in rows), default=0)
    padded = np.full((len(rows), longest), fill)
    mask = np.zeros((len(rows), longest), bool)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
        mask[index, : len(row)] = True
    return padded, mask
