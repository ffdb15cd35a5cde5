"""Target critics follow the online ones, by the step that is set or that suits whose critics they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neomflex_jax.agents.sac import Sac, SacConfig
from neomflex_jax.agents.sac.losses import soft_targets
from neomflex_jax.agents.sac.replay_buffer import Batch


@pytest.mark.parametrize(
    ("critics", "tau", "step"), [("shared", "auto", 0.05), ("joint", "auto", 0.01), ("joint", 0.3, 0.3)]
)
def test_targets_follow_a_critic_of_all_faster_than_an_agents_own(critics, tau, step):
    config = SacConfig(
        n_copies=4, batch_size=8, buffer_size=64, warmup_steps=8, hidden_sizes=(4,), critics=critics, tau=tau
    )
    sac, rewards = Sac(config, (3, 3), (1, 1)), jax.random.normal(jax.random.key(1), (8, 2))
    seen, actions = jnp.ones((8, 2, 3)), jnp.zeros((8, 2, 1))
    batch = Batch(seen, actions, rewards, jnp.zeros_like(rewards), jnp.full(8, 0.9), seen)
    before = sac.init(jax.random.key(0))
    after, _ = jax.jit(sac.update)(before, batch, jax.random.key(2))
    for old, online, new in zip(*map(jax.tree.leaves, (before.critic, after.critic, after.target_critic)), strict=True):
        np.testing.assert_allclose(new, (1 - step) * old + step * online, rtol=1e-4, atol=1e-6)


def test_no_next_state_is_worth_more_than_the_best_reward_and_entropy_for_ever():
    """With 59 devices of `ieee123` critics had climbed to two million, a hundred thousand times the best return."""
    values = jnp.array([[[5.0, 1e6, 1e6], [6.0, 2e6, 2e6]], [[-7.0, 3.0, 0.0], [-8.0, 4.0, 0.0]]])
    cost = jnp.array([[0.1, 0.0], [-0.3, -0.2], [0.2, 0.1]])
    reward, discount = jnp.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]), jnp.array([0.9, 0.9, 0.0])
    targets = soft_targets(reward, discount, values, cost, jnp.array([0.7, -0.5]))
    np.testing.assert_allclose(targets[0], [1 + 0.9 * 4.9, 1 + 0.9 * (0.7 + 0.3) / 0.1, 1.0], rtol=1e-5)
    np.testing.assert_allclose(targets[1], [0.9 * -8.0, 0.9 * (-0.5 + 0.2) / 0.1, 0.0], rtol=1e-5)
    endless = soft_targets(reward, jnp.ones(3), values, cost, jnp.array([0.7, -0.5]))
    np.testing.assert_allclose(endless[0, 1], 1e6 + 1.3, rtol=1e-6)
