"""How far a record leaves what its devices can do, worked out by their twins from ratings and the recorded sun."""

from __future__ import annotations

import numpy as np

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import AnyFeeder
from validation.recompute.twins import parts_of


def device_excess(trajectory: Trajectory, feeder: AnyFeeder) -> np.ndarray:
    """Return by how much each device is outside its limits, (n, n_device), in the scenario's order.

    In MW, MWh or per unit of charge; of ratings above 1 MW as a share of the rating, for records are float32. At most 0
    within the limits, NaN where the record is. Devices without a twin are left out.
    """
    columns = [twin.excess(part) for twin, part in parts_of(trajectory, feeder)]
    return np.stack(columns, axis=1) if columns else np.zeros((trajectory.n_steps, 0))
