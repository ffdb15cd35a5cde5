"""Critics that see a neighbourhood: no more than that, and against a loop written by hand."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neomflex_jax.agents.sac import Sac, SacConfig
from neomflex_jax.agents.sac.distribution import sample

NEAR = ((0, 1), (1, 0), (2, 3), (3, 2))
CONFIG = SacConfig(n_copies=4, batch_size=8, buffer_size=64, warmup_steps=4, hidden_sizes=(6,), critics="neighbourhood")


@pytest.fixture(scope="module")
def case():
    sac = Sac(CONFIG, (3, 2, 3, 1), (2, 1, 1, 2), neighbourhoods=NEAR)
    observation = np.random.default_rng(0).normal(size=(8, 4, 3)).astype(np.float32) * sac.observation_mask
    noise = np.random.default_rng(1).normal(size=(8, 4, 2)).astype(np.float32)
    return sac, jax.jit(sac.init)(jax.random.key(0)), observation, noise


def test_a_critic_sees_its_neighbourhood_and_nobody_else(case):
    """Neighbours are mutual here: who is seen by whom."""
    sac, state, observation, noise = case
    action = np.tanh(noise) * sac.action_mask
    values = jax.jit(
        lambda seen, done: jax.vmap(sac._critics.values, (0, -2))(state.critic, sac._critics.seen(seen, done))
    )
    before = np.asarray(values(observation, action))
    for who in range(4):
        changed = [np.array(each) for each in (observation, action)]
        for each in changed:
            each[:, who] += 1.0
        differs = (np.asarray(values(*changed)) != before).any(axis=(1, 2))
        assert np.flatnonzero(differs).tolist() == sorted(NEAR[who])


def test_actors_follow_their_own_critics_as_in_a_loop(case):
    sac, state, observation, noise = case
    temperature = jnp.exp(state.log_temperature)

    def cost(actor):
        mean, log_std = sac.actors.apply(actor, observation)
        action, log_probability = sample(mean, log_std, jnp.asarray(sac.action_mask), noise)
        total = 0.0
        for agent, (_, other) in enumerate(NEAR):
            critic = jax.tree.map(lambda leaf, agent=agent: leaf[agent], state.critic)
            rows = [jnp.concatenate([observation[:, agent], action[:, agent]], axis=-1)]
            rows += [jnp.concatenate([observation[:, other], jax.lax.stop_gradient(action[:, other])], axis=-1)]
            x = jnp.concatenate(rows, axis=-1)
            values = [by_hand(critic["now"], x) + by_hand(twin(critic["later"], k), x) for k in (0, 1)]
            total += (temperature[agent] * log_probability[:, agent] - jnp.minimum(*values)).mean()
        return total

    _, _, made = jax.jit(sac._actor_gradients)(state, state.critic, {}, observation, noise)
    expected = jax.jit(jax.grad(cost))(state.actor)
    for a, b in zip(jax.tree.leaves(made), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)


def twin(params, number):
    return jax.tree.map(lambda leaf: leaf[number], params)


def by_hand(params, x):
    first, last = params["params"]["Dense_0"], params["params"]["Dense_1"]
    x = x @ first["kernel"] + first["bias"]
    return (x * jax.nn.sigmoid(x) @ last["kernel"] + last["bias"])[:, 0]


def test_a_shared_reward_is_learned_as_the_neighbourhoods_part(case):
    sac = case[0]
    local = np.array([[1.0, 3.0, 10.0, -2.0]])
    team = np.full((1, 4), local.mean())
    np.testing.assert_allclose(sac.received(team, local, shared=True), [[2.0, 2.0, 4.0, 4.0]])
    assert sac.received(local, local, shared=False) is local
    joint = replace(sac, config=replace(CONFIG, critics="joint"))
    assert joint.received(team, local, shared=True) is team
