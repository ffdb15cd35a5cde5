"""The IPPO example: its advantages, the actors that it cuts out, and that it learns."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("jaxmarl")

from neomflex_jax.adapters import jaxmarl as adapter

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import ippo_jaxmarl as example


def test_advantages_add_up_errors_and_end_with_a_day():
    ones = jnp.ones((3, 1, 1))
    played = example.Played(ones, ones, ones, value=0 * ones, reward=ones, next_value=0 * ones, done=0 * ones)
    decay = example.GAMMA * example.GAE_LAMBDA
    expected = [1 + decay + decay**2, 1 + decay, 1]
    advantages = jax.jit(example.advantages)
    np.testing.assert_allclose(advantages(played).ravel(), expected, rtol=1e-6)
    ended = played._replace(done=jnp.array([0.0, 1.0, 0.0]).reshape(3, 1, 1))
    np.testing.assert_allclose(advantages(ended).ravel(), [1 + decay, 1, 1], rtol=1e-6)


@pytest.fixture(scope="module")
def ippo(three_days):
    return example.Ippo(adapter.make("neom33", padded=True, power_flow="lindistflow", profiles=three_days))


def test_actors_cut_out_act_as_the_shared_network(ippo):
    env = ippo.env.env
    seen = env.observation_mask * jax.random.normal(jax.random.key(1), env.observation_mask.shape)
    numbered = jnp.concatenate([jnp.eye(env.n_agents), seen], axis=1)

    @jax.jit
    def shared(key):
        params = jax.tree.map(lambda leaf: leaf + 0.1, ippo.network.init(key, numbered[0]))
        return params, jnp.where(env.action_mask, jnp.tanh(ippo.network.apply(params, numbered)[0]), 0.0)

    params, expected = shared(jax.random.key(0))
    np.testing.assert_allclose(ippo.policy(params)(seen), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_it_learns(ippo):
    _, rewards = ippo.train(20 * example.COPIES * example.STEPS, seed=0)
    assert rewards[-3:].mean() > 0.7 * rewards[:3].mean()  # both are below 0
