"""Gradient descent on the cost of whole days, by all agents at once; an actor still sees its own observation alone.

``minimise over theta  E[ sum_t cost(s_t, a_t) ],  a_t = tanh(mean_theta(o_t)),  s_{t+1} = step(s_t, a_t)``: the
environment is deterministic once its days are drawn and differentiable, so that the gradient of a sampled return is an
unbiased estimate without any critic. The cost is the team's, as a gradient through the grid reaches everyone.
The idea for power grids: arXiv:2604.24549; back-propagation through a simulator: H. J. T. Suh et al., arXiv:2202.00817.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import jax
import jax.numpy as jnp
import optax
from jax import Array

from neomflex_jax.agents import optimiser
from neomflex_jax.agents.actors import Actors, Statistics, statistics_of
from neomflex_jax.agents.gradient.config import GradientConfig
from neomflex_jax.agents.multipliers import Multiplier
from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.agents.optimiser import Params, decayed, mean_over_devices
from neomflex_jax.agents.sharing import sharing_of
from neomflex_jax.agents.squash import squash
from neomflex_jax.one_line import one_line

Acting = Callable[[Array], Array]  # observations (..., n_rows, size), as they lie in `Actors.observations`, to actions


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class GradientSettings:
    """The settings that are traced: other values need no new compilation, and several can run side by side."""

    learning_rate: Array  # () each
    max_gradient_norm: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class GradientState:
    """Everything that learning changes; leading axis n_agents, or the groups of `Sharing`."""

    actor: Params
    actor_optimiser: optax.OptState
    statistics: Statistics
    settings: GradientSettings  # do not change in a run
    multipliers: dict[str, Multiplier] = field(default_factory=dict)  # by constraint

    __repr__ = one_line


@dataclass(frozen=True)
class GradientLearner:
    """Binds sizes and settings; holds no state and is hashable, so equal ones share a compilation."""

    config: GradientConfig
    observation_sizes: tuple[int, ...]  # real entries of each agent; padding comes after them
    action_sizes: tuple[int, ...]
    mesh_axis: str | None = None  # devices over which the copies are spread; gradients are averaged over them
    kinds: tuple[int, ...] | None = None  # (n_agents,) see `sharing_of`

    __repr__ = one_line

    @cached_property
    def actors(self) -> Actors:
        """The actors' sizes and functions."""
        config, sizes = self.config, (self.observation_sizes, self.action_sizes)
        sharing = sharing_of(config.actors, len(self.action_sizes), self.kinds, share_actor=config.share_actor)
        return Actors(config.hidden_sizes, *sizes, activation=config.activation, sharing=sharing)

    def init(self, key: Array, settings: GradientSettings | None = None) -> GradientState:
        """Start with fresh networks that act mildly; None takes the configuration's settings."""
        if settings is None:
            rate, norm = self.config.learning_rate, self.config.max_gradient_norm
            settings = GradientSettings(jnp.asarray(rate, float), jnp.asarray(norm, float))
        actor = self.actors.nearly_idle(self.actors.init(key))
        return GradientState(actor, optimiser.start(actor), self.actors.no_statistics(), settings)

    def with_statistics(self, state: GradientState, observations: Array) -> GradientState:
        """Fix the observation normalisation from (n_samples, n_rows, size), once, beforehand."""
        if not self.config.normalise_observations:
            return state
        return replace(state, statistics=statistics_of(observations, self.mesh_axis))

    def with_networks(self, state: GradientState, networks: Sequence[ActorNetwork], key: Array) -> GradientState:
        """Start from given policies, with their normalisation; see `Actors.from_networks`."""
        actor, statistics = self.actors.from_networks(networks, key)
        return replace(state, actor=actor, statistics=statistics)

    def acting(self, actor: Params, statistics: Statistics) -> Acting:
        """Return a function from observations to the policy's modes, 0 where padded."""

        def act(observation: Array) -> Array:
            mean, _ = self.actors.apply(actor, self.actors.inputs(statistics, observation))
            return jnp.where(self.actors.action_mask, squash(mean), 0.0)

        return act

    def update(
        self,
        state: GradientState,
        cost: Callable[[Acting], tuple[Array, dict[str, Array]]],
        share: Array | float = 0.0,
    ) -> tuple[GradientState, dict[str, Array]]:
        """Make one step against the gradient of `cost`, which gives the mean cost of a day and metrics.

        `share` of the run's budget, 0..1, is what the learning rate's decay goes by.
        """

        def of_actor(actor: Params) -> tuple[Array, dict[str, Array]]:
            return cost(self.acting(actor, state.statistics))

        gradients, metrics = jax.grad(of_actor, has_aux=True)(state.actor)
        gradients = mean_over_devices(self.actors.pooled(gradients), self.mesh_axis)
        rate = state.settings.learning_rate * decayed(self.config.learning_rate_decay, share)
        max_norm, width = state.settings.max_gradient_norm, max(self.config.hidden_sizes)
        actor, moments = optimiser.apply(gradients, state.actor_optimiser, state.actor, rate, max_norm, width)
        norm = self.actors.by_agent(jax.vmap(optax.tree.norm)(gradients))
        clipped = (norm > max_norm).astype(norm.dtype)
        metrics |= {"gradient_norm": norm, "gradient_clipped": clipped}
        return replace(state, actor=actor, actor_optimiser=moments), metrics

    def networks(self, state: GradientState) -> tuple[ActorNetwork, ...]:
        """Return the trained policy: one unpadded network an agent, in NumPy."""
        return self.actors.networks(state.actor, state.statistics)
