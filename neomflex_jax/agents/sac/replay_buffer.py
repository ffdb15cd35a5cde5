"""A ring buffer of transitions on the device."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Transition:
    """One step for learning; leading axes are batch axes."""

    observation: Array  # (n_agents, observation_size)
    action: Array  # (n_agents, action_size)
    reward: Array  # (n_agents,)
    terminated: Array  # () 1.0 where the task, not the clock, ended the day
    next_observation: Array  # (n_agents, observation_size) before any auto-reset


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class ReplayBuffer:
    """The last `capacity` transitions."""

    storage: Transition  # (capacity, ...)
    position: Array  # () int32 where the next ones go
    filled: Array  # () int32 how many there are


def empty_buffer(example: Transition, capacity: int) -> ReplayBuffer:
    """Make an empty buffer for transitions like `example` (one, without batch axes)."""
    storage = jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), example)
    return ReplayBuffer(storage, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def add(buffer: ReplayBuffer, transitions: Transition) -> ReplayBuffer:
    """Add a batch, overwriting the oldest; the capacity must be a multiple of the batch's size."""
    n_new = transitions.terminated.shape[0]
    capacity = buffer.storage.terminated.shape[0]
    if capacity % n_new:
        raise ValueError(f"capacity {capacity} is not a multiple of the {n_new} transitions added at once")
    storage = jax.tree.map(
        lambda kept, new: jax.lax.dynamic_update_slice_in_dim(kept, new, buffer.position, axis=0),
        buffer.storage,
        transitions,
    )
    return ReplayBuffer(storage, (buffer.position + n_new) % capacity, jnp.minimum(buffer.filled + n_new, capacity))


def sample_transitions(buffer: ReplayBuffer, key: Array, shape: tuple[int, ...]) -> Transition:
    """Draw uniformly, with replacement, from what has been added; gives leading axes `shape`."""
    index = jax.random.randint(key, shape, 0, buffer.filled)
    return jax.tree.map(lambda leaf: leaf[index], buffer.storage)
