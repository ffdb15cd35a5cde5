"""A few whole days of a run, for a first answer: their steps as the policy played them, energies included."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neomflex_jax.errors import InputError


@dataclass(frozen=True)
class Sample:
    """How many days to draw, and from which seed."""

    n_days: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n_days < 1 or self.seed < 0:
            raise InputError(f"n_days = {self.n_days} must be at least 1 and seed = {self.seed} at least 0")

    def draw(self, n_days: int) -> tuple[int, ...]:
        """Draw days of a run.

        Parameters
        ----------
        n_days
            How many the run has.

        Returns
        -------
        tuple of int
            Days from 0 in order; all of them if there are no more than are to be drawn.
        """
        chosen = np.random.default_rng(self.seed).choice(n_days, min(self.n_days, n_days), replace=False)
        return tuple(sorted(int(day) for day in chosen))
