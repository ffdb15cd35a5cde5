"""Who observes and controls what, as index arrays with padding.

Agents differ in size; arrays over agents are padded to the largest. A padded slot points one past the end of what it
indexes, where the caller puts a zero. An agent's actions are its batteries first, then its PV inverters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.parts import summarise_labels
from neomflex_jax.grid.topology import Topology
from neomflex_jax.one_line import one_line


@dataclass(frozen=True, eq=False)
class TerritoryLayout:
    """Index arrays for `n_agents` agents; positions, not labels."""

    buses: tuple[np.ndarray, ...]  # each agent's bus positions
    batteries: tuple[np.ndarray, ...]  # each agent's batteries, by their order in the scenario
    pv_inverters: tuple[np.ndarray, ...]
    flexible_loads: tuple[np.ndarray, ...]
    membership: np.ndarray  # (n_agents, n_bus) 1 where the bus is the agent's and not the slack
    bus_share: np.ndarray  # (n_agents,) share of all buses, slack included
    battery_bus: np.ndarray  # (n_battery,)
    pv_bus: np.ndarray  # (n_pv,)
    flexible_bus: np.ndarray  # (n_flexible,)
    adjacent: np.ndarray  # (n_agents, n_agents) bool, True for oneself and where a branch in service joins two

    __repr__ = one_line

    @property
    def n_agents(self) -> int:
        """Number of agents."""
        return len(self.buses)

    def owns(self, per_agent: Sequence[np.ndarray]) -> np.ndarray:
        """Give 1 where the agent has the device, (n_agents, n_device), of `batteries`, say."""
        n_device = sum(len(own) for own in per_agent)
        return np.stack([np.isin(np.arange(n_device), own) for own in per_agent]).astype(float)


def layout_territories(
    feeder: Feeder,
    territories: Sequence[tuple[str, Sequence[int]]],
    battery_buses: Sequence[int],
    pv_buses: Sequence[int],
    flexible_buses: Sequence[int] = (),
) -> TerritoryLayout:
    """Turn bus labels into positions.

    Raises
    ------
    InputError
        If a territory or device names a bus that the feeder does not have, or a bus is in nobody's territory.
    """
    known = set(feeder.bus_labels)
    for agent, labels in territories:
        for label in labels:
            if label not in known:
                raise InputError(
                    f"the territory of {agent} names bus {label}, which feeder {feeder.name!r} does not have; "
                    f"its buses: {summarise_labels(feeder.bus_labels)}"
                )
    owned = {label for _, labels in territories for label in labels}
    orphans = [label for label in feeder.bus_labels if label not in owned]
    if orphans:
        raise InputError(
            f"bus {summarise_labels(orphans)} of feeder {feeder.name!r} is in nobody's territory; add it to one"
        )
    return _layout(
        tuple(tuple(feeder.bus_position(label) for label in labels) for _, labels in territories),
        tuple(feeder.bus_position(label) for label in battery_buses),
        tuple(feeder.bus_position(label) for label in pv_buses),
        tuple(feeder.bus_position(label) for label in flexible_buses),
        feeder.topology,
    )


@lru_cache(maxsize=64)  # the layout is static under jit: the same one must come back, or every new environment retraces
def _layout(
    territories: tuple[tuple[int, ...], ...],
    battery_bus: tuple[int, ...],
    pv_bus: tuple[int, ...],
    flexible_bus: tuple[int, ...],
    topology: Topology,
) -> TerritoryLayout:
    membership = np.zeros((len(territories), topology.n_bus))
    for index, own in enumerate(territories):
        membership[index, list(own)] = 1.0
    bus_share = membership.sum(1) / topology.n_bus
    closed = np.array(topology.in_service)
    start, end = (membership[:, np.array(bus)[closed]] for bus in (topology.from_bus, topology.to_bus))
    joined = start @ end.T
    membership[:, topology.slack] = 0.0

    def owned(device_bus: tuple[int, ...]) -> tuple[np.ndarray, ...]:
        return tuple(np.flatnonzero(np.isin(np.array(device_bus, int), own)) for own in territories)

    return TerritoryLayout(
        buses=tuple(np.array(own) for own in territories),
        batteries=owned(battery_bus),
        pv_inverters=owned(pv_bus),
        flexible_loads=owned(flexible_bus),
        membership=membership,
        bus_share=bus_share,
        battery_bus=np.array(battery_bus, int),
        pv_bus=np.array(pv_bus, int),
        flexible_bus=np.array(flexible_bus, int),
        adjacent=(joined + joined.T > 0) | np.eye(len(territories), dtype=bool),
    )


def pad(rows: Sequence[np.ndarray], fill: int) -> tuple[np.ndarray, np.ndarray]:
    """Stack rows of unequal length; gives the indices (n_rows, longest) and the mask of what is real."""
    longest = max(len(row) for row in rows)
    padded = np.full((len(rows), longest), fill)
    mask = np.zeros((len(rows), longest), bool)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
        mask[index, : len(row)] = True
    return padded, mask
