"""Independent SAC learners side by side: every array carries a leading agent axis, every function is vmapped over it.

Agents share nothing but the transitions they learn from, unless their actors are shared. With `joint` critics, an
agent's critic sees everyone's observations and actions in training, with those of a `neighbourhood` its neighbours';
actors never see more than their own observation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax
from jax.flatten_util import ravel_pytree

from neomflex_jax.agents import optimiser
from neomflex_jax.agents.actors import Actors, statistics_of
from neomflex_jax.agents.multipliers import unpriced
from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.agents.optimiser import Params, decayed, mean_over_devices, stepped
from neomflex_jax.agents.sac import cost_critics
from neomflex_jax.agents.sac.config import SacConfig, Settings, settings_of
from neomflex_jax.agents.sac.cost_critics import CostCritic
from neomflex_jax.agents.sac.critics import OF_FEW, Critics, all_lasting
from neomflex_jax.agents.sac.distribution import sample
from neomflex_jax.agents.sac.flat import Flat, Flattening
from neomflex_jax.agents.sac.losses import actor_loss, lesser, relative_error, soft_targets, temperature_gradient
from neomflex_jax.agents.sac.replay_buffer import Batch
from neomflex_jax.agents.sac.reward import UNITS, measured_scale, receding, squeezed
from neomflex_jax.agents.sac.state import LearnerState
from neomflex_jax.agents.sharing import sharing_of
from neomflex_jax.one_line import one_line


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
        """Make one update, on a batch (batch, ...); see `updates`."""
        state, metrics = self.updates(state, jax.tree.map(lambda leaf: leaf[None], batch), key[None], share)
        return state, jax.tree.map(lambda values: values[0], metrics)

    def updates(
        self, state: LearnerState, batches: Batch, keys: Array, share: Array | float = 0.0
    ) -> tuple[LearnerState, dict[str, Array]]:
        """Make gradient steps of every critic, actor and temperature, one on each batch of (n_updates, batch, ...).

        The batches' rewards are as `learned_rewards` gives them.
        `share` of the run's budget, 0..1, is what the learning rate's decay goes by. Metrics are (n_updates, ...).
        """
        decay, flattening = decayed(self.config.learning_rate_decay, share), Flattening(state, self._critics)
        noises = jax.vmap(lambda key: jax.random.normal(key, (2, *batches.action.shape[1:])))(keys)
        count, best = state.critic_optimiser.count[0], batches.reward.max(axis=(0, 1))  # all moments made as many steps

        def body(flat: Flat, xs: tuple[Array, Batch, Array]) -> tuple[Flat, Array]:
            flat, measured = self._updated(flattening, flat, *xs, decay, count, best)
            return flat, ravel_pytree(measured)[0]  # one array, one write

        numbers = jnp.arange(len(keys), dtype=jnp.int32)
        first = jax.tree.map(lambda leaf: leaf[0], (numbers, batches, noises))
        shapes = jax.eval_shape(partial(self._updated, flattening), flattening.start(), *first, decay, count, best)[1]
        unravel = ravel_pytree(jax.tree.map(lambda shape: jnp.zeros(shape.shape), shapes))[1]
        flat, measured = lax.scan(body, flattening.start(), (numbers, batches, noises))
        metrics = self._metrics(state, jax.vmap(unravel)(measured))
        return flattening.kept(flat, len(keys)), metrics

    def _updated(
        self,
        flattening: Flattening,
        flat: Flat,
        number: Array,
        batch: Batch,
        noise: Array,
        decay: Array,
        count: Array,
        best: Array,
    ) -> tuple[Flat, dict[str, Array]]:
        """Make the update of a number, from 0 on, by noise (2, batch, ...); and return what is measured of it."""
        state, settings, pooled = flattening.whole(flat, number), flattening.state.settings, self.actors.pooled
        observation = self.actors.inputs(state.statistics, batch.observation)
        next_observation = self.actors.inputs(state.statistics, batch.next_observation)
        batch = replace(
            batch, observation=observation, next_observation=next_observation, action=batch.action * self.action_mask
        )
        rate, max_norm, count = settings.learning_rate * decay, settings.max_gradient_norm, count + number

        critic_losses, gradients, moments = self._critic_gradients(state, batch, noise[1], best)
        gradients = mean_over_devices(flattening.critic_rows.joined(gradients), self.mesh_axis)
        critic = stepped(flat.critic, gradients, count, rate, max_norm, flattening.critic_matrices)
        target = self._critics.followed(flat.target_critic, critic.values, settings)

        costs, cost_losses = self._updated_cost_critics(state, batch, noise[1], rate)

        actor_losses, log_probability, gradients = self._actor_gradients(
            state, flattening.critic_rows.parted(critic.values), costs, observation, noise[0]
        )
        gradients = mean_over_devices(flattening.actor_rows.joined(pooled(gradients)), self.mesh_axis)
        actor = stepped(flat.actor, gradients, count, rate, max_norm, flattening.actor_matrices)
        weight = jnp.maximum(settings.actor_average, 1.0 / (state.updates + 1))  # a plain mean at first
        average = optax.incremental_update(actor.values, flat.averaged_actor, weight)

        entropy = mean_over_devices(-log_probability.mean(axis=-1), self.mesh_axis)
        gradient = temperature_gradient(entropy, self._target_entropy(settings))[:, None]
        rate = settings.temperature_learning_rate * decay
        log_temperature = stepped(flat.log_temperature, gradient, count, rate)
        return Flat(actor, average, critic, target, log_temperature, costs), cost_losses | {
            "critic_loss": critic_losses,
            "moments": moments,
            "actor_loss": actor_losses,
            "entropy": entropy,
            "log_temperature": state.log_temperature,
        }

    def _metrics(self, state: LearnerState, measured: dict[str, Array]) -> dict[str, Array]:
        """Return metrics (n_updates, n_agents) of what was measured in updates, (n_updates, ...)."""
        measured = mean_over_devices(measured, self.mesh_axis)
        critic_errors = relative_error(jnp.moveaxis(measured.pop("moments"), -1, 0))
        entropy, actor_losses = measured["entropy"], measured["actor_loss"]
        return measured | {
            "critic_loss": jnp.broadcast_to(measured["critic_loss"], actor_losses.shape),
            "critic_error": jnp.broadcast_to(critic_errors, actor_losses.shape),
            "entropy_above_target": entropy - self._target_entropy(state.settings),
            "temperature": jnp.exp(measured.pop("log_temperature")),
            "reward_scale": jnp.broadcast_to(_reward_scale(state), actor_losses.shape),
        }

    def _target_entropy(self, settings: Settings) -> Array:
        """Of every agent, (n_agents,); it counts real action dimensions only."""
        return settings.target_entropy_per_action * jnp.asarray(self.action_sizes)

    def _critic_gradients(
        self, state: LearnerState, batch: Batch, noise: Array, best: Array
    ) -> tuple[Array, Params, Array]:
        """Losses (n_critics,), gradients and `error_moments` (n_critics, 3) of the twins, against next actions."""
        next_action, next_log_probability = self._sample(state.actor, batch.next_observation, noise)
        entropy_cost = jnp.exp(state.log_temperature) * next_log_probability
        reward, later_reward = batch.reward, batch.later_reward
        if self.config.critics == "shared":  # the team's: everyone's mean reward, everyone's entropy
            reward, later_reward = (each.mean(-1, keepdims=True) for each in (reward, later_reward))
            entropy_cost = entropy_cost.sum(-1, keepdims=True)
        critics = self._critics
        next_values = critics.all_values(state.target_critic, critics.seen(batch.next_observation, next_action))
        later = soft_targets(later_reward, batch.discount, next_values, entropy_cost, best)
        seen = critics.seen(batch.observation, batch.action)

        def total(critic: Params) -> tuple[Array, tuple[Array, Array]]:
            losses, moments = critics.losses(critic, seen, reward.T, later)
            return losses.sum(), (losses, moments)

        gradients, (losses, moments) = jax.grad(total, has_aux=True)(state.critic)
        return losses, gradients, moments

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
                values = self._critics.all_values(critic, self._critics.seen(observation, action))[0]
                each = jax.vmap(actor_loss, in_axes=(0, 0, None))
                losses = each(temperature, log_probability.T, lax.stop_gradient(values))
                total = losses.sum() - lesser(values).mean()  # the gradient of the value once, for all
            elif self.config.critics in OF_FEW:
                values = self._critics.all_values(critic, self._critics.seen(observation, action))
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
