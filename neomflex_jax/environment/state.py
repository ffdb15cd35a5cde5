"""What evolves, and what a step answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
from jax import Array
from jaxtyping import Bool, Float, Int

from neomflex_jax.devices.device import Store
from neomflex_jax.environment.step.disturbances import Today
from neomflex_jax.environment.step.info import StepInfo
from neomflex_jax.one_line import one_line


class LastStep(NamedTuple):
    """What the next day's first observation takes from the day before: the grid that its last step left."""

    vm_pu: Float[Array, "... n_node"]  # finite
    loading_percent: Float[Array, "... n_limited"] | None  # finite; None without limits of loading
    history: Float[Array, "... n_earlier n_values"]  # what could be measured before it, newest first


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class State:
    """One copy of the environment; what devices hold goes by the table of their kind."""

    key: Array  # () PRNG key for the next day's draw
    day_row: Int[Array, " ..."]  # row of the profiles where the day starts
    step: Int[Array, " ..."]  # steps made today
    stores: dict[str, Store]  # what devices hold
    day_stores: dict[str, Store]  # as the day began, for a day that is played again
    violated: Bool[Array, " ..."]  # the last step broke a hard limit
    history: Float[Array, "... n_earlier n_values"]  # what could be measured before, newest first
    today: Today  # what the day drew at random
    last_step: LastStep | None = None  # None where the rules carry no grid into the next day

    __repr__ = one_line


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class TimeStep:
    """The answer of `reset` and `step`. Padded entries are 0."""

    observation: Float[Array, "... n_rows observation_size"]  # a row an agent, unless a learner has them packed
    reward: Float[Array, "... n_agents"]  # what the learners get
    terminated: Bool[Array, " ..."]  # ended by the task
    truncated: Bool[Array, " ..."]  # ended by the clock
    final_observation: Float[Array, "... n_rows observation_size"]  # the action's; bootstrap from it
    info: StepInfo

    __repr__ = one_line
