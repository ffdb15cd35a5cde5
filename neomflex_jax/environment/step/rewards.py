"""The reward's named terms, each (n_agents,); all but `energy` are at most 0. Powers in MW, energies per step in MWh.

voltage      -weight x sum over the agent's buses (slack left out) of the voltage barrier, see `barriers.py`
losses       -weight x line losses in MW x the agent's share of all buses
violation    -penalty if any voltage is outside the hard limits or the power flow did not converge
solar        -weight x (rating - p) / rating for each of its batteries that does not charge (p >= 0) in the solar hours
reactive     -weight x sum of |q| in Mvar of its batteries and PV inverters
throughput   -(weight + the battery's own throughput_cost) x |p| h, summed over its batteries
curtailment  -weight x (PV not fed in + load not served) in MWh, of its devices
energy       -weight x price x import in MWh x its share of all buses (export earns)
peak         -weight x (import - peak_import_mw) in MW where positive, x its share of all buses

A term that the scenario does not weight is left out, but for the first three. One that needs a grid that has no
solution (losses, energy, peak) is 0 in that step, which the violation penalty pays for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.environment.step.barriers import BARRIER_FUNCTIONS
from neomflex_jax.environment.step.dispatch import Delivered, rating
from neomflex_jax.grid.territories import TerritoryLayout
from neomflex_jax.scenario import Scenario


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a step led to; finite also where the power flow failed."""

    vm_pu: Array  # (n_bus,)
    loss_mw: Array  # ()
    slack_p_mw: Array  # () import
    delivered: Delivered
    violated: Array  # () bool
    step: Array  # () of the day
    price: Array | None  # () per MWh


Term = Callable[[Scenario, TerritoryLayout, Outcome], Array]


def _voltage(scenario: Scenario, layout: TerritoryLayout, outcome: Outcome) -> Array:
    barrier = BARRIER_FUNCTIONS[scenario.reward.voltage_barrier](outcome.vm_pu, scenario.limits)
    return -scenario.reward.voltage_weight * _summed(layout.membership, barrier)


def _losses(scenario: Scenario, layout: TerritoryLayout, outcome: Outcome) -> Array:
    return -scenario.reward.loss_weight * outcome.loss_mw * jnp.asarray(layout.bus_share)


def _violation(scenario: Scenario, layout: TerritoryLayout, outcome: Outcome) -> Array:
    return -scenario.reward.violation_penalty * outcome.violated * jnp.ones(layout.n_agents)


def _solar(scenario: Scenario, layout: TerritoryLayout, outcome: Outcome) -> Array:
    config, power_mw = scenario.reward, rating(scenario, "batteries")["power_mw"]
    in_solar_hours = (outcome.step >= config.solar_first_step) & (outcome.step <= config.solar_last_step)
    p_mw = outcome.delivered.battery_p_mw
    shortfall = jnp.where(p_mw >= 0, (power_mw - p_mw) / power_mw, 0.0)
    return -config.solar_penalty_weight * in_solar_hours * _summed(layout.owns(layout.batteries), shortfall)


def _reactive(scenario: Scenario, layout: TerritoryLayout, outcome: Outcome) -> Array:
    battery, pv = jnp.abs(outcome.delivered.battery_q_mvar), jnp.abs(outcome.delivered.pv_q_mvar)
    own = _summed(layout.owns(layout.batteries), battery) + _summed(layout.owns(layout.pv_inverters), pv)
    return -scenario.reward.reactive_weight * own


def _throughput(scenario: Scenario, layout: TerritoryLayout, outcome: Outcome) -> Array:
    per_mwh = scenario.reward.throughput_weight + rating(scenario, "batteries")["throughput_cost"]
    cost = per_mwh * jnp.abs(outcome.delivered.battery_p_mw) * scenario.step_hours
    return -_summed(layout.owns(layout.batteries), cost)


def _curtailment(scenario: Scenario, layout: TerritoryLayout, outcome: Outcome) -> Array:
    delivered = outcome.delivered
    pv = _summed(layout.owns(layout.pv_inverters), delivered.pv_available_mw - delivered.pv_p_mw)
    load = _summed(layout.owns(layout.flexible_loads), delivered.load_curtailed_mw)
    return -scenario.reward.curtailment_weight * scenario.step_hours * (pv + load)


def _energy(scenario: Scenario, layout: TerritoryLayout, outcome: Outcome) -> Array:
    assert outcome.price is not None  # the scenario sees to it
    paid = outcome.price * outcome.slack_p_mw * scenario.step_hours
    return -scenario.reward.price_weight * paid * jnp.asarray(layout.bus_share)


def _peak(scenario: Scenario, layout: TerritoryLayout, outcome: Outcome) -> Array:
    above_mw = jnp.maximum(outcome.slack_p_mw - scenario.reward.peak_import_mw, 0.0)
    return -scenario.reward.peak_weight * above_mw * jnp.asarray(layout.bus_share)


def _summed(owns: np.ndarray, values: Array | np.ndarray) -> Array:
    """Sum values of devices or buses by agent, as a product: a CPU is slow at sums along short rows."""
    return jnp.matmul(jnp.asarray(owns, jnp.result_type(float)), values, precision="highest")


def terms_of(scenario: Scenario) -> dict[str, Term]:
    """Give the terms that a scenario has, by name."""
    config = scenario.reward
    worn = config.throughput_weight > 0 or any(battery.throughput_cost > 0 for battery in scenario.batteries)
    optional: tuple[tuple[str, Term, bool], ...] = (
        ("solar", _solar, config.solar_penalty),
        ("reactive", _reactive, config.reactive_weight > 0),
        ("throughput", _throughput, worn),
        ("curtailment", _curtailment, config.curtailment_weight > 0),
        ("energy", _energy, config.price_weight > 0),
        ("peak", _peak, config.peak_weight > 0),
    )
    always: dict[str, Term] = {"voltage": _voltage, "losses": _losses, "violation": _violation}
    return always | {name: term for name, term, wanted in optional if wanted}


def reward_terms(scenario: Scenario, layout: TerritoryLayout, outcome: Outcome) -> dict[str, Array]:
    """Terms of every agent's local reward for one step."""
    return {name: term(scenario, layout, outcome) for name, term in terms_of(scenario).items()}


def local_reward(scenario: Scenario, terms: dict[str, Array], violated: Array) -> Array:
    """Each agent's own reward, (n_agents,): the terms' sum; under `end_day` a violation leaves the penalty alone."""
    total = jnp.sum(jnp.stack(list(terms.values())), axis=0)
    if scenario.rules.on_violation == "end_day":
        return jnp.where(violated, terms["violation"], total)
    return total


def shared_reward(scenario: Scenario, local: Array) -> Array:
    """Give what the learners get, (n_agents,): their own local reward, the team's mean, or something between."""
    sharing = scenario.reward.sharing
    if sharing == "local":
        return local
    mean = jnp.broadcast_to(jnp.mean(local), local.shape)
    return mean if sharing == "team" else local + scenario.reward.team_share * (mean - local)
