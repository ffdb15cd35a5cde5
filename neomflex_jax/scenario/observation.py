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
    history: int = 1  # frames, the newest first
    forecast: str = "perfect"
    forecast_steps: int = 0  # of Demand and Solar, beyond the next step that every agent knows
    forecast_noise: float = 0.1  # `noisy`: relative standard deviation at the furthest step
    sensor_noise_pu: float = 0.0  # standard deviation of every measured voltage
    missing_probability: float = 0.0  # an agent is missing for a day: unseen, unseeing, its devices idle

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
