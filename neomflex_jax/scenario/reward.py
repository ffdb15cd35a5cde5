"""Weights of the reward's named terms; `environment/step/rewards.py` has their equations."""

from __future__ import annotations

from dataclasses import dataclass

from neomflex_jax.errors import InputError
from neomflex_jax.fields import check_choice

BARRIERS = ("band", "l1", "l2", "bowl", "bump", "courant_beltrami")
SHARING = ("team", "local", "mixed")
WEIGHTS = (
    "voltage_weight",
    "loss_weight",
    "violation_penalty",
    "solar_penalty_weight",
    "reactive_weight",
    "throughput_weight",
    "curtailment_weight",
    "price_weight",
    "peak_weight",
    "peak_import_mw",
)


@dataclass(frozen=True)
class RewardConfig:
    """What costs how much. A term of weight 0 is left out."""

    voltage_weight: float = 100.0
    voltage_barrier: str = "band"
    loss_weight: float = 5.0
    violation_penalty: float = 100.0
    solar_penalty: bool = False
    solar_penalty_weight: float = 30.0
    solar_first_step: int = 14
    solar_last_step: int = 34
    reactive_weight: float = 0.0
    throughput_weight: float = 0.0
    curtailment_weight: float = 0.0
    price_weight: float = 0.0
    peak_weight: float = 0.0
    peak_import_mw: float = 0.0
    sharing: str = "team"
    team_share: float = 0.5

    def __post_init__(self) -> None:
        check_choice("sharing", self.sharing, SHARING)
        check_choice("voltage_barrier", self.voltage_barrier, BARRIERS)
        for name in WEIGHTS:
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} = {getattr(self, name)} must be at least 0: terms are costs")
        if not 0 <= self.team_share <= 1:
            raise InputError(f"team_share = {self.team_share} must lie in 0 (local) .. 1 (team)")
        if not 0 <= self.solar_first_step <= self.solar_last_step:
            raise InputError(
                f"solar_first_step = {self.solar_first_step} must lie in 0..solar_last_step = {self.solar_last_step}"
            )
