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

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.environment import Environment, State
from neomflex_jax.one_line import one_line
from neomflex_jax.yardsticks.descent import Descending, Descent, begin, ended, foresee, go_on
from neomflex_jax.yardsticks.energies import idle_plan

SEARCH = Descent(n_iterations=1500)
SETTLE = Descent(n_iterations=200, first_rate=1e-4, last_rate=5e-5)
PIECE = 10  # iterations between two looks at the clock; starting a piece takes as long as one on a small grid


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


class Keeper(Protocol):
    """Where a search leaves how far it has come, and another one takes up from there."""

    def save(self, standing: Standing) -> None:
        """Keep it, or not if something was kept a moment ago."""
        ...

    def load(self, template: Standing) -> Standing | None:
        """Return what was saved, if it has the shapes and types of `template`, else None."""
        ...


class Standing(NamedTuple):
    """How far a search has come; its stages are the descents from every start, then the one from the best plan."""

    stage: np.ndarray  # () int32
    plans: Array  # (n_starts, n, n_control) found before this stage; starts from there on
    descending: Descending


def find_optimum(
    env: Environment,
    n_days: int | None = None,
    *,
    n_starts: int = 1,
    seed: int = 0,
    search: Descent = SEARCH,
    settle: Descent = SETTLE,
    on_iterations: Callable[[int, int], None] | None = None,
    keeper: Keeper | None = None,
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
    on_iterations
        Told now and then how many iterations of how many are made.
    keeper
        Keeps how far this has come, for another call with equal arguments.
    """
    n_days = env.profiles.n_days if n_days is None else n_days
    begun = _begin(env, n_days * env.scenario.steps_per_day, n_starts, seed, search)
    work = _Work(env, n_starts * search.n_iterations + settle.n_iterations, on_iterations, keeper)
    standing: Standing | None = None if keeper is None else keeper.load(begun)
    standing = begun if standing is None else standing
    while (stage := int(standing.stage)) < n_starts:
        found = work.finish(standing, search, stage * search.n_iterations).descending.plan
        plans = jnp.asarray(standing.plans).at[stage].set(found)
        following = plans[stage + 1] if stage + 1 < n_starts else plans[jnp.argmin(work.costs(plans))]
        standing = Standing(np.asarray(stage + 1, np.int32), plans, begin(following, search))
    costs = work.costs(standing.plans)
    settled = ended(work.finish(standing, settle, n_starts * search.n_iterations).descending)
    gap = settled.mean_product + jnp.sum(jnp.abs(settled.mean_gradient))
    cost, action = _outcome(env, work.start, settled.plan)
    return Optimum(
        action=action,
        day_cost=jnp.sum(cost.reshape(n_days, -1), axis=1),
        residual=float(gap) / n_days,
        starts=tuple(float(cost) / n_days for cost in costs),
    )


def _begin(env: Environment, n_steps: int, n_starts: int, seed: int, search: Descent) -> Standing:
    """Return a search before its first iteration."""
    start = env.reset(jax.random.key(0))[0]
    idle = idle_plan(env, start.stores, n_steps)
    keys = jax.random.split(jax.random.key(seed), max(n_starts - 1, 1))
    plans = jnp.stack([idle, *(jax.random.uniform(key, idle.shape, minval=-1.0) for key in keys[: n_starts - 1])])
    return Standing(np.zeros((), np.int32), plans, begin(idle, search))


@dataclass(frozen=True)
class _Work:
    """Descents in pieces, watched and kept."""

    env: Environment
    n_iterations: int  # of all descents together
    on_iterations: Callable[[int, int], None] | None
    keeper: Keeper | None

    @cached_property
    def start(self) -> State:
        return self.env.reset(jax.random.key(0))[0]

    def finish(self, standing: Standing, config: Descent, made_before: int) -> Standing:
        """Make the iterations that this stage has left."""
        n = config.n_iterations
        while (made := int(standing.descending.iteration)) < n:
            if self.on_iterations is not None:
                self.on_iterations(made_before + made, self.n_iterations)
            until = np.asarray(min(made + PIECE, n), np.int32)
            further = _go_on(self.env, self.start, standing.descending, config, until, n)
            standing = standing._replace(descending=further)
            if self.keeper is not None:
                self.keeper.save(standing)
        return standing

    def costs(self, plans: Array) -> Array:
        """Return the cost of every plan, (n_starts,)."""
        return jnp.stack([jnp.sum(_outcome(self.env, self.start, plan)[0]) for plan in plans])


@jax.jit
def _go_on(
    env: Environment, start: State, descending: Descending, config: Descent, until: Array, n_iterations: int
) -> Descending:
    return go_on(env, start, descending, config, until, jnp.asarray(n_iterations))


@jax.jit
def _outcome(env: Environment, start: State, plan: Array) -> tuple[Array, Array]:
    ahead = foresee(env, start, plan)
    return ahead.cost, ahead.action
