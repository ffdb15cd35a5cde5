"""Energies that devices store: each step's balance, and whether a step begins with what the one before left."""

from __future__ import annotations

import numpy as np

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import AnyFeeder
from validation.recompute.twins import parts_of, stores_of


def energy_gaps_mwh(trajectory: Trajectory, feeder: AnyFeeder) -> np.ndarray:
    """Return what is missing in the energy balance of every device with a store, (n, n_store).

    Of a store above 1 MWh the gap is a share of its size: a state of charge is kept in float32.
    """
    gaps = [
        store.gap_mwh(part) / max(store.size_mwh(part.device), 1.0)
        for twin, part in parts_of(trajectory, feeder)
        if (store := twin.store) is not None
    ]
    return np.stack(gaps, axis=1) if gaps else np.zeros((trajectory.n_steps, 0))


def energy_jumps_mwh(trajectory: Trajectory) -> np.ndarray:
    """Return how far each step's first energies are from those that the step before ended with, (n - 1, n_store).

    0 between rows that do not follow each other, and at midnights where energies are drawn anew. Of a store above 1 MWh
    the jump is a share of its size.
    """
    follows = np.diff(trajectory.dataset_index) == 1
    if trajectory.scenario.rules.energies != "carried":
        follows &= trajectory.step[1:] > 0
    jumps = []
    for _, store, own in stores_of(trajectory.scenario):
        for number, device in enumerate(own):
            before, after = (
                store.energy_mwh(device, np.asarray(getattr(trajectory, name)[:, number], float))
                for name in (store.before, store.after)
            )
            jump = np.where(follows, before[1:] - after[:-1], 0.0)
            jumps.append(jump / max(store.size_mwh(device), 1.0))
    return np.stack(jumps, axis=1) if jumps else np.zeros((len(follows), 0))
