"""Independent SAC learners side by side: every array carries a leading agent axis, every function is vmapped over it.

Agents share nothing but the transitions they learn from, unless their actors are shared. With `joint` critics, an
agent's critic sees everyone's observations and actions in training, with those of a `neighbourhood` its neighbours';
actors never see more than their own observation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from neomflex_jax.agents import optimiser
from neomflex_jax.agents.actors import Actors, Statistics, statistics_of
from neomflex_jax.agents.multipliers import Multiplier, unpriced
from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.agents.optimiser import Params, decayed, mean_over_devices
from neomflex_jax.agents.sac import cost_critics
from neomflex_jax.agents.sac.config import SacConfig, Settings, settings_of
from neomflex_jax.agents.sac.cost_critics import CostCritic
from neomflex_jax.agents.sac.critics import OF_FEW, Critics, Seen, all_lasting
from neomflex_jax.agents.sac.distribution import sample
from neomflex_jax.agents.sac.losses import actor_loss, lesser, relative_error, soft_target, temperature_loss
from neomflex_jax.agents.sac.replay_buffer import Batch
from neomflex_jax.agents.sac.reward import UNITS, measured_scale, receding, squeezed
from neomflex_jax.agents.sharing import sharing_of
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


@dataclass(frozen=True)
class Sac:
    """Binds sizes and settings; holds no state and is hashable, so equal ones share a compilation."""

    config: SacConfig
    observation_sizes: tuple[int, ...]  # real entries of each agent; padding comes after them
    action_sizes: tuple[int, ...]
    lasting: tuple[tuple[bool, ...], ...] | None = None  # (n_agents, action_size) see `Critics`; None: all do
    mesh_axis: str | None = None  # devices over which a batch is spread; gradients are averaged over them
    constraints: tuple[str, ...] = ()  # names of those that are learned
    kinds: tuple[int, ...] | None = None  # (n_agents,) see `sharing_of`
    neighbourhoods: tuple[tuple[int, ...], ...] = ()  # (n_agents, n_seen) see `Critics`

    __repr__ = one_line

    @cached_property
    def actors(self) -> Actors:
        """The actors' sizes and functions."""
        config, sizes = self.config, (self.observation_sizes, self.action_sizes)
        sharing = sharing_of(config.actors, len(self.action_sizes), self.kinds, share_actor=config.share_actor)
        return Actors(config.hidden_sizes, *sizes, activation=config.activation, sharing=sharing)

    @property
    def n_agents(self) -> int:
        """Number of agents."""
        return self.actors.n_agents

    @property
    def observation_mask(self) -> np.ndarray:
        """True where an observation entry is real, (n_agents, observation_size), or packed."""
        return self.actors.observation_mask

    @property
    def action_mask(self) -> np.ndarray:
        """True where an action entry is real, (n_agents, action_size), or packed."""
        return self.actors.action_mask

    @cached_property
    def _critics(self) -> Critics:
        lasting = all_lasting(self.action_sizes) if self.lasting is None else self.lasting
        return Critics(self.config, lasting, self.actors.observations, self.actors.actions, self.neighbourhoods)

    @cached_property
    def _cost_critics(self) -> Critics:
        return replace(self._critics, config=replace(self.config, critics="shared"))

    def init(self, key: Array, settings: Settings | None = None) -> LearnerState:
        """Start with fresh networks; None takes the configuration's settings."""
        settings = settings_of(self.config) if settings is None else settings
        actor_key, critic_key = jax.random.split(key)
        actor = self.actors.nearly_idle(self.actors.init(actor_key))
        critic = self._critics.init(critic_key, self.actors.input_shape)
        # with its dtype, or it would be weakly typed until the first update, and every program compiled twice
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
            measured_scale=jnp.ones(self.n_agents),
            settings=settings,
            cost_critics={
                name: cost_critics.start(self._cost_critics, jax.random.fold_in(key, number), self.actors.input_shape)
                for number, name in enumerate(self.constraints)
            },
            multipliers={name: unpriced() for name in self.constraints},
        )

    def with_reward_scale(self, state: LearnerState, rewards: Array) -> LearnerState:
        """Measure the scale of rewards (n_samples, n_agents), once, after the warm-up."""
        measured = measured_scale(self._shared(rewards))
        return replace(state, measured_scale=mean_over_devices(measured, self.mesh_axis))

    def with_statistics(self, state: LearnerState, observations: Array) -> LearnerState:
        """Fix the observation normalisation from (n_samples, n_rows, size), once, after the warm-up."""
        if not self.config.normalise_observations:
            return state
        return replace(state, statistics=statistics_of(observations, self.mesh_axis))

    def with_networks(self, state: LearnerState, networks: Sequence[ActorNetwork], key: Array) -> LearnerState:
        """Start from given policies, with their normalisation; see `Actors.from_networks`."""
        actor, statistics = self.actors.from_networks(networks, key)
        average = jax.tree.map(jnp.copy, actor)  # not one buffer twice: both are donated to the next chunk
        return replace(state, actor=actor, averaged_actor=average, statistics=statistics)

    def act(self, state: LearnerState, observation: Array, key: Array) -> Array:
        """Sample actions for observations (..., n_rows, size)."""
        mean, log_std = self.actors.apply(state.actor, self.actors.inputs(state.statistics, observation))
        return sample(mean, log_std, jnp.asarray(self.action_mask), jax.random.normal(key, mean.shape))[0]

    def received(self, reward: Array, local_reward: Array, *, shared: bool) -> Array:
        """Return the rewards that are kept to learn from, (..., n_agents).

        Where they are shared, a critic of a neighbourhood learns its part: the mean of the local rewards there. In the
        mean of hundreds of agents, what one can do about it would drown in what it does not see.
        """
        if self.config.critics != "neighbourhood" or not shared:
            return reward
        return local_reward[..., np.array(self.neighbourhoods)].mean(axis=-1)

    def learned_rewards(self, state: LearnerState, rewards: Array) -> Array:
        """Rewards (..., n_agents) as critics learn from them; see `reward.py`."""
        tail = receding(state.settings.reward_tail, state.updates)
        return squeezed(_reward_scale(state) * self._shared(rewards), tail)

    def update(
        self, state: LearnerState, batch: Batch, key: Array, share: Array | float = 0.0
    ) -> tuple[LearnerState, dict[str, Array]]:
        """Make one gradient step of every critic, actor and temperature on a batch (batch, ...).

        The batch's rewards are as `learned_rewards` gives them.
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

        critic_losses, gradients, moments = self._critic_gradients(state, batch, next_noise)
        critic_errors = relative_error(mean_over_devices(moments, self.mesh_axis).T)
        gradients = mean_over_devices(gradients, self.mesh_axis)
        critic, critic_moments = optimiser.apply(gradients, state.critic_optimiser, state.critic, rate, max_norm)

        costs, cost_losses = self._updated_cost_critics(state, batch, next_noise, rate)

        actor_losses, log_probability, gradients = self._actor_gradients(state, critic, costs, observation, noise)
        gradients = mean_over_devices(pooled(gradients), self.mesh_axis)
        actor, actor_moments = optimiser.apply(gradients, state.actor_optimiser, state.actor, rate, max_norm)

        # the target entropy counts real action dimensions only
        target_entropy = settings.target_entropy_per_action * jnp.asarray(self.action_sizes)
        log_temperature, temperature_moments = self._updated_temperatures(
            state, log_probability, target_entropy, settings.temperature_learning_rate * decay
        )
        average = jnp.maximum(settings.actor_average, 1.0 / (state.updates + 1))  # a plain mean at first
        updated = replace(
            state,
            actor=actor,
            averaged_actor=optax.incremental_update(actor, state.averaged_actor, average),
            updates=state.updates + 1,
            critic=critic,
            target_critic=self._critics.followed(state.target_critic, critic, settings),
            log_temperature=log_temperature,
            actor_optimiser=actor_moments,
            critic_optimiser=critic_moments,
            temperature_optimiser=temperature_moments,
            cost_critics=costs,
        )
        entropy = -log_probability.mean(axis=-1)
        metrics = cost_losses | {
            "critic_loss": jnp.broadcast_to(critic_losses, actor_losses.shape),
            "critic_error": jnp.broadcast_to(critic_errors, actor_losses.shape),
            "actor_loss": actor_losses,
            "entropy": entropy,
            "entropy_above_target": entropy - target_entropy,
            "temperature": jnp.exp(state.log_temperature),
            "reward_scale": _reward_scale(state),
        }
        return updated, mean_over_devices(metrics, self.mesh_axis)

    def _updated_temperatures(
        self, state: LearnerState, log_probability: Array, target_entropy: Array, rate: Array
    ) -> tuple[Array, optax.OptState]:
        """Return log temperatures and their moments after a gradient step."""
        gradients = jax.vmap(jax.grad(temperature_loss))(state.log_temperature, log_probability, target_entropy)
        gradients = mean_over_devices(gradients, self.mesh_axis)
        return optimiser.apply(gradients, state.temperature_optimiser, state.log_temperature, rate)

    def _critic_gradients(self, state: LearnerState, batch: Batch, noise: Array) -> tuple[Array, Params, Array]:
        """Losses (n_critics,), gradients and `error_moments` (n_critics, 3) of the twins, against next actions."""
        next_action, next_log_probability = self._sample(state.actor, batch.next_observation, noise)
        entropy_cost = jnp.exp(state.log_temperature) * next_log_probability
        reward, later_reward = batch.reward, batch.later_reward
        if self.config.critics == "shared":  # the team's: everyone's mean reward, everyone's entropy
            reward, later_reward = (each.mean(-1, keepdims=True) for each in (reward, later_reward))
            entropy_cost = entropy_cost.sum(-1, keepdims=True)
        critics = self._critics

        def one(
            critic: Params, target: Params, seen: Seen, next_seen: Seen, reward: Array, later: Array, cost: Array
        ) -> tuple[Array, Params, Array]:
            later = soft_target(later, batch.discount, critics.values(target, next_seen), cost)
            (loss, moments), gradient = jax.value_and_grad(critics.loss, has_aux=True)(critic, seen, reward, later)
            return loss, gradient, moments

        return jax.vmap(one, in_axes=(0, 0, -2, -2, -1, -1, -1))(
            state.critic,
            state.target_critic,
            critics.seen(batch.observation, batch.action),
            critics.seen(batch.next_observation, next_action),
            reward,
            later_reward,
            entropy_cost,
        )

    def _updated_cost_critics(
        self, state: LearnerState, batch: Batch, noise: Array, learning_rate: Array
    ) -> tuple[dict[str, CostCritic], dict[str, Array]]:
        """Return the critics of constraints after a gradient step, by name, and their losses."""
        if not self.constraints:
            return {}, {}
        next_action, _ = self._sample(state.actor, batch.next_observation, noise)
        critics = self._cost_critics
        seen = critics.seen(batch.observation, batch.action), critics.seen(batch.next_observation, next_action)
        after, losses, rates = {}, {}, (learning_rate, state.settings)
        for name, cost in state.cost_critics.items():
            broken = batch.broken[name], batch.later_broken[name]
            after[name], losses[f"constraint_{name}_critic_loss"] = cost_critics.updated(
                critics, cost, seen, broken, batch.discount, rates, self.mesh_axis
            )
        return after, losses

    def _actor_gradients(
        self,
        state: LearnerState,
        critic: Params,
        costs: dict[str, CostCritic],
        observation: Array,
        noise: Array,
    ) -> tuple[Array, Array, Params]:
        """Losses (n_agents,), log-probabilities (n_agents, batch) and gradients of the actors.

        Each agent's own action is differentiated; the others' are what their policies do now. A shared critic is
        evaluated once: the gradient of its value by all actions holds every agent's by its own.
        """
        temperature = jnp.exp(state.log_temperature)

        def losses_of(actor: Params) -> tuple[Array, tuple[Array, Array]]:
            action, log_probability = self._sample(actor, observation, noise)
            if self.config.critics == "shared":
                seen = jax.tree.map(lambda each: each[..., 0, :], self._critics.seen(observation, action))
                values = self._critics.values(jax.tree.map(lambda leaf: leaf[0], critic), seen)
                each = jax.vmap(actor_loss, in_axes=(0, 0, None))
                losses = each(temperature, log_probability.T, lax.stop_gradient(values))
                total = losses.sum() - lesser(values).mean()  # the gradient of the value once, for all
            elif self.config.critics in OF_FEW:
                seen = self._critics.seen(observation, action)
                values = jax.vmap(self._critics.values, in_axes=(0, -2))(critic, seen)
                losses = jax.vmap(actor_loss)(temperature, log_probability.T, values)
                total = losses.sum()
            else:
                own = jnp.arange(self.n_agents)
                values = jax.vmap(self._own_values, in_axes=(0, 0, None, None))(critic, own, observation, action)
                losses = jax.vmap(actor_loss)(temperature, log_probability.T, values)
                total = losses.sum()
            for name, cost in costs.items():
                seen = self._cost_critics.seen(observation, action)
                value = cost_critics.broken_value(self._cost_critics, cost, seen)
                total = total - UNITS * state.multipliers[name].value * value.mean()
            return total, (losses, log_probability.T)

        gradients, (losses, log_probability) = jax.grad(losses_of, has_aux=True)(state.actor)
        return losses, log_probability, gradients

    def _shared(self, rewards: Array) -> Array:
        """Return the team's mean reward for every agent, where one critic learns for all."""
        if self.config.critics != "shared":
            return rewards
        return jnp.broadcast_to(rewards.mean(-1, keepdims=True), rewards.shape)

    def _own_values(self, critic: Params, own: Array, observation: Array, action: Array) -> Array:
        """Values (2, batch) of the critic of the agent of number `own`, of which only its own action has a gradient."""
        action = jnp.where(self.actors.actions.agent == own, action, lax.stop_gradient(action))
        seen = jax.tree.map(lambda each: each[..., own, :], self._critics.seen(observation, action))
        return self._critics.values(critic, seen)

    def _sample(self, actor: Params, inputs: Array, noise: Array) -> tuple[Array, Array]:
        """Everyone's actions (batch, n_rows, size) and log-probabilities (batch, n_agents) for inputs."""
        mean, log_std = self.actors.apply(actor, inputs)
        return sample(mean, log_std, jnp.asarray(self.action_mask), noise, self.actors.actions.sums)

    def networks(self, state: LearnerState) -> tuple[ActorNetwork, ...]:
        """Return the trained policy: the averaged actors' modes, one unpadded network an agent, in NumPy."""
        return self.actors.networks(state.averaged_actor, state.statistics)


def _reward_scale(state: LearnerState) -> Array:
    """Scale of every agent's rewards, (n_agents,): as set, or as measured."""
    given = state.settings.reward_scale
    return jnp.where(given > 0.0, given, state.measured_scale)
