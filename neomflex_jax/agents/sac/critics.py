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
EVERY = "every"  # key of parameters whose networks are stacked
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
        """Values (2, batch) of one pair of twins, which sees (batch, input_size)."""
        return self.all_values(_as_one_of_many(params), Seen(*(each[..., None, :] for each in seen)))[0]

    def all_values(self, params: Params, seen: Seen) -> Array:
        """Values (n_critics, 2, batch) of all pairs of twins, which see (batch, n_critics, input_size)."""
        later, now = self._parts(params, seen)
        return later if now is None else later + now[:, None]

    def losses(self, params: Params, seen: Seen, reward: Array, later: Array) -> tuple[Array, Array]:
        """Losses (n_critics,) of all pairs of twins, and the `error_moments` (n_critics, 3) of their values.

        They are against the step's reward, (n_critics, batch), and the target of what comes after it.
        """
        twins, now = self._parts(params, seen)
        if now is None:
            return jax.vmap(critic_loss)(twins, reward + later), jax.vmap(error_moments)(twins, reward + later)
        of_reward = jax.vmap(reward_loss, in_axes=(0, 0, None))(now, reward, self.config.reward_huber)
        losses = jax.vmap(critic_loss)(twins, later) + of_reward
        return losses, jax.vmap(error_moments)(now[:, None] + twins, reward + later)

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

    def _parts(self, params: Params, seen: Seen) -> tuple[Array, Array | None]:
        """Twins (n_critics, 2, batch) of what comes later, and the reward's part (n_critics, batch), if it is apart.

        All networks are one batch of products: few operations, whose derivatives lie as the parameters do.
        """
        every = (params if EVERY in params else self.together(params))[EVERY]
        now, later = (jnp.moveaxis(each, -2, 0) for each in seen)
        inputs = jnp.stack([later, later, now] if self.config.split else [later, later], axis=1)
        n_critics, n_networks = inputs.shape[:2]
        networks = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), every)
        values: Any = jax.vmap(self._network.apply)(networks, inputs.reshape(-1, *inputs.shape[2:]))
        values = values.reshape(n_critics, n_networks, -1)
        return values[:, :2], values[:, 2] if self.config.split else None

    def together(self, params: Params) -> Params:
        """Return parameters, (n_critics, ...), with all networks of a pair of twins stacked: (n_critics, 2 or 3, ...).

        Functions of parameters take these, too.
        """
        if not self.config.split:
            return {EVERY: params["later"]}

        def stacked(later: Array, now: Array) -> Array:
            return jnp.concatenate([later, now[:, None]], axis=1)

        return {EVERY: jax.tree.map(stacked, params["later"], params["now"])}

    def apart(self, together: Params) -> Params:
        """Return the parameters that `together` made these of."""
        parts = {"later": jax.tree.map(lambda leaf: leaf[:, :2], together[EVERY])}
        if self.config.split:
            parts["now"] = jax.tree.map(lambda leaf: leaf[:, 2], together[EVERY])
        return parts


def _as_one_of_many(params: Params) -> Params:
    return jax.tree.map(lambda leaf: leaf[None], params)


def all_lasting(action_sizes: Sequence[int]) -> tuple[tuple[bool, ...], ...]:
    """Return a mask of lasting actions that is True for every real action; one number of actions an agent."""
    return tuple(tuple(entry < size for entry in range(max(action_sizes))) for size in action_sizes)
