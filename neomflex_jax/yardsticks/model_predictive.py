"""Central model-predictive control with a persistence forecast: the optimum of the next day, found anew every step.

At every step a plan for `horizon` steps ahead is improved by a few iterations from where the last plan ended, moved on
by a step (`descent.py`); its first row is played on the true rows. The present row is known. Later rows are forecast to
be as the same time of the latest day that is known by then, and on the first day as the present row. The model is the
environment itself, with its own power flow; energy left at the horizon's end has no value.

The warm start makes few iterations enough: every row of a plan has been improved `horizon` times before it is played.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int

from neomflex_jax.environment import Environment, State
from neomflex_jax.yardsticks.descent import Descent, descend
from neomflex_jax.yardsticks.energies import action_towards, idle_plan

FIRST_ITERATIONS = 300  # before the first step, from a plan that does nothing
Memory: TypeAlias = tuple[Float[Array, "horizon n_control"], Int[Array, ""]]  # a plan, and the iterations it gets next
EVERY_STEP = Descent(n_iterations=30, first_rate=0.03, last_rate=0.002, momentum=0.5)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class ModelPredictive:
    """The controller; `horizon` counts steps."""

    horizon: int = field(default=48, metadata={"static": True})
    config: Descent = field(default=EVERY_STEP, metadata={"static": True})

    def start(self, env: Environment) -> Memory:
        """Return a plan that does nothing, and the iterations to make up for it."""
        state = env.reset(jax.random.key(0))[0]
        return idle_plan(env, state.stores, self.horizon), jnp.asarray(FIRST_ITERATIONS, jnp.int32)

    def act(
        self, env: Environment, state: State, observation: Float[Array, "n_agents observation_size"], memory: Memory
    ) -> tuple[Float[Array, "n_agents action_size"], Memory]:
        """Return the first row of the improved plan as actions, and the rest of it."""
        model = forecast(env, state.day_row + state.step, self.horizon)
        plan = descend(model, state, memory[0], self.config, memory[1]).plan
        moved_on = jnp.roll(plan, -1, axis=0)
        return action_towards(env, state.stores, plan[0]), (
            moved_on,
            jnp.asarray(self.config.n_iterations, jnp.int32),
        )


def forecast(env: Environment, now: Array, horizon: int) -> Environment:
    """Return the environment with every row after `now` forecast, and with `horizon` rows beyond the last."""
    steps_per_day, profiles = env.scenario.steps_per_day, env.profiles
    row = jnp.arange(profiles.n_rows + horizon)
    days_back = jnp.maximum(-((now - row) // steps_per_day), 0)
    source = row - steps_per_day * days_back
    source = jnp.where(source < 0, now, source)

    return replace(env, profiles=profiles.rows(source))
