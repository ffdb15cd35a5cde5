"""Twin critics: what they see, and what their values are made of.

    Q_k(s, a) = R(s, a) + W_k(s, a~),   k = 1, 2

R is the reward of the step itself, learned from what was received; W_k is what comes after it, learned from the target
of the soft Bellman equation without the step's reward. W sees only the actions a~ that last: what charges a battery.
The reactive power of an inverter is gone with its step. What it is worth is far below the error of a bootstrapped
value, in which its gradient would drown, but not below the error of a regression on the reward itself.
Voltage penalties make rewards heavy-tailed, hence Huber's loss for R. Without the split, W_k sees and learns all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from neomflex_jax.agents.fresh import fresh
from neomflex_jax.agents.optimiser import Params
from neomflex_jax.agents.sac.config import SacConfig, Settings
from neomflex_jax.agents.sac.losses import critic_loss, error_moments, reward_loss
from neomflex_jax.packing import Packing

STEP_OF_SHARED, STEP_OF_OWN = 0.05, 0.01  # of targets: of one critic for all, and of noisier ones, an agent's each
OF_FEW = ("local", "neighbourhood")  # critics that do not see everyone; gradients pass through an agent's own row alone


class Critic(nn.Module):
    """Observation and action, concatenated, to a value."""

    hidden_sizes: tuple[int, ...]
    layer_norm: bool

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Return the value (...) of inputs (..., input_size)."""
        x = inputs
        for size in self.hidden_sizes:
            x = nn.Dense(size)(x)
            x = nn.silu(nn.LayerNorm()(x) if self.layer_norm else x)
        return jnp.squeeze(nn.Dense(1)(x), -1)


class Seen(NamedTuple):
    """What critics see, each (..., n_critics, input_size)."""

    now: Array  # with all actions
    later: Array  # with those that last


@dataclass(frozen=True)
class Critics:
    """Binds settings and sizes; holds no parameters and is hashable, so equal ones share a compilation."""

    config: SacConfig
    lasting: tuple[tuple[bool, ...], ...]  # (n_agents, action_size)
    observations: Packing
    actions: Packing
    neighbourhoods: tuple[tuple[int, ...], ...] = ()  # (n_agents, n_seen) whom every agent's critic sees, itself first

    @property
    def n_critics(self) -> int:
        """Pairs of twins: one an agent, or one in all."""
        return 1 if self.config.critics == "shared" else len(self.lasting)

    @cached_property
    def _network(self) -> Critic:
        return Critic(self.config.hidden_sizes, self.config.layer_norm_critics)

    def init(self, key: Array, input_shape: tuple[int, int]) -> Params:
        """Make fresh parameters, (n_critics, ...) for R and (n_critics, 2, ...) for the twins; for actors' inputs."""
        nothing = self.seen(jnp.zeros(input_shape), jnp.zeros(self.actions.shape))

        def one(key: Array) -> Params:
            twin_key, reward_key = jax.random.split(key)
            later = jax.vmap(lambda k: fresh(self._network, k, nothing.later[0]))(jax.random.split(twin_key))
            now = fresh(self._network, reward_key, nothing.now[0])
            return {"now": now, "later": later} if self.config.split else {"later": later}

        return jax.vmap(one)(jax.random.split(key, self.n_critics))

    def seen(self, observation: Array, action: Array) -> Seen:
        """Return every critic's part of inputs (..., n_rows, size)."""
        lasting = jnp.where(self.actions.packed(np.array(self.lasting)), action, 0.0) if self.config.split else action
        if self.config.critics in OF_FEW and self.actions.is_packed:
            observation, action, lasting = (
                each.rows(values)
                for each, values in ((self.observations, observation), (self.actions, action), (self.actions, lasting))
            )
        return Seen(*(self._view(jnp.concatenate([observation, actions], axis=-1)) for actions in (action, lasting)))

    def values(self, params: Params, seen: Seen) -> Array:
        """Values (2, batch) of one pair of twins."""
        later = self._twins(params, seen)
        return later + self._reward(params, seen) if self.config.split else later

    def loss(self, params: Params, seen: Seen, reward: Array, later: Array) -> tuple[Array, Array]:
        """Loss of one pair of twins, and the `error_moments` of its values.

        It is against the step's reward, (batch,), and the target of what comes after it.
        """
        twins = self._twins(params, seen)
        if not self.config.split:
            return critic_loss(twins, reward + later), error_moments(twins, reward + later)
        now = self._reward(params, seen)
        loss = critic_loss(twins, later) + reward_loss(now, reward, self.config.reward_huber)
        return loss, error_moments(now + twins, reward + later)

    def followed(self, target: Params, online: Params, settings: Settings) -> Params:
        """Return the target critics after a step towards the online ones."""
        derived = STEP_OF_SHARED if self.config.critics == "shared" else STEP_OF_OWN
        followed: Params = optax.incremental_update(online, target, jnp.where(settings.tau > 0, settings.tau, derived))
        return followed

    def _view(self, own: Array) -> Array:
        if self.config.critics == "local":
            return own
        if self.config.critics == "neighbourhood":
            others = lax.stop_gradient(own)[..., np.array(self.neighbourhoods)[:, 1:], :]
            together = jnp.concatenate([own[..., None, :], others], axis=-2)
            return together.reshape(*own.shape[:-1], -1)
        joint = own.reshape(*own.shape[:-2], 1, -1)
        return jnp.broadcast_to(joint, (*own.shape[:-2], self.n_critics, joint.shape[-1]))

    def _reward(self, params: Params, seen: Seen) -> Array:
        reward: Any = self._network.apply(params["now"], seen.now)
        return reward

    def _twins(self, params: Params, seen: Seen) -> Array:
        later: Any = jax.vmap(self._network.apply, in_axes=(0, None))(params["later"], seen.later)
        return later


def all_lasting(action_sizes: Sequence[int]) -> tuple[tuple[bool, ...], ...]:
    """Return a mask of lasting actions that is True for every real action; one number of actions an agent."""
    return tuple(tuple(entry < size for entry in range(max(action_sizes))) for size in action_sizes)
