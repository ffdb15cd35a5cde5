"""What learning changes, as checkpoints keep it; inside a loop of updates it is that of `flat.py`."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import optax
from jax import Array

from neomflex_jax.agents.actors import Statistics
from neomflex_jax.agents.multipliers import Multiplier
from neomflex_jax.agents.optimiser import Params
from neomflex_jax.agents.sac.config import Settings
from neomflex_jax.agents.sac.cost_critics import CostCritic
from neomflex_jax.one_line import one_line


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class LearnerState:
    """Everything that learning changes; leading axis n_agents."""

    actor: Params
    averaged_actor: Params  # moving average of `actor`: the trained policy
    critic: Params  # see `Critics.init`
    target_critic: Params
    log_temperature: Array  # (n_agents,)
    actor_optimiser: optax.OptState
    critic_optimiser: optax.OptState
    temperature_optimiser: optax.OptState
    updates: Array  # () int32 made so far
    statistics: Statistics
    measured_scale: Array  # (n_agents,) of rewards, from the warm-up; settings may have another
    settings: Settings  # do not change in a run
    cost_critics: dict[str, CostCritic] = field(default_factory=dict)  # by constraint
    multipliers: dict[str, Multiplier] = field(default_factory=dict)  # likewise

    __repr__ = one_line
