"""A ring buffer of transitions on the device, and what a learner draws from it.

Every copy of the environment adds one transition at a time, all of them side by side: the successor of entry i is entry
``i + n_copies``. A return over n steps is ``sum_k gamma^k r_k``, cut where a day ends. No end of a day ends the task:
the value of what follows always comes on top.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
from jax import Array

from neomflex_jax.one_line import one_line


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Transition:
    """One step for learning; leading axes are batch axes."""

    observation: Array  # (n_rows, size) as they lie in `Actors.observations`
    action: Array  # (n_rows, size) as they lie in `Actors.actions`
    reward: Array  # (n_agents,)
    truncated: Array  # () 1.0 where the day ended
    next_observation: Array  # (n_rows, size) before any auto-reset
    broken: dict[str, Array] = field(default_factory=dict)  # () each, 1.0 where the step broke a constraint, by name

    __repr__ = one_line


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class ReplayBuffer:
    """The last `capacity` transitions."""

    storage: Transition  # (capacity, ...)
    position: Array  # () int32 where the next ones go
    filled: Array  # () int32 how many there are

    __repr__ = one_line


def empty_buffer(example: Transition, capacity: int) -> ReplayBuffer:
    """Make an empty buffer for transitions like `example` (one, without batch axes)."""
    storage = jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), example)
    return ReplayBuffer(storage, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def add(buffer: ReplayBuffer, transitions: Transition) -> ReplayBuffer:
    """Add a batch, overwriting the oldest; the capacity must be a multiple of the batch's size."""
    n_new = transitions.truncated.shape[0]
    capacity = buffer.storage.truncated.shape[0]
    if capacity % n_new:
        raise ValueError(f"capacity {capacity} is not a multiple of the {n_new} transitions added at once")
    storage = jax.tree.map(
        lambda kept, new: jax.lax.dynamic_update_slice_in_dim(kept, new, buffer.position, axis=0),
        buffer.storage,
        transitions,
    )
    return ReplayBuffer(storage, (buffer.position + n_new) % capacity, jnp.minimum(buffer.filled + n_new, capacity))


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Batch:
    """What an update learns from; leading axes are batch axes."""

    observation: Array  # (n_rows, size)
    action: Array  # (n_rows, size)
    reward: Array  # (n_agents,) of the step
    later_reward: Array  # (n_agents,) discounted sum over the n - 1 steps after it
    discount: Array  # () of the value of `next_observation`: gamma^steps
    next_observation: Array  # (n_rows, size)
    broken: dict[str, Array] = field(default_factory=dict)  # () each, of the step, by constraint
    later_broken: dict[str, Array] = field(default_factory=dict)  # () each, as `later_reward`


def sample_batch(
    buffer: ReplayBuffer,
    key: Array,
    shape: tuple[int, ...],
    gamma: Array | float,
    n_steps: int = 1,
    n_copies: int = 1,
    learned: Callable[[Array], Array] = lambda reward: reward,
) -> Batch:
    """Draw uniformly, with replacement, from what has `n_steps` successors.

    Parameters
    ----------
    buffer, key
        Where from, and by which chance.
    shape
        Leading axes of the batch.
    gamma, n_steps
        Discount factor, and steps of a return.
    n_copies
        Copies of the environment that added transitions side by side.
    learned
        Makes of every reward what it is learned as.
    """
    capacity = buffer.storage.truncated.shape[0]
    oldest = buffer.position - buffer.filled
    start = jax.random.randint(key, shape, 0, buffer.filled - (n_steps - 1) * n_copies)
    index = (oldest + start) % capacity
    first = jax.tree.map(lambda leaf: leaf[index], buffer.storage)
    reward = learned(first.reward)
    later_reward, next_observation = jnp.zeros_like(first.reward), first.next_observation
    later_broken = jax.tree.map(jnp.zeros_like, first.broken)
    goes_on = 1.0 - first.truncated
    discount = jnp.full_like(goes_on, gamma)
    for step in range(1, n_steps):
        later = (index + step * n_copies) % capacity
        later_reward = later_reward + (gamma**step * goes_on)[..., None] * learned(buffer.storage.reward[later])
        for name, kept in buffer.storage.broken.items():
            later_broken[name] = later_broken[name] + gamma**step * goes_on * kept[later]
        following = buffer.storage.next_observation[later]
        next_observation = jnp.where(goes_on[..., None, None] > 0, following, next_observation)
        discount = jnp.where(goes_on > 0, discount * gamma, discount)
        goes_on = goes_on * (1.0 - buffer.storage.truncated[later])
    batch = Batch(first.observation, first.action, reward, later_reward, discount, next_observation)
    return replace(batch, broken=first.broken, later_broken=later_broken)
