"""Limits of what branches carry, in per cent of their ratings; off unless a scenario states one.

The soft limit is where costs begin, the hard one where a violation does. A branch without a rating has no loading, so
no limit holds for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.fields import FieldError, FrozenDict, check_choice

LOADING_BARRIERS = ("band", "courant_beltrami")


@dataclass(frozen=True)
class LoadingConfig:
    """The table ``[loading]`` of a scenario."""

    loading_soft_percent: float | None = None
    """Above it a branch costs loading_weight. None: no cost. Allowed: above 0."""
    loading_hard_percent: float | None = None
    """Above it a branch is a violation. None: none but those of branch_limits. Allowed: above 0."""
    branch_limits: Mapping[str, float] = FrozenDict()
    """Hard limits of single branches by name, "3-4" = 80.0; "3-4 (2)" is the second of parallel ones. Unit: %."""
    loading_weight: float = 10.0
    """Cost of the loading above the soft limit, as a share of the rating. Unit: 1/rating. Allowed: at least 0."""
    loading_barrier: str = "band"
    """What is weighted: the excess itself, or its square. Allowed: "band", "courant_beltrami"."""
    loading_penalty: float = 100.0
    """Cost of a step in which any branch is above its hard limit. Unit: 1/step. Allowed: at least 0."""
    loading_observed: bool = False
    """Whether agents see the loadings of their branches."""

    def __post_init__(self) -> None:
        limits = {"loading_soft_percent": self.loading_soft_percent, "loading_hard_percent": self.loading_hard_percent}
        for name, limit in limits.items():
            if limit is not None and not limit > 0:
                raise InputError(f"{name} = {limit} must be above 0; leave it out where there is no limit")
        for branch, limit in self.branch_limits.items():
            if not limit > 0:
                raise FieldError(f"{branch} = {limit} must be above 0", "branch_limits", branch)
        soft, hard = self.loading_soft_percent, self.loading_hard_percent
        if soft is not None and hard is not None and soft > hard:
            raise InputError(f"loading_soft_percent = {soft} must be at most loading_hard_percent = {hard}")
        check_choice("loading_barrier", self.loading_barrier, LOADING_BARRIERS)
        for name in ("loading_weight", "loading_penalty"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} = {getattr(self, name)} must be at least 0: it is a cost")
        if self.loading_observed and not self.is_limited:
            raise InputError(
                "loading_observed = True needs a limit; state loading_soft_percent or loading_hard_percent"
            )

    @property
    def is_limited(self) -> bool:
        """True if there is any limit; without one nothing of loadings is computed."""
        return not (self.loading_soft_percent is None and self.loading_hard_percent is None and not self.branch_limits)

    def limits_percent(self, branches: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Soft and hard limits of branches by name, (n,) each; infinite where there is none.

        A branch with a limit of its own below the soft one has that for both.
        """
        soft, hard = (
            math.inf if limit is None else limit for limit in (self.loading_soft_percent, self.loading_hard_percent)
        )
        own_hard = np.array([self.branch_limits.get(name, hard) for name in branches], float)
        return np.minimum(soft, own_hard) if math.isfinite(soft) else np.full(len(own_hard), soft), own_hard


UNLIMITED = LoadingConfig()
