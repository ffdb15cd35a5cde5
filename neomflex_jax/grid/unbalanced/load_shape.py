"""A series of factors that loads follow over time, kept as the source has it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neomflex_jax.one_line import one_line


@dataclass(frozen=True, eq=False)
class LoadShape:
    """Factors on p and q, one a step."""

    name: str
    step_h: float  # hours between two values; 0 where `hours` has them
    p_factor: np.ndarray  # (n_steps,) of the load's power, or MW where it is `actual`
    q_factor: np.ndarray | None  # None: as p_factor
    hours: np.ndarray | None = None  # (n_steps,) of values that are not equally far apart
    actual: bool = False  # True for powers in MW and Mvar in the place of factors

    __repr__ = one_line
