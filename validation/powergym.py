"""PowerGym's volt-var task on IEEE 13, played back in OpenDSS: its choices, its horizon and its reward.

A day has 24 steps of an hour. Capacitors are in or out, a regulator has 33 taps, a battery one of 33 powers between
full charge and full discharge and no reactive power. The reward of a step is minus the sum of

    voltage   sum over buses of (highest phase - 1.05)+ + (0.95 - lowest phase)+, in pu
    control   w_cap |status - before| + w_reg |tap - before| over capacitors and regulators, in switchings and taps,
              + w_dis (share of its power that a battery discharges)+, + w_soc |soc - first soc| in the last step
    losses    w_loss x losses / power that the source delivers, as a share in 0..1

with w_cap = w_reg = 1/33, w_dis = 6/33, w_soc = 0 and w_loss = 10 for the 13-bus system. Facts from T.-H. Fan, X. Lee,
Y. Wang, "PowerGym: A reinforcement learning environment for volt-var control in power distribution systems", L4DC 2022,
arXiv:2109.03970, and the published settings of its environments. Ours are the days and the battery: those of the
scenario that a policy was trained on. Voltages, losses and the source's power are OpenDSS's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from neomflex_jax.devices import TapChanger
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import UnbalancedFeeder, load_feeder
from neomflex_jax.scenario import Scenario
from neomflex_jax.scenario.controls import controls_of
from validation.closed_loop.acting import ActingPolicy
from validation.recompute.own_controls import STEPS, STEPS_BEFORE, TAPS, TAPS_BEFORE, own_controls, step_sizes
from validation.referee.replay import Replay

CHOICES = 33  # of a regulator's taps and of a battery's powers
HORIZON = 24  # steps of an hour


@dataclass(frozen=True)
class Weights:
    """What costs how much, of the 13-bus system."""

    loss: float = 10.0
    capacitor: float = 1 / 33  # a switching
    regulator: float = 1 / 33  # a tap
    discharge: float = 6 / 33  # a step of full discharge
    soc: float = 0.0  # of the state of charge, at a day's end
    lowest_pu: float = 0.95
    highest_pu: float = 1.05


class Rewards(NamedTuple):
    """Parts of the reward by step, (n_steps,), 0 or below."""

    voltage: np.ndarray
    control: np.ndarray
    losses: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """All of it."""
        return self.voltage + self.control + self.losses

    def by_day(self) -> np.ndarray:
        """Sum of each day, (n_days,)."""
        return np.asarray(self.total.reshape(-1, HORIZON).sum(axis=1))


def in_its_choices(policy: ActingPolicy, scenario: Scenario) -> ActingPolicy:
    """Return a policy whose batteries take one of 33 powers and no reactive power; the rest is whole by itself.

    Raises
    ------
    InputError
        If the scenario has devices that are none of PowerGym's, or regulators of other ranges than 33 taps.
    """
    known = {"battery_p", "battery_q", "tap_target", "capacitor_target"}
    entries = controls_of(scenario)
    for entry in entries:
        if entry.control.name not in known:
            raise InputError(f"PowerGym has no {entry.kind.noun}, and scenario {scenario.name!r} has {entry.device}")
    for device in scenario.devices:
        if isinstance(device, TapChanger) and 2 * device.steps + 1 != CHOICES:
            raise InputError(f"{device.label}: a regulator of PowerGym's has {CHOICES} taps; steps must be 16")
    named = {
        agent: [entry.control.name for entry in entries if scenario.owner(entry.bus) == number]
        for number, agent in enumerate(scenario.agents)
    }

    def act(observations: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {agent: _chosen(np.asarray(one), named[agent]) for agent, one in policy(observations).items()}

    return act


def _chosen(action: np.ndarray, names: list[str]) -> np.ndarray:
    """Take the nearest of a battery's powers, and none of its reactive power."""
    chosen, half = np.clip(action, -1.0, 1.0).astype(np.float32), (CHOICES - 1) / 2
    for number, name in enumerate(names):
        if name == "battery_p":
            chosen[number] = np.round(chosen[number] * half) / half
        if name == "battery_q":
            chosen[number] = 0.0
    return chosen


def rewards(trajectory: Trajectory, grid: Trajectory | Replay, weights: Weights = Weights()) -> Rewards:
    """Work out PowerGym's reward of a run's steps.

    Parameters
    ----------
    trajectory
        Whole days of 24 steps on a feeder with phases: what devices, and the feeder's own controls, did.
    grid
        OpenDSS's answers to the same steps: its closed loop's trajectory, or a replay of this one.
    weights
        Of the reward's parts.

    Returns
    -------
    Rewards
        NaN in steps without an answer.

    Raises
    ------
    InputError
        If days have another number of steps, or the feeder has no phases.
    """
    scenario = trajectory.scenario
    feeder = load_feeder(scenario.feeder)
    if not isinstance(feeder, UnbalancedFeeder) or scenario.steps_per_day != HORIZON:
        raise InputError(
            f"scenario {scenario.name!r}: PowerGym's days have {HORIZON} steps on a feeder with phases; play it with "
            f"steps_per_day = {HORIZON} and step_hours = 1.0 on hourly days"
        )
    vm_pu = np.asarray(grid.vm_pu, float)
    buses = [np.asarray(at, int) for at in feeder.nodes.at.values()]
    above = sum(np.clip(vm_pu[:, at].max(axis=1) - weights.highest_pu, 0.0, None) for at in buses)
    below = sum(np.clip(weights.lowest_pu - vm_pu[:, at].min(axis=1), 0.0, None) for at in buses)
    share = np.asarray(grid.loss_mw, float) / np.asarray(grid.slack_p_mw, float)
    return Rewards(
        -np.asarray(above + below),
        -_control_cost(trajectory, feeder, weights),
        -weights.loss * np.clip(share, 0.0, 1.0),
    )


def _control_cost(trajectory: Trajectory, feeder: UnbalancedFeeder, weights: Weights) -> np.ndarray:
    """Cost of switching, of discharge and of the last state of charge, (n_steps,)."""
    scenario, recorded = trajectory.scenario, trajectory.devices
    cost = np.zeros(trajectory.n_steps)
    for name, weight in (("tap_position", weights.regulator), ("capacitor_steps", weights.capacitor)):
        if name in recorded:
            moved = recorded[name].astype(float) - recorded[f"{name}_before"]
            cost += weight * np.abs(moved).sum(axis=1)
    if TAPS in recorded:
        size = np.array([step_sizes(feeder)[each] for each in own_controls(scenario, feeder).windings])
        taps = np.round((recorded[TAPS].astype(float) - recorded[TAPS_BEFORE]) / size)
        cost += weights.regulator * np.abs(taps).sum(axis=1)
        cost += weights.capacitor * np.abs(recorded[STEPS].astype(float) - recorded[STEPS_BEFORE]).sum(axis=1)
    for number, battery in enumerate(scenario.batteries):
        share = recorded["battery_p_mw"][:, number].astype(float) / battery.power_mw
        cost += weights.discharge * np.clip(share, 0.0, None)
        last, first = recorded["battery_soc"][HORIZON - 1 :: HORIZON], recorded["battery_soc_before"][::HORIZON]
        cost[HORIZON - 1 :: HORIZON] += weights.soc * np.abs(last[:, number].astype(float) - first[:, number])
    return cost
