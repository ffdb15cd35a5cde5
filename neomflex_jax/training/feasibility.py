"""Whether limits can be kept at all, as far as a plan can say: one made for that alone, by model-predictive control.

Its only cost is the square of what lies beyond the hard limits, drawn in by a margin. It plays a few days of the
training, each after the day before it, by which it forecasts (`yardsticks/model_predictive.py`), and the steps that
break constraints all the same are counted; `band` is not among them, for the plan draws the band in. Another plan
could break fewer: what this one says is a doubt, not a proof.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
from jax import Array
from jaxtyping import PyTree

from neomflex_jax.environment import AutoReset, Environment, State
from neomflex_jax.environment.limited_branches import limited_branches
from neomflex_jax.environment.make import evaluation_scenario
from neomflex_jax.scenario import Scenario
from neomflex_jax.scenario.reward import RewardConfig
from neomflex_jax.training.comparison import of_days, spread_days
from neomflex_jax.training.constraints import Constraints
from neomflex_jax.yardsticks import ModelPredictive
from neomflex_jax.yardsticks.descent import Descent

DAYS = 2
MARGIN_PU, MARGIN_PERCENT = 0.01, 5.0  # that the plan aims to keep from hard limits
PLAN = Descent(n_iterations=20, first_rate=0.1, last_rate=0.01, momentum=0.5)
HORIZON_HOURS = 12
MOST_NODES = 500  # of a feeder; on larger ones the plan would take minutes, and nothing is said


def doubt(env: Environment, constraints: Constraints) -> str:
    """Return a sentence on the limits that the plan breaks; empty if it keeps them all, or none was made."""
    constraints = Constraints(tuple(limit for limit in constraints.limits if limit[0] != "band"))
    if env.feeder.n_node > MOST_NODES or not constraints.limits:
        return ""
    days = spread_days(env.profiles.n_days, DAYS)
    with_days_before = np.stack([np.maximum(days - 1, 0), days], axis=1).ravel()
    planned = _for_limits_alone(of_days(env, with_days_before))
    horizon = max(1, min(round(HORIZON_HOURS / env.scenario.step_hours), env.profiles.n_rows))
    broken = _played(planned, ModelPredictive(horizon, PLAN), constraints)
    beyond = [
        f"{name} in {100 * float(broken[name]):.3g} % of the steps, and its limit is {100 * limit:g} %"
        for name, limit in constraints.limits
        if float(broken[name]) > limit
    ]
    if not beyond:
        return ""
    on = f"training days {', '.join(map(str, days.tolist()))}"
    return (
        f"a model-predictive plan that minimises nothing else breaks {'; '.join(beyond)} (on {on}): limits may be "
        "impossible here; widen them, or give the agents more to act with"
    )


def _for_limits_alone(env: Environment) -> Environment:
    """Return the environment with what lies beyond its hard limits as the only cost; limits and days stay."""
    scenario = evaluation_scenario(env.scenario)
    limits, loading = scenario.limits, scenario.loading
    margin_pu = min(MARGIN_PU, (limits.hard_max_pu - limits.hard_min_pu) / 4)
    low, high = limits.hard_min_pu + margin_pu, limits.hard_max_pu - margin_pu
    squared = "courant_beltrami"
    aimed: Scenario = replace(
        scenario,
        limits=replace(limits, band_min_pu=low, band_max_pu=high),
        reward=RewardConfig(voltage_barrier=squared, loss_weight=0.0, violation_penalty=0.0),
    )
    hard_percent = [*loading.branch_limits.values()]
    hard_percent += [] if loading.loading_hard_percent is None else [loading.loading_hard_percent]
    if hard_percent:
        soft = max(min(hard_percent) - MARGIN_PERCENT, min(hard_percent) / 2)
        limited = replace(loading, loading_soft_percent=soft, loading_barrier=squared, loading_penalty=0.0)
        aimed = replace(aimed, loading=limited)
    return replace(env, scenario=aimed, limited=limited_branches(aimed, env.feeder), reward_terms=())


@jax.jit
def _played(env: Environment, plan: ModelPredictive, constraints: Constraints) -> dict[str, Array]:
    """Return the shares of steps that a plan breaks constraints in, by name, of every second day."""
    copy = AutoReset(env)

    def step(carry: tuple[State, Array, PyTree], _: None) -> tuple[tuple[State, Array, PyTree], dict[str, Array]]:
        state, observation, memory = carry
        action, memory = plan.act(env, state, observation, memory)
        state, timestep = copy.step(state, action)
        return (state, timestep.observation, memory), constraints.broken(env, timestep)

    state, first = copy.reset(jax.random.key(0))
    carry = (state, first.observation, plan.start(env))
    broken = jax.lax.scan(step, carry, None, length=env.profiles.n_rows)[1]
    by_day = (-1, 2, env.scenario.steps_per_day)
    return {name: each.reshape(by_day)[:, 1].mean() for name, each in broken.items()}
