"""A few whole days of a run, for a first answer: their steps as the policy played them, energies included."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.trajectory import ARRAY_FIELDS, Trajectory


@dataclass(frozen=True)
class Sample:
    """How many days to draw, and from which seed."""

    n_days: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_days < 1 or self.seed < 0:
            raise InputError(f"n_days = {self.n_days} must be at least 1 and seed = {self.seed} at least 0")

    def draw(self, n_days: int) -> tuple[int, ...]:
        """Draw days of `n_days`, in order; all of them if there are no more."""
        chosen = np.random.default_rng(self.seed).choice(n_days, min(self.n_days, n_days), replace=False)
        return tuple(sorted(int(day) for day in chosen))


def whole_days(trajectory: Trajectory, days: tuple[int, ...]) -> Trajectory:
    """Take some days of a run, counted from 0; `dataset_index` tells which they were."""
    rows = np.isin(trajectory.day, days)
    return dataclasses.replace(trajectory, **{name: getattr(trajectory, name)[rows] for name in ARRAY_FIELDS})


def replayable(sampled: Trajectory) -> Trajectory:
    """Give the sample with its days numbered as if they followed each other, which `replay` insists on.

    The run that they are from has been checked, and a replay takes every step by itself.
    """
    return dataclasses.replace(sampled, dataset_index=np.arange(sampled.n_steps))
