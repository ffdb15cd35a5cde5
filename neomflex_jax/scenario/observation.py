"""What agents see; `environment/step/observations.py` lays it out."""

from __future__ import annotations

from dataclasses import dataclass

from neomflex_jax.errors import InputError
from neomflex_jax.fields import check_choice

SCOPES = ("local", "territory", "neighbours", "global")
FORECASTS = ("perfect", "persistence", "noisy")
LONGEST_HISTORY, LONGEST_FORECAST = 1000, 10_000


@dataclass(frozen=True)
class ObservationConfig:
    """Whose measurements an agent sees, how far back, how far ahead, and how well."""

    scope: str = "territory"
    """Whose measurements an agent sees: buses of its devices, its territory, adjacent ones too, or all. Allowed:
    "local", "territory", "neighbours", "global"."""
    history: int = 1
    """Frames that it sees, the newest first. Unit: steps. Allowed: 1 .. 1000."""
    forecast: str = "perfect"
    """What it sees ahead: the true rows, the same hours of the last day, or the true ones with an error. Allowed:
    "perfect", "persistence", "noisy"."""
    forecast_steps: int = 0
    """How far ahead, beyond the next step, which every agent knows. Unit: steps. Allowed: 0 .. 10000."""
    forecast_noise: float = 0.1
    """Of a noisy forecast: relative standard deviation at the furthest step. Unit: share. Allowed: 0 .. below 1."""
    sensor_noise_pu: float = 0.0
    """Standard deviation of every measured voltage. Allowed: 0 .. below 1."""
    missing_probability: float = 0.0
    """Chance that an agent is away for a day: unseen, unseeing, its devices idle. Unit: share. Allowed: 0 .. 1."""

    def __post_init__(self) -> None:
        check_choice("scope", self.scope, SCOPES)
        check_choice("forecast", self.forecast, FORECASTS)
        if not 1 <= self.history <= LONGEST_HISTORY:
            raise InputError(f"history = {self.history} must lie in 1 (the present alone) .. {LONGEST_HISTORY}")
        if not 0 <= self.forecast_steps <= LONGEST_FORECAST:
            raise InputError(f"forecast_steps = {self.forecast_steps} must lie in 0..{LONGEST_FORECAST}")
        for name in ("forecast_noise", "sensor_noise_pu"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} = {getattr(self, name)} must lie in 0..1 (1 left out)")
        if not 0 <= self.missing_probability <= 1:
            raise InputError(f"missing_probability = {self.missing_probability} must lie in 0..1")
