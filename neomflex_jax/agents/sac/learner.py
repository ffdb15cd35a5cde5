"""Independent SAC learners side by side: every array carries a leading agent axis, every function is vmapped over it.

Agents share nothing but the transitions they learn from. With `joint` critics, an agent's critic sees everyone's
observations and actions in training; actors never see more than their own observation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.agents.sac.config import SacConfig
from neomflex_jax.agents.sac.distribution import sample
from neomflex_jax.agents.sac.losses import actor_loss, critic_loss, soft_target, temperature_loss
from neomflex_jax.agents.sac.networks import Actor, Critic
from neomflex_jax.agents.sac.replay_buffer import Transition

Params = Any


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
    observation_mean: Array  # (n_agents, observation_size)
    observation_scale: Array  # (n_agents, observation_size) reciprocal of the standard deviation


@dataclass(frozen=True)
class Sac:
    """Binds sizes and settings; holds no state and is hashable, so equal ones share a compilation."""

    config: SacConfig
    observation_sizes: tuple[int, ...]  # real entries of each agent; padding comes after them
    action_sizes: tuple[int, ...]

    @property
    def n_agents(self) -> int:
        """Number of agents."""
        return len(self.action_sizes)

    @cached_property
    def observation_mask(self) -> np.ndarray:
        """True where an observation entry is real, (n_agents, observation_size)."""
        return np.arange(max(self.observation_sizes)) < np.array(self.observation_sizes)[:, None]

    @cached_property
    def action_mask(self) -> np.ndarray:
        """True where an action entry is real, (n_agents, action_size)."""
        return np.arange(max(self.action_sizes)) < np.array(self.action_sizes)[:, None]

    @cached_property
    def _actor(self) -> Actor:
        return Actor(self.config.hidden_sizes, int(self.action_mask.shape[1]))

    @cached_property
    def _critic(self) -> Critic:
        return Critic(self.config.hidden_sizes, self.config.layer_norm_critics)

    def _actor_apply(self, params: Params, observation: Array) -> tuple[Array, Array]:
        outputs: Any = self._actor.apply(params, observation)
        return outputs

    def _critic_apply(self, params: Params, inputs: Array) -> Array:
        values: Any = self._critic.apply(params, inputs)
        return values

    @cached_property
    def _optimiser(self) -> optax.GradientTransformation:
        clip = optax.clip_by_global_norm(self.config.max_gradient_norm)
        return optax.chain(clip, optax.adam(self.config.learning_rate))

    @cached_property
    def _temperature_optimiser(self) -> optax.GradientTransformation:
        return optax.adam(self.config.temperature_learning_rate)

    def init(self, key: Array) -> LearnerState:
        """Start with fresh networks."""
        actor_key, critic_key = jax.random.split(key)
        n, observation_size = self.observation_mask.shape
        init_actor: Any = self._actor.init
        init_critic: Any = self._critic.init
        actor = jax.vmap(lambda k: init_actor(k, jnp.zeros(observation_size)))(jax.random.split(actor_key, n))
        size = self._critic_inputs(jnp.zeros((n, observation_size)), jnp.zeros(self.action_mask.shape)).shape[-1]
        twins: Any = jax.vmap(lambda k: init_critic(k, jnp.zeros(size)))
        critic = jax.vmap(lambda k: twins(jax.random.split(k)))(jax.random.split(critic_key, n))
        log_temperature = jnp.full(n, jnp.log(self.config.initial_temperature))
        return LearnerState(
            actor=actor,
            averaged_actor=actor,
            critic=critic,
            target_critic=critic,
            log_temperature=log_temperature,
            actor_optimiser=_start(self._optimiser, actor),
            critic_optimiser=_start(self._optimiser, critic),
            temperature_optimiser=_start(self._temperature_optimiser, log_temperature),
            updates=jnp.zeros((), jnp.int32),
            observation_mean=jnp.zeros((n, observation_size)),
            observation_scale=jnp.ones((n, observation_size)),
        )

    def with_statistics(self, state: LearnerState, observations: Array) -> LearnerState:
        """Fix the observation normalisation from (n_samples, n_agents, observation_size), once, after the warm-up."""
        mean, std = jnp.mean(observations, axis=0), jnp.std(observations, axis=0)
        scale = jnp.where(std > 1e-6, 1.0 / jnp.maximum(std, 1e-6), 1.0)
        return replace(state, observation_mean=mean, observation_scale=scale)

    def act(self, state: LearnerState, observation: Array, key: Array) -> Array:
        """Sample actions for (n_agents, observation_size)."""
        mean, log_std = jax.vmap(self._actor_apply)(state.actor, self._normalise(state, observation))
        return sample(mean, log_std, jnp.asarray(self.action_mask), jax.random.normal(key, mean.shape))[0]

    def update(self, state: LearnerState, batch: Transition, key: Array) -> tuple[LearnerState, dict[str, Array]]:
        """Make one gradient step of every critic, actor and temperature on a batch (batch, ...)."""
        config = self.config
        batch = replace(
            batch,
            observation=self._normalise(state, batch.observation),
            next_observation=self._normalise(state, batch.next_observation),
            action=batch.action * self.action_mask,
        )
        noise, next_noise = jax.random.normal(key, (2, *batch.action.shape))

        critic_losses, gradients = self._critic_gradients(state, batch, next_noise)
        critic, critic_optimiser = _apply(self._optimiser, gradients, state.critic_optimiser, state.critic)

        actor_losses, log_probability, gradients = self._actor_gradients(state, critic, batch.observation, noise)
        actor, actor_optimiser = _apply(self._optimiser, gradients, state.actor_optimiser, state.actor)

        # the target entropy counts real action dimensions only
        target_entropy = config.target_entropy_per_action * jnp.asarray(self.action_sizes)
        gradients = jax.vmap(jax.grad(temperature_loss))(state.log_temperature, log_probability, target_entropy)
        log_temperature, temperature_optimiser = _apply(
            self._temperature_optimiser, gradients, state.temperature_optimiser, state.log_temperature
        )
        average = jnp.maximum(config.actor_average, 1.0 / (state.updates + 1))  # a plain mean at first
        updated = replace(
            state,
            actor=actor,
            averaged_actor=optax.incremental_update(actor, state.averaged_actor, average),
            updates=state.updates + 1,
            critic=critic,
            target_critic=optax.incremental_update(critic, state.target_critic, config.tau),
            log_temperature=log_temperature,
            actor_optimiser=actor_optimiser,
            critic_optimiser=critic_optimiser,
            temperature_optimiser=temperature_optimiser,
        )
        metrics = {
            "critic_loss": critic_losses,
            "actor_loss": actor_losses,
            "entropy": -log_probability.mean(axis=-1),
            "temperature": jnp.exp(state.log_temperature),
        }
        return updated, metrics

    def _critic_gradients(self, state: LearnerState, batch: Transition, noise: Array) -> tuple[Array, Params]:
        """Losses (n_agents,) and gradients of the twin critics, against everyone's next actions."""
        next_action, next_log_probability = self._sample(state.actor, batch.next_observation, noise)

        def one_agent(
            critic: Params, target: Params, inputs: Array, next_inputs: Array, reward: Array, log_p: Array, temp: Array
        ) -> tuple[Array, Params]:
            reward, next_values = self.config.reward_scale * reward, self._twins(target, next_inputs)
            soft = soft_target(reward, batch.terminated, next_values, log_p, temp, self.config.gamma)
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
                actor, self._actor_apply, value, observation_i, temp, mask_i, noise_i
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

    def _sample(self, actor: Params, observation: Array, noise: Array) -> tuple[Array, Array]:
        """Everyone's actions and log-probabilities for normalised observations (batch, n_agents, ...)."""
        mean, log_std = jax.vmap(self._actor_apply, in_axes=(0, -2), out_axes=-2)(actor, observation)
        return sample(mean, log_std, jnp.asarray(self.action_mask), noise)

    def _twins(self, critic: Params, inputs: Array) -> Array:
        """Values (2, batch) of one agent's twin critics."""
        return jax.vmap(self._critic_apply, in_axes=(0, None))(critic, inputs)

    def networks(self, state: LearnerState) -> tuple[ActorNetwork, ...]:
        """Give the trained policy: the averaged actors' modes, one unpadded network an agent, in NumPy."""
        actor, mean, scale = jax.device_get((state.averaged_actor, state.observation_mean, state.observation_scale))
        networks = []
        for index in range(self.n_agents):
            n_in, n_out = self.observation_sizes[index], self.action_sizes[index]
            dense = [actor["params"][f"Dense_{layer}"] for layer in range(len(self.config.hidden_sizes) + 1)]
            layers = [(layer["kernel"][index], layer["bias"][index]) for layer in dense]
            layers[0] = (layers[0][0][:n_in], layers[0][1])
            layers[-1] = (layers[-1][0][:, :n_out], layers[-1][1][:n_out])  # the mean's part, real dimensions only
            networks.append(ActorNetwork(mean[index, :n_in], scale[index, :n_in], tuple(layers)))
        return tuple(networks)

    # ---- what networks see ----

    def _normalise(self, state: LearnerState, observation: Array) -> Array:
        normal = (observation - state.observation_mean) * state.observation_scale
        return jnp.where(self.observation_mask, normal, 0.0)

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


def _start(optimiser: optax.GradientTransformation, params: Params) -> optax.OptState:
    return jax.vmap(optimiser.init)(params)


def _apply(
    optimiser: optax.GradientTransformation, gradients: Params, state: optax.OptState, params: Params
) -> tuple[Params, optax.OptState]:
    """One optimiser step for every agent by itself, so that clipping and moments never mix agents."""
    updates, state = jax.vmap(optimiser.update)(gradients, state)
    return optax.apply_updates(params, updates), state
