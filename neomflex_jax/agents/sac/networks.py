"""Actor and critic networks of one agent; `jax.vmap` over stacked parameters makes them several."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

LOG_STD_MIN, LOG_STD_MAX = -5.0, 2.0


class Actor(nn.Module):
    """Observation to mean and log standard deviation before squashing."""

    hidden_sizes: tuple[int, ...]
    action_size: int

    @nn.compact
    def __call__(self, observation: Array) -> tuple[Array, Array]:
        """Evaluate on (observation_size,) or any batch of it; gives two (action_size,)."""
        x = observation
        for size in self.hidden_sizes:
            x = nn.relu(nn.Dense(size)(x))
        mean, log_std = jnp.split(nn.Dense(2 * self.action_size)(x), 2, axis=-1)
        return mean, LOG_STD_MIN + 0.5 * (LOG_STD_MAX - LOG_STD_MIN) * (jnp.tanh(log_std) + 1.0)


class Critic(nn.Module):
    """What a critic sees (observation and action, concatenated) to a value."""

    hidden_sizes: tuple[int, ...]
    layer_norm: bool

    @nn.compact
    def __call__(self, inputs: Array) -> Array:
        """Evaluate on (input_size,) or any batch of it; gives the value without a last axis."""
        x = inputs
        for size in self.hidden_sizes:
            x = nn.Dense(size)(x)
            x = nn.relu(nn.LayerNorm()(x) if self.layer_norm else x)
        return jnp.squeeze(nn.Dense(1)(x), -1)
