"""The scenario's reward, worked out again in NumPy from voltages and powers: a cross-check of the environment's.

Every agent's cost of a step, the negative of its local reward, is the sum of
``voltage_weight x sum over its nodes without the slack of the voltage barrier``,
``loss_weight x losses in MW x (number of its buses) / (number of all buses)``,
its devices' own terms (`devices/`), users' own terms by their twins (`users_twins.py`),
``violation_penalty`` if any voltage is outside the hard limits or the power flow failed, and then ``unsolved_penalty``
beside it,
with phases ``unbalance_weight x sum over its buses with three phases of the unbalance factor above its soft limit``,
``loading_penalty`` if any branch is loaded above its hard limit, and of the whole feeder, by its share of the buses,
``price_weight x price x MWh`` and ``peak_weight x MW above peak_import_mw`` of the import, and ``loading_weight`` x
the sum over the limited branches of the excess above the soft limit, as a share of the rating, or of its square; and
``feeder_operation_weight`` x the steps by which the feeder's own controls moved.
Where the rules end the day on a violation, the penalty stands alone.
"""

from __future__ import annotations

import numpy as np

from neomflex_jax.grid import AnyFeeder, UnbalancedFeeder
from neomflex_jax.scenario import Limits, Scenario, Territory
from validation.recompute.loading import COLLAPSED_PERCENT, limited_of
from validation.recompute.own_controls import operations, own_controls
from validation.recompute.twins import twins_of
from validation.recompute.users_twins import Steps, users_reward

COLLAPSED_VM_PU = 0.5


def local_cost(
    scenario: Scenario,
    feeder: AnyFeeder,
    *,
    vm_pu: np.ndarray,
    loss_mw: np.ndarray,
    step: np.ndarray,
    slack_p_mw: np.ndarray | None = None,
    branch_loading_percent: np.ndarray | None = None,
    vuf_percent: np.ndarray | None = None,
    **recorded: np.ndarray,
) -> np.ndarray:
    """Cost of every step and agent, (n, n_agents).

    Parameters
    ----------
    vm_pu
        (n, n_node); a row with a value that is not finite is a failed power flow: it costs the penalty and what a
        collapsed grid would, 0.5 pu at every node; its unknown losses and import cost nothing.
    loss_mw
        (n,)
    step
        (n,) step of the day.
    slack_p_mw
        (n,) import; needed where energy or its peak has a price.
    branch_loading_percent
        (n, n_limited); needed where the scenario limits loadings.
    vuf_percent
        (n, n_three_phase_bus) unbalance factors; needed where they have a price.
    **recorded
        What the devices' own terms need, (n, n_device) by recorded name (`Twin.recorded`), and the price, (n,); for
        users' terms Demand and Solar too.
    """
    reward, limits = scenario.reward, scenario.limits
    failed = ~(np.isfinite(vm_pu).all(axis=1) & np.isfinite(loss_mw))
    known_vm_pu = np.where(failed[:, None], COLLAPSED_VM_PU, vm_pu)
    known_loss_mw = np.where(failed, 0.0, loss_mw)
    violated = failed | ((known_vm_pu < limits.hard_min_pu) | (known_vm_pu > limits.hard_max_pu)).any(axis=1)
    barrier = voltage_barrier(reward.voltage_barrier, known_vm_pu, limits)
    barrier[:, feeder.nodes.bus_position == feeder.topology.slack] = 0.0
    whole = _import_cost(scenario, slack_p_mw, failed, recorded)
    loading_cost, overloaded = _loading_cost(scenario, feeder, branch_loading_percent, failed)
    whole += loading_cost
    import_mw = None if slack_p_mw is None else np.where(failed, 0.0, slack_p_mw)
    whole += _operations_cost(scenario, feeder, recorded, len(step))
    users = -users_reward(Steps(scenario, feeder, step, known_vm_pu, recorded, known_loss_mw, import_mw))
    costs = []
    for agent, part in enumerate(scenario.territories):
        own = np.concatenate([feeder.nodes.at[label] for label in part.buses])
        share = len(part.buses) / feeder.n_bus
        cost = reward.voltage_weight * barrier[:, own].sum(axis=1)
        cost += reward.loss_weight * known_loss_mw * share + whole * share
        cost += _device_cost(scenario, part, step, recorded) + users[:, agent]
        cost += _unbalance_cost(scenario, feeder, part, vuf_percent, failed)
        penalty = reward.violation_penalty * violated + reward.unsolved_penalty * failed
        penalty += scenario.loading.loading_penalty * overloaded
        stands_alone = (violated | overloaded) & (scenario.rules.on_violation == "end_day")
        costs.append(np.where(stands_alone, penalty, cost + penalty))
    return np.stack(costs, axis=1)


def voltage_barrier(name: str, vm_pu: np.ndarray, limits: Limits) -> np.ndarray:
    """Cost of each voltage, shape as given: the scenario's barrier as MAPDN's program defines it, or `band`."""
    above, below = vm_pu - limits.band_max_pu, limits.band_min_pu - vm_pu
    if name == "band":
        return np.clip(above, 0.0, None) + np.clip(below, 0.0, None)
    if name == "courant_beltrami":
        return np.clip(above, 0.0, None) ** 2 + np.clip(below, 0.0, None) ** 2
    off = np.abs(vm_pu - 1.0)
    if name == "l1":
        return off
    if name == "l2":
        return 2.0 * off**2
    if name == "bowl":
        density = np.exp(-(off**2) / 0.02) / np.sqrt(0.02 * np.pi)
        return np.where(off > 0.05, 2.0 * off - 0.095, 0.04 - 0.01 * density)
    assert name == "bump", name
    result = np.zeros_like(vm_pu)
    for sign, centre in ((vm_pu < 1.0, 0.0), (vm_pu > 1.0, 2.0)):
        inside = sign & (np.abs(vm_pu - centre) < 1.0)
        result[inside] = np.exp(-1.0 / (1.0 - (vm_pu[inside] - centre) ** 4))
    return result


def _device_cost(
    scenario: Scenario, territory: Territory, step: np.ndarray, recorded: dict[str, np.ndarray]
) -> np.ndarray:
    """Own cost terms of a territory's devices, (n,)."""
    cost = np.zeros(len(step))
    for twin, devices in twins_of(scenario):
        for number, device in enumerate(devices):
            if device.bus in territory.buses:
                own = {name: recorded[name][:, number] for name in twin.recorded if name in recorded}
                for term in twin.costs(device, scenario, own | {"step": step}):
                    cost += term
    return cost


def _unbalance_cost(
    scenario: Scenario, feeder: AnyFeeder, territory: Territory, vuf_percent: np.ndarray | None, failed: np.ndarray
) -> np.ndarray:
    """Cost of the unbalance at a territory's buses, (n,); a failed power flow has none."""
    reward = scenario.reward
    if not reward.unbalance_weight:
        return np.zeros(len(failed))
    assert vuf_percent is not None, "unbalance has a price: give vuf_percent"
    own = [number for number, bus in enumerate(feeder.nodes.three_phase_buses) if bus in territory.buses]
    above = np.clip(vuf_percent[:, own] - reward.unbalance_soft_percent, 0.0, None).sum(axis=1)
    return reward.unbalance_weight * np.where(failed, 0.0, above)


def _operations_cost(
    scenario: Scenario, feeder: AnyFeeder, recorded: dict[str, np.ndarray], n_steps: int
) -> np.ndarray:
    """Cost of what the feeder's own controls move, to the whole feeder, (n,)."""
    weight = scenario.reward.feeder_operation_weight
    if not weight or not isinstance(feeder, UnbalancedFeeder):
        return np.zeros(n_steps)
    return weight * operations(own_controls(scenario, feeder), feeder, recorded)


def _loading_cost(
    scenario: Scenario, feeder: AnyFeeder, loading_percent: np.ndarray | None, failed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cost of loadings above soft limits to the whole feeder, (n,), and the steps above hard ones, (n,) bool."""
    limited, config = limited_of(scenario, feeder), scenario.loading
    if limited is None:
        return np.zeros(len(failed)), np.zeros(len(failed), bool)
    assert loading_percent is not None, "loadings are limited: give branch_loading_percent"
    known_percent = np.where(failed[:, None], COLLAPSED_PERCENT, loading_percent)
    share = np.clip(known_percent - limited.soft_percent, 0.0, None) / 100.0
    cost = (share if config.loading_barrier == "band" else share**2).sum(axis=1)
    overloaded = limited.above(known_percent, limited.hard_percent).any(axis=1)
    return config.loading_weight * cost, np.asarray(overloaded)


def _import_cost(
    scenario: Scenario, slack_p_mw: np.ndarray | None, failed: np.ndarray, recorded: dict[str, np.ndarray]
) -> np.ndarray:
    reward = scenario.reward
    cost = np.zeros(len(failed))
    if reward.price_weight or reward.peak_weight:
        assert slack_p_mw is not None, "energy has a price: give slack_p_mw"
        import_mw = np.where(failed, 0.0, slack_p_mw)
        cost += reward.peak_weight * np.clip(import_mw - reward.peak_import_mw, 0.0, None)
        if reward.price_weight:
            cost += reward.price_weight * recorded["price"] * import_mw * scenario.step_hours
    return cost
