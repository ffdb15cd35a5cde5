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
    "unsolved_penalty",
    "solar_penalty_weight",
    "reactive_weight",
    "throughput_weight",
    "curtailment_weight",
    "price_weight",
    "peak_weight",
    "peak_import_mw",
    "unbalance_weight",
    "unbalance_soft_percent",
    "feeder_operation_weight",
)


@dataclass(frozen=True)
class RewardConfig:
    """What costs how much. A term of weight 0 is left out."""

    voltage_weight: float = 100.0
    """Cost of the voltage barrier, summed over the agent's buses. Unit: 1/pu. Allowed: at least 0."""
    voltage_barrier: str = "band"
    """Shape of it: the distance outside the band, or one of MAPDN's. Allowed: "band", "l1", "l2", "bowl", "bump",
    "courant_beltrami"."""
    loss_weight: float = 5.0
    """Cost of the line losses, by the agent's share of the buses. Unit: 1/MW. Allowed: at least 0."""
    violation_penalty: float = 100.0
    """Cost of a step with any bus outside the hard limits, or without a solution. Unit: 1/step. Allowed: at least 0."""
    unsolved_penalty: float = 0.0
    """Further cost of a step whose power flow has no solution. Unit: 1/step. Allowed: at least 0."""
    solar_penalty: bool = False
    """Whether batteries that do not charge in the solar hours cost."""
    solar_penalty_weight: float = 30.0
    """Cost of one that does not charge at all, for each step. Unit: 1/step. Allowed: at least 0."""
    solar_first_step: int = 14
    """First step of the solar hours, counted from 0. Unit: steps. Allowed: 0 .. solar_last_step."""
    solar_last_step: int = 34
    """Last step of them, included; below steps_per_day where solar_penalty is on. Unit: steps. Allowed: at least
    solar_first_step."""
    reactive_weight: float = 0.0
    """Cost of the sum of its devices' absolute reactive powers. Unit: 1/Mvar. Allowed: at least 0."""
    throughput_weight: float = 0.0
    """Cost of the energy through its batteries, beside their own throughput_cost. Unit: 1/MWh. Allowed: at least 0."""
    curtailment_weight: float = 0.0
    """Cost of PV not fed in and of load not served. Unit: 1/MWh. Allowed: at least 0."""
    price_weight: float = 0.0
    """Factor on the price of the import, by the agent's share of the buses; needs tariff_column. Unit: factor.
    Allowed: at least 0."""
    peak_weight: float = 0.0
    """Cost of import above the threshold, by the agent's share of the buses. Unit: 1/MW. Allowed: at least 0."""
    peak_import_mw: float = 0.0
    """That threshold. Allowed: at least 0."""
    unbalance_weight: float = 0.0
    """Cost of the voltage unbalance above the soft limit, summed over the agent's buses with three phases. Unit: 1/%.
    Allowed: at least 0."""
    unbalance_soft_percent: float = 1.0
    """That soft limit, of negative over positive sequence. Unit: %. Allowed: at least 0."""
    feeder_operation_weight: float = 0.0
    """Cost of one step of a tap or capacitor that the feeder's own controls move, by the agent's share of the buses;
    needs feeder_controls = "follow". Unit: 1/step. Allowed: at least 0."""
    sharing: str = "team"
    """What learners get: the mean of all agents, their own, or a mixture. Tables state the local rewards always.
    Allowed: "team", "local", "mixed"."""
    team_share: float = 0.5
    """Of a mixture: own + team_share x (mean - own). Unit: share. Allowed: 0 .. 1."""

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
