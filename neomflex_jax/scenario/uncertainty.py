"""What a day draws at random from the reset key; `environment/step/disturbances.py` draws it."""

from __future__ import annotations

from dataclasses import dataclass

from neomflex_jax.errors import InputError
from neomflex_jax.scenario.parts import MAX_FACTOR

LONGEST_OUTAGE = 1_000_000  # steps


@dataclass(frozen=True)
class Uncertainty:
    """Sizes of the random disturbances; all zero (ranges at 1) by default, which costs nothing."""

    demand_spread: float = 0.0
    """Every bus's load times a factor uniform in 1 +- this, for a day. Unit: share. Allowed: 0 .. below 1."""
    line_error: float = 0.0
    """Every branch's r and x times factors uniform in 1 +- this, for a day. Unit: share. Allowed: 0 .. below 1."""
    load_growth: tuple[float, ...] = (1.0, 1.0)
    """Demand times a factor uniform in this range, for a day. Unit: factors. Allowed: [lowest, highest] within
    0..10."""
    pv_growth: tuple[float, ...] = (1.0, 1.0)
    """Solar times a factor uniform in this range, for a day. Unit: factors. Allowed: [lowest, highest] within 0..10."""
    profile_noise: float = 0.0
    """Relative standard deviation of Demand and Solar, drawn anew every step. Unit: share. Allowed: 0 .. below 1."""
    outage_probability: float = 0.0
    """Chance that a device is out on a day. Unit: share. Allowed: 0 .. 1."""
    outage_steps: int = 8
    """How long an outage lasts, from a random step on, at most to the day's end. Unit: steps. Allowed: 1 .. 1000000."""

    def __post_init__(self) -> None:
        for name in ("demand_spread", "line_error", "profile_noise"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} = {getattr(self, name)} must lie in 0..1 (1 left out)")
        for name in ("load_growth", "pv_growth"):
            span = getattr(self, name)
            if len(span) != 2 or not 0 <= span[0] <= span[1] <= MAX_FACTOR:
                allowed = f"must be a range [lowest, highest] of factors in 0..{MAX_FACTOR:g}"
                raise InputError(f"{name} = {list(span)} {allowed}")
        if not 0 <= self.outage_probability <= 1:
            raise InputError(f"outage_probability = {self.outage_probability} must lie in 0..1")
        if not 1 <= self.outage_steps <= LONGEST_OUTAGE:
            raise InputError(f"outage_steps = {self.outage_steps} must lie in 1..{LONGEST_OUTAGE}")

    @property
    def varies_loads(self) -> bool:
        """True if each bus's load gets a factor of its own."""
        return self.demand_spread > 0

    @property
    def varies_growth(self) -> bool:
        """True if a day's Demand or Solar is scaled."""
        return self.load_growth != (1.0, 1.0) or self.pv_growth != (1.0, 1.0)
