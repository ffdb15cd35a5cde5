"""The scenario's reward, worked out again in NumPy from voltages and losses: a cross-check of the environment's.

Every agent's cost of a step, the negative of its local reward, is the sum of
``voltage_weight x sum over its buses without the slack of the excess outside the band in pu``,
``loss_weight x losses in MW x (number of its buses) / (number of all buses)``,
``solar_penalty_weight x (rating - p) / rating`` for each of its batteries with p >= 0 in the solar hours, if asked for,
``violation_penalty`` if any voltage is outside the hard limits or the power flow failed.
Where the rules end the day on a violation, the penalty stands alone.
"""

from __future__ import annotations

import numpy as np

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.scenario import Scenario

COLLAPSED_VM_PU = 0.5


def local_cost(
    scenario: Scenario,
    feeder: Feeder,
    *,
    vm_pu: np.ndarray,
    loss_mw: np.ndarray,
    battery_p_mw: np.ndarray,
    step: np.ndarray,
) -> np.ndarray:
    """Cost of every step and agent, (n, n_agents).

    Parameters
    ----------
    vm_pu
        (n, n_bus); a row with a value that is not finite is a failed power flow: it costs the penalty and what a
        collapsed grid would, 0.5 pu at every bus; its unknown losses cost nothing.
    loss_mw
        (n,)
    battery_p_mw
        (n, n_battery) positive discharging.
    step
        (n,) step of the day.
    """
    reward, limits = scenario.reward, scenario.limits
    failed = ~(np.isfinite(vm_pu).all(axis=1) & np.isfinite(loss_mw))
    known_vm_pu = np.where(failed[:, None], COLLAPSED_VM_PU, vm_pu)
    known_loss_mw = np.where(failed, 0.0, loss_mw)
    violated = failed | ((known_vm_pu < limits.hard_min_pu) | (known_vm_pu > limits.hard_max_pu)).any(axis=1)
    excess_pu = np.clip(limits.band_min_pu - known_vm_pu, 0.0, None) + np.clip(
        known_vm_pu - limits.band_max_pu, 0.0, None
    )
    excess_pu[:, feeder.topology.slack] = 0.0
    costs = []
    for part in scenario.territories:
        own = [feeder.bus_labels.index(label) for label in part.buses]
        cost = reward.voltage_weight * excess_pu[:, own].sum(axis=1)
        cost += reward.loss_weight * known_loss_mw * len(own) / feeder.n_bus
        if reward.solar_penalty:
            cost += _solar_cost(scenario, part.buses, battery_p_mw, step)
        penalty = reward.violation_penalty * violated
        stands_alone = violated & (scenario.rules.on_violation == "end_day")
        costs.append(np.where(stands_alone, penalty, cost + penalty))
    return np.stack(costs, axis=1)


def _solar_cost(scenario: Scenario, buses: tuple[int, ...], battery_p_mw: np.ndarray, step: np.ndarray) -> np.ndarray:
    reward = scenario.reward
    cost = np.zeros(len(step))
    in_solar_hours = (step >= reward.solar_first_step) & (step <= reward.solar_last_step)
    for number, battery in enumerate(scenario.batteries):
        if battery.bus in buses:
            p_mw = battery_p_mw[:, number]
            idle = in_solar_hours & (p_mw >= 0)
            cost += np.where(idle, reward.solar_penalty_weight * (battery.power_mw - p_mw) / battery.power_mw, 0.0)
    return cost
