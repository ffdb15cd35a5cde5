"""A feeder as the page draws it: where buses stand, and which of many are drawn.

Of a large feeder the page draws the slack, the buses with devices, those with the extreme voltages, and of the others
every so many along the tree. A bus hangs on the nearest drawn one on its way to the slack.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from neomflex_jax.grid import AnyFeeder
from neomflex_jax.grid.places import bus_places
from neomflex_jax.grid.topology import spanning_tree
from neomflex_jax.loose_types import JsonObject

MOST_BUSES = 400


@dataclass(frozen=True, eq=False)
class DrawnFeeder:
    """The drawn buses by position in the feeder, and for each the drawn one before it on its way from the slack."""

    feeder: AnyFeeder
    buses: np.ndarray  # (n_drawn,) ascending
    before: np.ndarray  # (n_drawn,) index into `buses`, -1 at a slack
    place: np.ndarray  # (n_drawn, 2) branches from the slack, and height

    def plain(self, agents: Iterable[int]) -> JsonObject:
        """Return it as plain values; `agents` says by position of a bus whose territory it is in."""
        drawn = {int(bus): index for index, bus in enumerate(self.buses)}
        owner = list(agents)
        return {
            "name": self.feeder.name,
            "n_bus": self.feeder.n_bus,
            "labels": [str(self.feeder.bus_labels[bus]) for bus in self.buses],
            "before": self.before.tolist(),
            "x": self.place[:, 0].round(2).tolist(),
            "y": self.place[:, 1].round(2).tolist(),
            "agent": [owner[bus] for bus in self.buses],
            "beside": self._beside_the_tree(drawn),
            "note": self._note(),
        }

    def _beside_the_tree(self, drawn: dict[int, int]) -> list[list[int]]:
        """Return branches between drawn buses that the tree leaves out: both ends, and 1 if closed."""
        topology = self.feeder.topology
        loops = set(spanning_tree(topology).loop_branches.tolist())
        ends = zip(topology.from_bus, topology.to_bus, topology.in_service, strict=True)
        return [
            [drawn[start], drawn[end], int(closed)]
            for branch, (start, end, closed) in enumerate(ends)
            if start in drawn and end in drawn and (not closed or branch in loops)
        ]

    def _note(self) -> str:
        n_bus, n_drawn = self.feeder.n_bus, len(self.buses)
        if n_drawn == n_bus:
            return ""
        return (
            f"{n_drawn:,} of {n_bus:,} buses are drawn: the slack, those with devices, those with the extreme "
            "voltages, and every so many of the others. The lowest and highest voltages are those of all buses."
        )


def drawn_feeder(feeder: AnyFeeder, first: Iterable[int], most: int = MOST_BUSES) -> DrawnFeeder:
    """Choose what is drawn.

    Parameters
    ----------
    feeder
        The whole grid.
    first
        Positions of buses that are drawn before others, the most important first.
    most
        Number of buses that are drawn at most.
    """
    tree = spanning_tree(feeder.topology)
    place = bus_places(feeder.topology)
    chosen = np.zeros(feeder.n_bus, bool)
    if feeder.n_bus <= most:
        chosen[:] = True
    else:
        important = [feeder.topology.slack, *feeder.topology.further_slacks, *first]
        chosen[list(dict.fromkeys(important))[:most]] = True
        along = np.lexsort((place[:, 0], place[:, 1]))  # neighbours of the tree stay neighbours
        others = along[~chosen[along]]
        room = most - int(chosen.sum())
        chosen[others[np.linspace(0, len(others) - 1, max(room, 0)).astype(int)]] = True
    buses = np.flatnonzero(chosen)
    index = {int(bus): number for number, bus in enumerate(buses)}
    nearest = np.full(feeder.n_bus, -1)  # drawn bus at or before each
    before = np.full(len(buses), -1)
    for bus in tree.order:
        above = nearest[tree.parent[bus]] if tree.parent[bus] >= 0 else -1
        if chosen[bus]:
            before[index[int(bus)]] = above
        nearest[bus] = index[int(bus)] if chosen[bus] else above
    return DrawnFeeder(feeder, buses, before, _compact(place[buses]))


def _compact(place: np.ndarray) -> np.ndarray:
    """Return places without the columns and rows that nothing stands in, so that what is drawn fills the page."""
    return np.stack([np.unique(axis, return_inverse=True)[1] for axis in place.T], axis=1).astype(float)
