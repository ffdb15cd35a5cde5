"""The critic network of one agent; `jax.vmap` over stacked parameters makes twins and several agents."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jax import Array


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
