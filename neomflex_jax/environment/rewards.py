"""The reward's named terms, each (n_agents,) and at most 0.

voltage    -weight x sum over the agent's buses (slack left out) of the excess outside the band, in pu
losses     -weight x line losses in MW x the agent's share of all buses
solar      -weight x (rating - p) / rating for each of its batteries that does not charge (p >= 0) in the solar hours
violation  -penalty if any voltage is outside the hard limits or the power flow did not converge
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid.territories import TerritoryLayout
from neomflex_jax.scenario import RewardConfig, Scenario


def reward_terms(
    scenario: Scenario,
    layout: TerritoryLayout,
    *,
    vm_pu: Array,
    loss_mw: Array,
    battery_p_mw: Array,
    violated: Array,
    step: Array,
) -> dict[str, Array]:
    """Terms of every agent's local reward for one step."""
    config, limits = scenario.reward, scenario.limits
    excess_pu = jnp.maximum(vm_pu - limits.band_max_pu, 0.0) + jnp.maximum(limits.band_min_pu - vm_pu, 0.0)
    terms: dict[str, Array] = {
        "voltage": -config.voltage_weight * jnp.sum(jnp.asarray(layout.membership) * excess_pu, axis=1),
        "losses": -config.loss_weight * loss_mw * jnp.asarray(layout.bus_share),
        "violation": -config.violation_penalty * violated * jnp.ones(layout.n_agents),
    }
    if config.solar_penalty:
        terms["solar"] = _solar_term(scenario, config, layout, battery_p_mw, step)
    return terms


def term_names(scenario: Scenario) -> tuple[str, ...]:
    """Names of the terms that `reward_terms` gives for this scenario."""
    names = ("voltage", "losses", "violation")
    return (*names, "solar") if scenario.reward.solar_penalty else names


def _solar_term(
    scenario: Scenario, config: RewardConfig, layout: TerritoryLayout, battery_p_mw: Array, step: Array
) -> Array:
    power_mw = np.array([battery.power_mw for battery in scenario.batteries])
    owned = np.array([np.isin(np.arange(len(power_mw)), own) for own in layout.batteries], float)
    in_solar_hours = (step >= config.solar_first_step) & (step <= config.solar_last_step)
    shortfall = jnp.where(battery_p_mw >= 0, (power_mw - battery_p_mw) / power_mw, 0.0)
    return -config.solar_penalty_weight * in_solar_hours * jnp.sum(jnp.asarray(owned) * shortfall, axis=1)


def local_reward(scenario: Scenario, terms: dict[str, Array], violated: Array) -> Array:
    """Each agent's own reward, (n_agents,): the terms' sum; under `end_day` a violation leaves the penalty alone."""
    total = jnp.sum(jnp.stack(list(terms.values())), axis=0)
    if scenario.rules.on_violation == "end_day":
        return jnp.where(violated, terms["violation"], total)
    return total


def shared_reward(scenario: Scenario, local: Array) -> Array:
    """Give what the learners get, (n_agents,): their own local reward, or the team's mean."""
    return local if scenario.reward.sharing == "local" else jnp.broadcast_to(jnp.mean(local), local.shape)
