"""Independent SAC learners side by side: every array carries a leading agent axis, every function is vmapped over it.

Agents share nothing but the transitions they learn from, unless their actors are shared. With `joint` critics, an
agent's critic sees everyone's observations and actions in training; actors never see more than their own observation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from neomflex_jax.agents import optimiser
from neomflex_jax.agents.actors import Actors, Statistics, statistics_of
from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.agents.optimiser import Params, decayed, mean_over_devices
from neomflex_jax.agents.sac.config import SacConfig, Settings, settings_of
from neomflex_jax.agents.sac.critic import Critic
from neomflex_jax.agents.sac.distribution import sample
from neomflex_jax.agents.sac.losses import actor_loss, critic_loss, soft_target, temperature_loss
from neomflex_jax.agents.sac.replay_buffer import Batch


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class LearnerState:
    """Everything that learning changes; leading axis n_agents."""

    actor: Params
    averaged_actor: Params  # moving average of `actor`: the trained policy
    critic: Params  # (n_agents, 2, ...): twins
    target_critic: Params
    log_temperature: Array  # (n_agents,)
    actor_optimiser: optax.OptState
    critic_optimiser: optax.OptState
    temperature_optimiser: optax.OptState
    updates: Array  # () int32 made so far
    statistics: Statistics
    settings: Settings  # do not change in a run


@dataclass(frozen=True)
class Sac:
    """Binds sizes and settings; holds no state and is hashable, so equal ones share a compilation."""

    config: SacConfig
    observation_sizes: tuple[int, ...]  # real entries of each agent; padding comes after them
    action_sizes: tuple[int, ...]
    mesh_axis: str | None = None  # devices over which a batch is spread; gradients are averaged over them

    @cached_property
    def actors(self) -> Actors:
        """The actors' sizes and functions."""
        config, sizes = self.config, (self.observation_sizes, self.action_sizes)
        return Actors(config.hidden_sizes, *sizes, activation=config.activation, shared=config.share_actor)

    @property
    def n_agents(self) -> int:
        """Number of agents."""
        return self.actors.n_agents

    @property
    def observation_mask(self) -> np.ndarray:
        """True where an observation entry is real, (n_agents, observation_size)."""
        return self.actors.observation_mask

    @property
    def action_mask(self) -> np.ndarray:
        """True where an action entry is real, (n_agents, action_size)."""
        return self.actors.action_mask

    @cached_property
    def _critic(self) -> Critic:
        return Critic(self.config.hidden_sizes, self.config.layer_norm_critics)

    def init(self, key: Array, settings: Settings | None = None) -> LearnerState:
        """Start with fresh networks; None takes the configuration's settings."""
        settings = settings_of(self.config) if settings is None else settings
        actor_key, critic_key = jax.random.split(key)
        actor = self.actors.init(actor_key)
        init_critic: Any = self._critic.init
        inputs = jnp.zeros((self.n_agents, self.actors.input_size))
        size = self._critic_inputs(inputs, jnp.zeros(self.action_mask.shape)).shape[-1]
        twins: Any = jax.vmap(lambda k: init_critic(k, jnp.zeros(size)))
        critic = jax.vmap(lambda k: twins(jax.random.split(k)))(jax.random.split(critic_key, self.n_agents))
        log_temperature = jnp.full(self.n_agents, jnp.log(self.config.initial_temperature), float)
        return LearnerState(
            actor=actor,
            averaged_actor=actor,
            critic=critic,
            target_critic=critic,
            log_temperature=log_temperature,
            actor_optimiser=optimiser.start(actor),
            critic_optimiser=optimiser.start(critic),
            temperature_optimiser=optimiser.start(log_temperature),
            updates=jnp.zeros((), jnp.int32),
            statistics=self.actors.no_statistics(),
            settings=settings,
        )

    def with_statistics(self, state: LearnerState, observations: Array) -> LearnerState:
        """Fix the observation normalisation from (n_samples, n_agents, observation_size), once, after the warm-up."""
        if not self.config.normalise_observations:
            return state
        statistics = mean_over_devices(statistics_of(observations), self.mesh_axis)
        return replace(state, statistics=statistics)

    def with_networks(self, state: LearnerState, networks: Sequence[ActorNetwork], key: Array) -> LearnerState:
        """Start from given policies, with their normalisation; see `Actors.from_networks`."""
        actor, statistics = self.actors.from_networks(networks, key)
        return replace(state, actor=actor, averaged_actor=actor, statistics=statistics)

    def act(self, state: LearnerState, observation: Array, key: Array) -> Array:
        """Sample actions for (..., n_agents, observation_size)."""
        mean, log_std = self.actors.apply(state.actor, self.actors.inputs(state.statistics, observation))
        return sample(mean, log_std, jnp.asarray(self.action_mask), jax.random.normal(key, mean.shape))[0]

    def update(
        self, state: LearnerState, batch: Batch, key: Array, share: Array | float = 0.0
    ) -> tuple[LearnerState, dict[str, Array]]:
        """Make one gradient step of every critic, actor and temperature on a batch (batch, ...).

        `share` of the run's budget, 0..1, is what the learning rate's decay goes by.
        """
        settings, pooled = state.settings, self.actors.pooled
        observation = self.actors.inputs(state.statistics, batch.observation)
        next_observation = self.actors.inputs(state.statistics, batch.next_observation)
        batch = replace(
            batch, observation=observation, next_observation=next_observation, action=batch.action * self.action_mask
        )
        noise, next_noise = jax.random.normal(key, (2, *batch.action.shape))
        decay = decayed(self.config.learning_rate_decay, share)
        rate, max_norm = settings.learning_rate * decay, settings.max_gradient_norm

        critic_losses, gradients = self._critic_gradients(state, batch, next_noise)
        gradients = mean_over_devices(gradients, self.mesh_axis)
        critic, critic_moments = optimiser.apply(gradients, state.critic_optimiser, state.critic, rate, max_norm)

        actor_losses, log_probability, gradients = self._actor_gradients(state, critic, observation, noise)
        gradients = mean_over_devices(pooled(gradients), self.mesh_axis)
        actor, actor_moments = optimiser.apply(gradients, state.actor_optimiser, state.actor, rate, max_norm)

        # the target entropy counts real action dimensions only
        target_entropy = settings.target_entropy_per_action * jnp.asarray(self.action_sizes)
        gradients = jax.vmap(jax.grad(temperature_loss))(state.log_temperature, log_probability, target_entropy)
        gradients = mean_over_devices(gradients, self.mesh_axis)
        temperature_rate = settings.temperature_learning_rate * decay
        log_temperature, temperature_moments = optimiser.apply(
            gradients, state.temperature_optimiser, state.log_temperature, temperature_rate
        )
        average = jnp.maximum(settings.actor_average, 1.0 / (state.updates + 1))  # a plain mean at first
        updated = replace(
            state,
            actor=actor,
            averaged_actor=optax.incremental_update(actor, state.averaged_actor, average),
            updates=state.updates + 1,
            critic=critic,
            target_critic=optax.incremental_update(critic, state.target_critic, settings.tau),
            log_temperature=log_temperature,
            actor_optimiser=actor_moments,
            critic_optimiser=critic_moments,
            temperature_optimiser=temperature_moments,
        )
        metrics = {
            "critic_loss": critic_losses,
            "actor_loss": actor_losses,
            "entropy": -log_probability.mean(axis=-1),
            "temperature": jnp.exp(state.log_temperature),
        }
        return updated, mean_over_devices(metrics, self.mesh_axis)

    def _critic_gradients(self, state: LearnerState, batch: Batch, noise: Array) -> tuple[Array, Params]:
        """Losses (n_agents,) and gradients of the twin critics, against everyone's next actions."""
        next_action, next_log_probability = self._sample(state.actor, batch.next_observation, noise)

        def one_agent(
            critic: Params, target: Params, inputs: Array, next_inputs: Array, reward: Array, log_p: Array, temp: Array
        ) -> tuple[Array, Params]:
            reward, next_values = state.settings.reward_scale * reward, self._twins(target, next_inputs)
            soft = soft_target(reward, batch.discount, next_values, log_p, temp)
            return jax.value_and_grad(critic_loss)(critic, self._twins, inputs, soft)

        return jax.vmap(one_agent, in_axes=(0, 0, -2, -2, -1, -1, 0))(
            state.critic,
            state.target_critic,
            self._critic_inputs(batch.observation, batch.action),
            self._critic_inputs(batch.next_observation, next_action),
            batch.reward,
            next_log_probability,
            jnp.exp(state.log_temperature),
        )

    def _actor_gradients(
        self, state: LearnerState, critic: Params, observation: Array, noise: Array
    ) -> tuple[Array, Array, Params]:
        """Losses (n_agents,), log-probabilities (n_agents, batch) and gradients of the actors.

        Each agent's own action is differentiated; the others' are what their policies do now.
        """
        others_action = jax.lax.stop_gradient(self._sample(state.actor, observation, noise)[0])

        def one_agent(
            actor: Params, critic: Params, own: Array, observation_i: Array, mask_i: Array, noise_i: Array, temp: Array
        ) -> tuple[tuple[Array, Array], Params]:
            def value(action: Array) -> Array:
                joint = jnp.where(own[:, None], action[:, None, :], others_action)
                return self._twins(critic, self._own_inputs(observation, joint, observation_i, action))

            return jax.value_and_grad(actor_loss, has_aux=True)(
                actor, self.actors.apply_one, value, observation_i, temp, mask_i, noise_i
            )

        (losses, log_probability), gradients = jax.vmap(one_agent, in_axes=(0, 0, 0, -2, 0, -2, 0))(
            state.actor,
            critic,
            jnp.eye(self.n_agents, dtype=bool),
            observation,
            jnp.asarray(self.action_mask),
            noise,
            jnp.exp(state.log_temperature),
        )
        return losses, log_probability, gradients

    def _sample(self, actor: Params, inputs: Array, noise: Array) -> tuple[Array, Array]:
        """Everyone's actions and log-probabilities for inputs (batch, n_agents, ...)."""
        mean, log_std = self.actors.apply(actor, inputs)
        return sample(mean, log_std, jnp.asarray(self.action_mask), noise)

    def _twins(self, critic: Params, inputs: Array) -> Array:
        """Values (2, batch) of one agent's twin critics."""

        def value(params: Params, inputs: Array) -> Array:
            values: Any = self._critic.apply(params, inputs)
            return values

        return jax.vmap(value, in_axes=(0, None))(critic, inputs)

    def networks(self, state: LearnerState) -> tuple[ActorNetwork, ...]:
        """Give the trained policy: the averaged actors' modes, one unpadded network an agent, in NumPy."""
        return self.actors.networks(state.averaged_actor, state.statistics)

    # ---- what critics see ----

    def _critic_inputs(self, observation: Array, action: Array) -> Array:
        """Concatenate what every agent's critic sees, (..., n_agents, input_size)."""
        own = jnp.concatenate([observation, action], axis=-1)
        if self.config.critics == "local":
            return own
        joint = own.reshape(*own.shape[:-2], 1, -1)
        return jnp.broadcast_to(joint, (*own.shape[:-1], joint.shape[-1]))

    def _own_inputs(self, observation: Array, joint_action: Array, own_observation: Array, own_action: Array) -> Array:
        """Concatenate what one agent's critic sees, (batch, input_size)."""
        if self.config.critics == "local":
            return jnp.concatenate([own_observation, own_action], axis=-1)
        joint = jnp.concatenate([observation, joint_action], axis=-1)
        return joint.reshape(joint.shape[0], -1)
