"""A learner inside a loop of updates: parameters and their moments as rows (`agents/rows.py`), critics stacked.

Between loops, in checkpoints and for whoever asks, a learner is `LearnerState`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import optax
from jax import Array

from neomflex_jax.agents.muon import Matrices
from neomflex_jax.agents.optimiser import Params, Vectors, ravelled, unravelled
from neomflex_jax.agents.rows import Rows
from neomflex_jax.agents.sac.cost_critics import CostCritic
from neomflex_jax.agents.sac.critics import Critics
from neomflex_jax.agents.sac.state import LearnerState


class Flat(NamedTuple):
    """What an update changes."""

    actor: Vectors  # (n_groups, n_row, width) each
    averaged_actor: Array
    critic: Vectors  # (n_critics, 2 or 3, n_row, width) each
    target_critic: Array
    log_temperature: Vectors  # (n_agents, 1) each
    cost_critics: dict[str, CostCritic]


class Flattening:
    """Makes rows of a state, and states of rows."""

    def __init__(self, state: LearnerState, critics: Critics) -> None:
        self.state, self._critics = state, critics
        self.actor_rows = Rows.of(state.actor, 1)
        self.critic_rows = Rows.of(jax.eval_shape(critics.together, state.critic), 2)
        width = max(critics.config.hidden_sizes)
        self.actor_matrices = Matrices(self.actor_rows.parted, self.actor_rows.joined, width)
        self.critic_matrices = Matrices(self.critic_rows.parted, self.critic_rows.joined, width)

    def start(self) -> Flat:
        """Return the state's rows."""
        state = self.state
        temperature: Any = state.temperature_optimiser
        actor = self._vectors(state.actor, state.actor_optimiser, self.actor_rows.joined)
        critic = self._vectors(state.critic, state.critic_optimiser, self._joined_critics)
        log_temperature = Vectors(state.log_temperature[:, None], temperature.mu, temperature.nu)
        averaged, target = self.actor_rows.joined(state.averaged_actor), self._joined_critics(state.target_critic)
        return Flat(actor, averaged, critic, target, log_temperature, state.cost_critics)

    def whole(self, flat: Flat, n_updates: Array | int) -> LearnerState:
        """Return the state after so many updates but for the moments, its critics stacked."""
        return replace(
            self.state,
            actor=self.actor_rows.parted(flat.actor.values),
            averaged_actor=self.actor_rows.parted(flat.averaged_actor),
            critic=self.critic_rows.parted(flat.critic.values),
            target_critic=self.critic_rows.parted(flat.target_critic),
            log_temperature=flat.log_temperature.values[:, 0],
            updates=self.state.updates + n_updates,
            cost_critics=flat.cost_critics,
        )

    def kept(self, flat: Flat, n_updates: int) -> LearnerState:
        """Return the state after so many updates."""
        state, whole = self.state, self.whole(flat, n_updates)

        def moments(before: Any, vectors: Vectors, parted: Any) -> optax.OptState:
            mean, square = (ravelled(parted(rows)) for rows in vectors[1:])
            return optax.ScaleByAdamState(before.count + n_updates, mean, square)

        def critics(rows: Array) -> Params:
            return self._critics.apart(self.critic_rows.parted(rows))

        return replace(
            whole,
            critic=self._critics.apart(whole.critic),
            target_critic=self._critics.apart(whole.target_critic),
            actor_optimiser=moments(state.actor_optimiser, flat.actor, self.actor_rows.parted),
            critic_optimiser=moments(state.critic_optimiser, flat.critic, critics),
            temperature_optimiser=moments(state.temperature_optimiser, flat.log_temperature, lambda rows: rows),
        )

    def _joined_critics(self, params: Params) -> Array:
        return self.critic_rows.joined(self._critics.together(params))

    def _vectors(self, params: Params, moments: Any, joined: Any) -> Vectors:
        mean, square = (joined(unravelled(params, each)) for each in (moments.mu, moments.nu))
        return Vectors(joined(params), mean, square)
