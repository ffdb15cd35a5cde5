"""The reward's named terms, each (n_agents,); all but `energy` are at most 0. Powers in MW, energies per step in MWh.

voltage      -weight x sum over the agent's nodes (slack left out) of the voltage barrier, see `barriers.py`
losses       -weight x line losses in MW x the agent's share of all buses
violation    -penalty if any voltage is outside the hard limits or the power flow did not converge, -loading_penalty if
             any branch is loaded above its hard limit, and -unsolved_penalty if the power flow did not converge
solar        -weight x (rating - p) / rating for each of its stores that does not charge (p >= 0) in the solar hours
reactive     -weight x sum of |q| in Mvar of its devices
throughput   -(weight + a device's own throughput_cost) x |p| h, summed over its stores
curtailment  -weight x (power not fed in + load not served) in MWh, of its devices
energy       -weight x price x import in MWh x its share of all buses (export earns)
peak         -weight x (import - peak_import_mw) in MW where positive, x its share of all buses
loading      -weight x sum over the branches of the loading above the soft limit, as a share of the rating (or of the
             square of it), x its share of all buses
unbalance    -weight x sum over the agent's buses with three phases of the unbalance factor above the soft limit, in per
             cent; feeders with phases alone

feeder_operations  -weight x steps by which the feeder's own controls moved taps and capacitors x its share of all buses

Kinds of devices say in `costs` what they add to a term, and may have terms of their own. A term that neither the
scenario weights nor a device asks for is left out, but for the first three. One that needs a grid that has no
solution (losses, energy, peak) is 0 in that step, which the violation penalty pays for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

from neomflex_jax.devices.device import CostTerm, Kind
from neomflex_jax.environment.feeder_controls import operations, plan_for
from neomflex_jax.environment.step.agent_sums import sums_by_agent
from neomflex_jax.environment.step.barriers import BARRIER_FUNCTIONS
from neomflex_jax.environment.step.outcome import Outcome
from neomflex_jax.environment.task import Task
from neomflex_jax.errors import InputError
from neomflex_jax.scenario import Scenario

Term = Callable[[Task, Outcome], Array]  # (n_agents,)


def _voltage(task: Task, outcome: Outcome) -> Array:
    reward, limits = task.scenario.reward, task.scenario.limits
    barrier = BARRIER_FUNCTIONS[reward.voltage_barrier](outcome.vm_pu, limits)
    return -reward.voltage_weight * sums_by_agent(task.layout.membership, barrier)


def _losses(task: Task, outcome: Outcome) -> Array:
    return -task.scenario.reward.loss_weight * outcome.loss_mw * jnp.asarray(task.layout.bus_share, float)


def _violation(task: Task, outcome: Outcome) -> Array:
    term = -task.scenario.reward.violation_penalty * outcome.voltage_violated * jnp.ones(task.n_agents)
    if task.scenario.reward.unsolved_penalty > 0:
        term = term - task.scenario.reward.unsolved_penalty * outcome.unsolved
    if outcome.overloaded is not None:
        term = term - task.scenario.loading.loading_penalty * outcome.overloaded
    return term


def _solar(task: Task, outcome: Outcome) -> Array:
    config, step = task.scenario.reward, outcome.moment.step
    in_solar_hours = (step >= config.solar_first_step) & (step <= config.solar_last_step)
    return -config.solar_penalty_weight * in_solar_hours * _of_devices(task, outcome, "solar")


def _reactive(task: Task, outcome: Outcome) -> Array:
    return -task.scenario.reward.reactive_weight * _of_devices(task, outcome, "reactive")


def _throughput(task: Task, outcome: Outcome) -> Array:
    return -_of_devices(task, outcome, "throughput", task.scenario.reward.throughput_weight)


def _curtailment(task: Task, outcome: Outcome) -> Array:
    scenario = task.scenario
    return -scenario.reward.curtailment_weight * scenario.step_hours * _of_devices(task, outcome, "curtailment")


def _energy(task: Task, outcome: Outcome) -> Array:
    assert outcome.moment.price is not None  # the scenario sees to it
    paid = outcome.moment.price * outcome.slack_p_mw * task.scenario.step_hours
    return -task.scenario.reward.price_weight * paid * jnp.asarray(task.layout.bus_share, float)


def _peak(task: Task, outcome: Outcome) -> Array:
    reward = task.scenario.reward
    above_mw = jnp.maximum(outcome.slack_p_mw - reward.peak_import_mw, 0.0)
    return -reward.peak_weight * above_mw * jnp.asarray(task.layout.bus_share, float)


def _loading(task: Task, outcome: Outcome) -> Array:
    config = task.scenario.loading
    assert task.limited is not None and outcome.loading_percent is not None  # there is a soft limit
    soft_percent = jnp.asarray(task.limited.soft_percent, outcome.loading_percent.dtype)
    above = jnp.maximum(outcome.loading_percent - soft_percent, 0.0) / 100.0
    cost = above if config.loading_barrier == "band" else above**2
    return -config.loading_weight * jnp.sum(cost) * jnp.asarray(task.layout.bus_share, float)


def _unbalance(task: Task, outcome: Outcome) -> Array:
    reward, buses = task.scenario.reward, task.feeder.nodes.three_phase_buses
    assert outcome.vuf_percent is not None  # the feeder has phases, or `make` refuses it
    above = jnp.maximum(outcome.vuf_percent - reward.unbalance_soft_percent, 0.0)
    owner = np.array([task.scenario.owner(bus) for bus in buses])
    owns = (owner == np.arange(task.n_agents)[:, None]).astype(float)
    return -reward.unbalance_weight * sums_by_agent(owns, above)


def _feeder_operations(task: Task, outcome: Outcome) -> Array:
    plan = plan_for(task.scenario, task.feeder)
    assert plan is not None and outcome.followed is not None  # the feeder follows its controls, or `make` refuses it
    moved = jnp.sum(operations(plan, outcome.followed))
    return -task.scenario.reward.feeder_operation_weight * moved * jnp.asarray(task.layout.bus_share, float)


SCENARIOS_OWN: dict[str, Term] = {
    "voltage": _voltage,
    "losses": _losses,
    "violation": _violation,
    "solar": _solar,
    "reactive": _reactive,
    "throughput": _throughput,
    "curtailment": _curtailment,
    "energy": _energy,
    "peak": _peak,
    "loading": _loading,
    "unbalance": _unbalance,
    "feeder_operations": _feeder_operations,
}


ADDED_TO_BY_DEVICES = ("solar", "reactive", "throughput", "curtailment")


def _of_devices(task: Task, outcome: Outcome, name: str, weight: float = 1.0) -> Array:
    """What devices add to a term, summed by agent, (n_agents,), 0 or more."""
    scenario, total = task.scenario, jnp.zeros(task.n_agents)
    for kind, cost in _costs(scenario):
        if cost.name == name:
            delivery = outcome.delivered.by_table[kind.table]
            amount = cost.amount(task.params(kind), delivery, weight, scenario.step_hours)
            total = total + sums_by_agent(task.layout.owns(kind.table), amount)
    return total


def _costs(scenario: Scenario) -> list[tuple[Kind, CostTerm]]:
    return [(kind, cost) for kind in scenario.kinds if scenario.of(kind) for cost in kind.costs]


def terms_of_devices(scenario: Scenario) -> set[str]:
    """Names of the terms that some device of the scenario asks for, whatever their weights are."""
    return {
        cost.name
        for kind, cost in _costs(scenario)
        if cost.priced is not None and any(map(cost.priced, scenario.of(kind)))
    }


def terms_of(task: Task) -> dict[str, Term]:
    """Terms that a task has, by name: the scenario's, its devices' own, and users'."""
    scenario, config = task.scenario, task.scenario.reward
    asked_for = terms_of_devices(scenario)
    weighted = {
        **{"voltage": True, "losses": True, "violation": True, "solar": config.solar_penalty},
        "reactive": config.reactive_weight > 0,
        "throughput": config.throughput_weight > 0,
        "curtailment": config.curtailment_weight > 0,
        "energy": config.price_weight > 0,
        "peak": config.peak_weight > 0,
        "unbalance": config.unbalance_weight > 0,
        "feeder_operations": config.feeder_operation_weight > 0,
        "loading": scenario.loading.loading_soft_percent is not None and scenario.loading.loading_weight > 0,
    }
    terms = {name: term for name, term in SCENARIOS_OWN.items() if weighted[name] or name in asked_for}
    of_kinds = [name for name in dict.fromkeys(cost.name for _, cost in _costs(scenario)) if name in asked_for]
    own = {name: partial(_own_term, name) for name in of_kinds if name not in terms}
    return terms | own | {name: partial(_users_term, name, term) for name, term in task.reward_terms}


def _users_term(name: str, term: Term, task: Task, outcome: Outcome) -> Array:
    value = jnp.asarray(term(task, outcome))
    if value.shape != (task.n_agents,) or not jnp.issubdtype(value.dtype, jnp.floating):
        expected = f"one number an agent, floats of shape ({task.n_agents},)"
        raise InputError(f"reward term {name!r} returns {value.dtype} of shape {value.shape}; expected {expected}")
    return value


def _own_term(name: str, task: Task, outcome: Outcome) -> Array:
    return -_of_devices(task, outcome, name)


def reward_terms(task: Task, outcome: Outcome) -> dict[str, Float[Array, " n_agents"]]:
    """Terms of every agent's local reward for one step."""
    return {name: term(task, outcome) for name, term in terms_of(task).items()}


def local_reward(
    scenario: Scenario, terms: dict[str, Float[Array, " n_agents"]], violated: Bool[Array, ""]
) -> Float[Array, " n_agents"]:
    """Each agent's own reward: the terms' sum; under `end_day` a violation leaves the penalty alone."""
    total = jnp.sum(jnp.stack(list(terms.values())), axis=0)
    if scenario.rules.on_violation == "end_day":
        return jnp.where(violated, terms["violation"], total)
    return total


def shared_reward(scenario: Scenario, local: Float[Array, " n_agents"]) -> Float[Array, " n_agents"]:
    """What the learners get: their own local reward, the team's mean, or something between."""
    sharing = scenario.reward.sharing
    if sharing == "local":
        return local
    mean = jnp.broadcast_to(jnp.mean(local), local.shape)
    return mean if sharing == "team" else local + scenario.reward.team_share * (mean - local)
