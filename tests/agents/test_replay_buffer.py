"""The replay buffer: what it keeps, and the returns drawn from it, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neomflex_jax.agents.sac import SacConfig
from neomflex_jax.agents.sac.replay_buffer import Transition, add, empty_buffer, sample_batch

GAMMA = SacConfig().gamma


def test_buffer_keeps_the_newest_and_samples_only_what_was_added():
    one, none = jnp.zeros((1, 1)), jnp.zeros(())
    example = Transition(one, one, jnp.zeros(1), none, one)
    buffer = empty_buffer(example, 6)

    def batch(value):
        return jax.tree.map(lambda leaf: jnp.full((2, *leaf.shape), value), example)

    buffer = add(buffer, batch(1.0))
    assert set(np.unique(sample_batch(buffer, jax.random.key(0), (100,), GAMMA).reward)) == {1.0}
    for value in (2.0, 3.0, 4.0):
        buffer = add(buffer, batch(value))
    assert sorted(np.unique(buffer.storage.truncated)) == [2.0, 3.0, 4.0]
    with pytest.raises(ValueError, match="multiple"):
        add(buffer, jax.tree.map(lambda leaf: jnp.zeros((4, *leaf.shape)), example))


def test_n_step_returns_by_hand():
    """One copy, rewards 1, 2, 4, ...; a day ends after the third step."""
    gamma, one = 0.5, jnp.zeros((1, 1))
    buffer = empty_buffer(Transition(one, one, jnp.zeros(1), jnp.zeros(()), one), 8)
    for step in range(6):
        new = Transition(
            observation=jnp.full((1, 1, 1), float(step)),
            action=jnp.zeros((1, 1, 1)),
            reward=jnp.full((1, 1), 2.0**step),
            truncated=jnp.array([float(step == 2)]),
            next_observation=jnp.full((1, 1, 1), step + 0.5),
        )
        buffer = add(buffer, new)
    batch = sample_batch(buffer, jax.random.key(0), (400,), gamma, n_steps=3, n_copies=1)
    expected = {  # first step: reward, discount of what follows, where it bootstraps
        0: (1 + 0.5 * 2 + 0.25 * 4, 0.125, 2.5),
        1: (2 + 0.5 * 4, 0.25, 2.5),
        2: (4, 0.5, 2.5),
        3: (8 + 0.5 * 16 + 0.25 * 32, 0.125, 5.5),
    }
    assert set(np.unique(batch.observation)) == set(expected)
    for start, (reward, discount, following) in expected.items():
        where = np.asarray(batch.observation)[:, 0, 0] == start
        np.testing.assert_allclose(np.asarray(batch.reward)[where], 2.0**start)
        np.testing.assert_allclose(np.asarray(batch.reward + batch.later_reward)[where], reward)
        np.testing.assert_allclose(np.asarray(batch.discount)[where], discount)
        np.testing.assert_allclose(np.asarray(batch.next_observation)[where], following)


def test_on_a_full_ring_a_return_never_joins_the_newest_step_to_the_oldest():
    """Two copies in a ring of four steps, written round it so that the oldest lies in the middle."""
    gamma, n_copies, steps = 0.5, 2, 7
    one = jnp.zeros((1, 1))
    buffer = empty_buffer(Transition(one, one, jnp.zeros(1), jnp.zeros(()), one), 4 * n_copies)
    for step in range(steps):
        named = jnp.array([step, 100 + step], float)[:, None, None]  # by copy and step
        none = jnp.zeros(n_copies)
        buffer = add(buffer, Transition(named, named, named[..., 0], none, named + 1.0))
    assert int(buffer.position) not in (0, buffer.storage.truncated.shape[0])
    batch = sample_batch(buffer, jax.random.key(0), (400,), gamma, n_steps=3, n_copies=n_copies)
    start = np.asarray(batch.observation)[:, 0, 0]
    assert set(np.unique(start)) == {3.0, 4.0, 103.0, 104.0}  # the last four steps, of which two have two successors
    np.testing.assert_array_equal(batch.later_reward[:, 0], gamma * (start + 1) + gamma**2 * (start + 2))
    np.testing.assert_array_equal(np.asarray(batch.next_observation)[:, 0, 0], start + 3)
    np.testing.assert_array_equal(batch.discount, gamma**3)
