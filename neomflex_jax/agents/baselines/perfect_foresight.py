"""The cheapest operation of a span of days, all of them known beforehand: the yardstick of yardsticks.

``min over the plan of  sum over all steps of -(sum of the local rewards)``  with energies carried over the whole span,
by projected gradients on the energies after every step and on all other controls (`descent.py`), in AC. The energy
left at the end has no value, as for everybody on the same days.

What it is: a feasible plan, so a cost that can be reached; and a local optimum of a nonconvex problem, so no proven
bound. Three figures say how near to one it comes. Plans from other starts: their costs agree where the valley is one.
The residual: ``max over plans y of <g, z - y>``, with the plan ``z`` and the gradient ``g`` averaged over the last
iterations and ``y`` free in all windows, power limits left out. It is the most that any plan could save per day if cost
were linear, and no less than what is left if it is convex near the plan: the gap of M. Frank and P. Wolfe, Naval
Research Logistics 3, 1956, with subgradients averaged as in Y. Nesterov, Mathematical Programming 120, 2009, because
one gradient at a kink says nothing. And the plan is played forward, step by step, by whoever records it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax import Array

from neomflex_jax.agents.baselines.descent import Descended, Descent, descend, foresee
from neomflex_jax.agents.baselines.energies import idle_plan
from neomflex_jax.environment.dispatch import Stores
from neomflex_jax.one_line import one_line

if TYPE_CHECKING:
    from neomflex_jax.environment import Environment, State

SEARCH = Descent(n_iterations=1500)
SETTLE = Descent(n_iterations=200, first_rate=1e-4, last_rate=5e-5)


@dataclass(frozen=True)
class Optimum:
    """The best plan found, and how sure one can be of it; costs are means of a day."""

    action: Array  # (n_days x steps_per_day, n_agents, action_size)
    day_cost: Array  # (n_days,)
    residual: float
    starts: tuple[float, ...]  # cost that each start led to

    __repr__ = one_line

    @property
    def mean_day_cost(self) -> float:
        """Mean cost of a day."""
        return float(jnp.mean(self.day_cost))


def find_optimum(
    env: Environment,
    n_days: int | None = None,
    *,
    n_starts: int = 1,
    seed: int = 0,
    search: Descent = SEARCH,
    settle: Descent = SETTLE,
) -> Optimum:
    """Find the cheapest operation of the first days of an environment.

    Parameters
    ----------
    env
        As from `evaluation_environment`: days in file order, nothing random. Its own power flow is the one in the cost.
    n_days
        None takes all.
    n_starts
        The first is idle devices, the others are random plans from `seed`.
    search, settle
        The descent from every start, and the one from the best plan that the residual is averaged over.
    """
    n_steps = (env.profiles.n_days if n_days is None else n_days) * env.scenario.steps_per_day
    start = env.reset(jax.random.key(0))[0]
    stores = Stores(start.battery_soc, start.battery_p_mw, start.load_owed_mwh)
    idle = idle_plan(env, stores, n_steps)
    keys = jax.random.split(jax.random.key(seed), max(n_starts - 1, 1))
    others = [jax.random.uniform(key, idle.shape, minval=-1.0) for key in keys[: n_starts - 1]]
    found = [_descend(env, start, plan, search) for plan in (idle, *others)]
    costs = [float(jnp.sum(_outcome(env, start, each.plan)[0])) for each in found]
    best = found[costs.index(min(costs))].plan
    settled = _descend(env, start, best, settle)
    n_days = n_steps // env.scenario.steps_per_day
    gap = settled.mean_product + jnp.sum(jnp.abs(settled.mean_gradient))
    cost, action = _outcome(env, start, settled.plan)
    return Optimum(
        action=action,
        day_cost=jnp.sum(cost.reshape(n_days, -1), axis=1),
        residual=float(gap) / n_days,
        starts=tuple(cost / n_days for cost in costs),
    )


@jax.jit
def _descend(env: Environment, start: State, plan: Array, config: Descent) -> Descended:
    return descend(env, start, plan, config)


@jax.jit
def _outcome(env: Environment, start: State, plan: Array) -> tuple[Array, Array]:
    ahead = foresee(env, start, plan)
    return ahead.cost, ahead.action
