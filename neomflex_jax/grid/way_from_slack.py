"""Branches on the way from the slack to a bus."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.topology import path_matrix


def way_from_slack(feeder: Feeder, bus: int) -> Int[np.ndarray, " n_branch"] | None:
    """Return 1 for branches on the way that are listed away from the slack, -1 for those towards it, 0 for others.

    None for the bus of a slack. `bus` is a label; `InputError` if the feeder has none of that name.
    """
    topology, position = feeder.topology, feeder.bus_position(bus)
    if position in (topology.slack, *topology.further_slacks):
        return None
    row = [int(other) for other in topology.non_slack].index(position)
    return path_matrix(topology)[row].astype(int)
