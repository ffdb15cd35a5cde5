"""What evolves, and what a step answers."""

from __future__ import annotations

from dataclasses import dataclass

import jax
from jax import Array

from neomflex_jax.environment.step.disturbances import Today
from neomflex_jax.one_line import one_line


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class State:
    """One copy of the environment."""

    key: Array  # () PRNG key for the next day's draw
    day_row: Array  # () int32 row of the profiles where the day starts
    step: Array  # () int32 steps made today
    battery_soc: Array  # (n_battery,) fraction of the capacity
    battery_p_mw: Array  # (n_battery,) of the last step, for ramps
    load_owed_mwh: Array  # (n_flexible,) consumption that was deferred and not caught up
    day_battery_soc: Array  # (n_battery,) as the day began
    day_load_owed_mwh: Array  # (n_flexible,) as the day began
    violated: Array  # () bool: the last step broke a hard limit
    history: Array  # (history - 1, n_values) what could be measured before, the newest first
    today: Today  # what the day drew at random

    __repr__ = one_line


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class TimeStep:
    """The answer of `reset` and `step`. Padded entries are 0."""

    observation: Array  # (n_agents, observation_size)
    reward: Array  # (n_agents,) what the learners get
    terminated: Array  # () bool: ended by the task
    truncated: Array  # () bool: ended by the clock
    final_observation: Array  # successor of the action before any auto-reset; bootstrap from this one
    info: dict[str, Array]

    __repr__ = one_line
