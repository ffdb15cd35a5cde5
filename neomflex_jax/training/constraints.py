"""The constraints of a training: shares of steps that may break them, measured in play and paid for by multipliers.

A step breaks a constraint where its cost (`environment/step/constraint_costs.py`), summed over the agents, is above 0.
A training without constraints has an empty `Constraints`, all of whose figures and multipliers are empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

from neomflex_jax.agents.multipliers import Multiplier, ascended, stand_in, unpriced
from neomflex_jax.agents.optimiser import mean_over_devices
from neomflex_jax.environment import Environment, TimeStep
from neomflex_jax.environment.step.constraint_costs import COUNTED_ABOVE
from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.training.step_metrics import Metrics, Values

FIGURES = ("limit", "share", "cost", "multiplier")  # of each constraint, in metrics
Multipliers = dict[str, Multiplier]  # by constraint


@jax.tree_util.register_static
@dataclass(frozen=True)
class Constraints:
    """Names and limits; static and hashable."""

    limits: tuple[tuple[str, float], ...] = ()  # share of steps that may break it, by name

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(name for name, _ in self.limits)

    def start(self) -> Multipliers:
        """Return the multipliers before learning."""
        return {name: unpriced() for name in self.names}

    def costs(self, env: Environment, timestep: TimeStep) -> dict[str, Float[Array, " *n_copies"]]:
        """Return the team's constraint costs of a step, by name."""
        by_name = {name: env.constraint_names.index(name) for name in self.names}
        return {name: timestep.info["constraint_cost"][..., at].sum(axis=-1) for name, at in by_name.items()}

    def broken(self, env: Environment, timestep: TimeStep) -> dict[str, Float[Array, " *n_copies"]]:
        """Return 1 where a step breaks a constraint, else 0, by name."""
        costs = self.costs(env, timestep)
        return {name: (cost > COUNTED_ABOVE[name]).astype(cost.dtype) for name, cost in costs.items()}

    def metrics(self, env: Environment, timestep: TimeStep) -> Metrics:
        """Return each constraint's mean cost and share of steps that break it; `timestep` has an axis of copies."""
        costs, broken = self.costs(env, timestep), self.broken(env, timestep)
        return {_name(name, "cost"): cost.mean() for name, cost in costs.items()} | {
            _name(name, "share"): each.mean() for name, each in broken.items()
        }

    def priced(self, cost: Array, metrics: Metrics, multipliers: Multipliers, n_steps: int) -> Array:
        """Add to a cost over `n_steps` what broken constraints cost in as many; metrics have an axis of steps."""
        total = cost
        for name in self.names:
            share, own = metrics[_name(name, "share")].mean(), metrics[_name(name, "cost")].mean()
            price = multipliers[name].value * jnp.abs(lax.stop_gradient(cost))
            total = total + n_steps * price * stand_in(own, share)
        return total

    def ascended(
        self, multipliers: Multipliers, metrics: Metrics, n_steps: int, scale: Array | float, mesh_axis: str | None
    ) -> tuple[Multipliers, Metrics]:
        """Return the multipliers after `n_steps` steps of `metrics`, and metrics with limits and prices of a break."""
        after, metrics = dict(multipliers), dict(metrics)
        for name, limit in self.limits:
            share = mean_over_devices(metrics[_name(name, "share")], mesh_axis)
            after[name] = ascended(multipliers[name], share, n_steps, limit)
            metrics[_name(name, "limit")] = jnp.asarray(limit, float)
            metrics[_name(name, "multiplier")] = multipliers[name].value * mean_over_devices(jnp.abs(scale), mesh_axis)
        return after, metrics


UNCONSTRAINED = Constraints()


def constraints_of(env: Environment, limits: Mapping[str, float]) -> Constraints:
    """Bind the limits that options state to a task.

    Raises
    ------
    InputError
        If the task has no such constraint, or defines no cost for it.
    """
    for name in limits:
        if name not in COUNTED_ABOVE:
            raise unknown_name("constraint", name, COUNTED_ABOVE)
    hard_percent = () if env.limited is None else env.limited.hard_percent
    if "loading" in limits and not np.isfinite(hard_percent).any():
        raise InputError(
            f"constraint 'loading': scenario {env.scenario.name!r} has no hard limit of what branches carry; set "
            "loading_hard_percent or branch_limits in its [loading]"
        )
    return Constraints(tuple(limits.items()))


def constraints_at_the_end(values: Values, limits: Mapping[str, float], index: int) -> dict[str, dict[str, float]]:
    """Return each constraint's figures of a chunk, by name, of one of several seeds; empty before any chunk."""
    return {
        name: {figure: float(values[_name(name, figure)][index]) for figure in FIGURES}
        for name in limits
        if _name(name, FIGURES[0]) in values
    }


def _name(constraint: str, figure: str) -> str:
    return f"constraint_{constraint}_{figure}"
