"""Recorded Demand, Solar and prices against the file that they are said to be from.

``recorded = row of the file x factor of the scenario's variant``; by `dataset_index`, without a power flow.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neomflex_jax.errors import InputError, reason_of
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.profiles import profiles_hash, read_profiles


def check_profiles_file(trajectory: Trajectory, path: Path) -> None:
    """Make sure that the file is the one that the trajectory names by its hash.

    Raises
    ------
    InputError
        If it cannot be read, or is another.
    """
    try:
        found = profiles_hash(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)}); give the profiles that were played") from error
    if found != trajectory.profiles_sha256:
        raise InputError(
            f"{path}: its SHA-256 is {found[:12]}..., trajectory {trajectory.run!r} was recorded on "
            f"{trajectory.profiles_sha256[:12] or 'unknown profiles'}...; give the file that was played"
        )


def profile_gap(trajectory: Trajectory, path: Path) -> float | None:
    """Return the largest difference from the file's rows, of values above 1 as a share of them; infinite past its end.

    None where the scenario disturbs its days at random, so that the file does not say what is right.
    """
    scenario = trajectory.scenario
    if scenario.uncertainty.varies_growth or scenario.uncertainty.profile_noise > 0:
        return None
    profiles = read_profiles(path, scenario.steps_per_day, scenario.tariff_column)
    rows = np.asarray(trajectory.dataset_index)
    if rows.min() < 0 or rows.max() >= profiles.n_rows:
        return float("inf")
    variant = scenario.chosen_variant
    stated = {
        "demand": np.asarray(profiles.demand, float)[rows] * variant.demand_factor,
        "solar": np.asarray(profiles.solar, float)[rows] * variant.solar_factor,
        "price": np.zeros(len(rows)) if profiles.price is None else np.asarray(profiles.price, float)[rows],
    }
    gaps = [
        np.abs(np.asarray(getattr(trajectory, name), float) - right) / np.maximum(np.abs(right), 1.0)
        for name, right in stated.items()
    ]
    return float(np.max(gaps))
