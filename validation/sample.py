"""A few whole days of a run, for a first answer: their steps as the policy played them, energies included."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.trajectory import ARRAY_FIELDS, Trajectory
from validation.replay import Replay


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
    """Take some days of a run; what comes out is no run that could be replayed at once, for days are missing."""
    rows = np.isin(trajectory.day, days)
    return dataclasses.replace(trajectory, **{name: getattr(trajectory, name)[rows] for name in ARRAY_FIELDS})


def joined(replays: list[Replay]) -> Replay:
    """Put the replays of several days together."""
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(each, name) for each in replays])
        for name, value in vars(replays[0]).items()
        if isinstance(value, np.ndarray)
    }
    return dataclasses.replace(replays[0], **arrays)
