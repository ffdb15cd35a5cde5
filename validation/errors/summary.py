"""Error statistics and counts of limit violations over steps and buses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ErrorSummary:
    """One quantity's error over all steps (and buses) in which both sides have a finite value."""

    max_abs: float
    p99_abs: float
    mean_abs: float
    bias: float  # mean of recorded minus pandapower
    n_compared: int


@dataclass(frozen=True)
class Confusion:
    """Bus-steps outside limits: what pandapower says against what was recorded; slack included."""

    agreed: int  # outside in both
    missed: int  # outside in pandapower only
    invented: int  # outside in the record only
    inside: int  # inside in both

    @property
    def true(self) -> int:
        """Outside in pandapower."""
        return self.agreed + self.missed


def outside(vm_pu: np.ndarray, low_pu: float, high_pu: float) -> np.ndarray:
    """Bus-steps outside the limits; a value that is not finite is outside."""
    return ~((vm_pu >= low_pu) & (vm_pu <= high_pu))


def confusion(recorded: np.ndarray, truth: np.ndarray) -> Confusion:
    """Count bus-steps by what the record and pandapower say of them."""
    return Confusion(
        agreed=int((recorded & truth).sum()),
        missed=int((~recorded & truth).sum()),
        invented=int((recorded & ~truth).sum()),
        inside=int((~recorded & ~truth).sum()),
    )


def summarise(recorded: np.ndarray, truth: np.ndarray) -> ErrorSummary:
    """Error statistics over the entries that are finite on both sides; NaN if there are none."""
    error = np.asarray(recorded, float) - truth
    error = error[np.isfinite(error)]
    if error.size == 0:
        return ErrorSummary(np.nan, np.nan, np.nan, np.nan, 0)
    size = np.abs(error)
    return ErrorSummary(
        max_abs=float(size.max()),
        p99_abs=float(np.quantile(size, 0.99)),
        mean_abs=float(size.mean()),
        bias=float(error.mean()),
        n_compared=int(error.size),
    )
