"""Which territories lie nearest to each: electrical distance between their nearest buses (`partition.py`)."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from neomflex_jax.grid.feeder import AnyFeeder
from neomflex_jax.grid.partition import electrical_neighbours


def nearest_territories(
    feeder: AnyFeeder, buses: Sequence[Int[np.ndarray, " _n_own"]], n_nearest: int
) -> tuple[tuple[int, ...], ...]:
    """Return the nearest territories of each.

    Parameters
    ----------
    feeder
        Of these territories.
    buses
        Each one's bus positions.
    n_nearest
        How many others.

    Returns
    -------
    tuple
        Of each territory itself and then so many others, the nearest first. Where fewer can be reached, as on an
        island, further ones follow in their order, so that all have as many.
    """
    n_nearest, neighbours = min(n_nearest, len(buses) - 1), electrical_neighbours(feeder)
    owner = np.empty(feeder.n_bus, int)
    for number, own in enumerate(buses):
        owner[own] = number
    found = []
    for number, own in enumerate(buses):
        nearest, reached = [number], np.zeros(feeder.n_bus, bool)
        pending = [(0.0, int(bus)) for bus in own]
        while pending and len(nearest) <= n_nearest:
            distance, bus = heapq.heappop(pending)
            if reached[bus]:
                continue
            reached[bus] = True
            if owner[bus] not in nearest:
                nearest.append(int(owner[bus]))
            for other, z in neighbours[bus]:
                if not reached[other]:
                    heapq.heappush(pending, (distance + z, other))
        rest = (other for other in range(len(buses)) if other not in nearest)
        nearest += [other for other, _ in zip(rest, range(n_nearest + 1 - len(nearest)), strict=False)]
        found.append(tuple(nearest))
    return tuple(found)
