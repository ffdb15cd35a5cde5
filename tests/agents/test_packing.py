"""Unequal agents packed: where entries lie, and learners that make of them what they make of padded rows."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neomflex_jax.agents.actors import Actors
from neomflex_jax.agents.sac import Sac, SacConfig
from neomflex_jax.agents.sac.replay_buffer import Batch
from neomflex_jax.packing import Packing, size_classes

OBSERVATION_SIZES, ACTION_SIZES = (40, 3, 1, 2, 33, 3, 2, 1, 3), (5, 1, 1, 2, 3, 1, 1, 1, 1)
N_AGENTS = len(ACTION_SIZES)
SMALL = SacConfig(n_copies=4, batch_size=8, updates_per_step=1, buffer_size=64, warmup_steps=4, hidden_sizes=(8, 8))


def test_entries_lie_class_after_class():
    assert size_classes(OBSERVATION_SIZES) == ((2, 7), (3, 6), (1, 5, 8), (0, 4))
    packing = Packing((5, 1, 2, 1), ((1, 3), (2,), (0,)))
    rows = np.arange(20).reshape(4, 5)
    assert packing.shape == (1, 1 + 1 + 2 + 5)
    assert packing.packed(rows)[0].tolist() == [5, 15, 10, 11, 0, 1, 2, 3, 4]
    assert packing.agent[0].tolist() == [1, 3, 2, 2, 0, 0, 0, 0, 0]
    assert [packing.start(agent) for agent in range(4)] == [(0, 4), (0, 0), (0, 2), (0, 1)]
    assert packing.mask.all()


@pytest.mark.parametrize("sizes", [OBSERVATION_SIZES, (4, 3, 4)])
def test_packing_and_back(sizes):
    packing = Packing(sizes, size_classes(sizes))
    mask = np.arange(max(sizes)) < np.array(sizes)[:, None]
    rows = jax.random.normal(jax.random.key(0), (2, *mask.shape)) * mask
    packed = packing.packed(rows)
    assert packed.shape[1:] == packing.shape == packing.mask.shape
    assert packing.mask.size < 2 * sum(sizes) and packing.mask.sum() == sum(sizes)
    np.testing.assert_array_equal(packing.rows(packed), rows)
    np.testing.assert_array_equal(packing.joined(packing.split(packed)), packed)
    np.testing.assert_allclose(packing.sums(packed), rows.sum(axis=-1), rtol=1e-5, atol=1e-6)


def padded_and_packed(monkeypatch, **settings):
    """Two learners of the same agents, one of which has them as rows."""
    packed, padded = (Sac(replace(SMALL, **settings), OBSERVATION_SIZES, ACTION_SIZES) for _ in range(2))
    assert packed.actors.actions.is_packed
    with monkeypatch.context() as patch:
        patch.setattr(Actors, "size_classes", (tuple(range(N_AGENTS)),))
        assert not (padded.actors.observations.is_packed or padded.actors.actions.is_packed)
    return padded, packed


def batch_of(sac):
    keys = jax.random.split(jax.random.key(1), 4)
    sizes = (max(OBSERVATION_SIZES), max(ACTION_SIZES))
    observation, following = (jax.random.normal(key, (8, N_AGENTS, sizes[0])) for key in keys[:2])
    action = jax.random.uniform(keys[2], (8, N_AGENTS, sizes[1]), minval=-1.0)
    reward = jax.random.normal(keys[3], (8, N_AGENTS))
    observation, following = (sac.actors.observations.packed(each) for each in (observation, following))
    action = sac.actors.actions.packed(action) * sac.action_mask
    return Batch(observation, action, reward, jnp.zeros_like(reward), jnp.full(8, 0.9), following)


def gradients(sac, state, noise):
    """What critics and actors of a state would learn."""
    batch = batch_of(sac)
    inputs = sac.actors.inputs(state.statistics, batch.observation)
    given = replace(batch, observation=inputs, next_observation=inputs)
    return sac._critic_gradients(state, given, noise, given.reward.max(axis=0)), sac._actor_gradients(
        state, state.critic, {}, inputs, noise
    )


def test_packed_agents_learn_as_padded_ones_with_critics_of_their_own(monkeypatch):
    padded, packed = padded_and_packed(monkeypatch, critics="local")
    state = padded.init(jax.random.key(0))
    noise = jax.random.normal(jax.random.key(2), (8, N_AGENTS, max(ACTION_SIZES)))
    found = []
    for sac in (padded, packed):
        own = replace(state, statistics=sac.actors.no_statistics())
        found.append(jax.jit(gradients, static_argnums=0)(sac, own, sac.actors.actions.packed(noise)))
    for left, right in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(left, right, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("critics", ["local", "joint", "shared"])
def test_garbage_in_packed_slots_changes_nothing(critics):
    sac = Sac(replace(SMALL, critics=critics), OBSERVATION_SIZES, ACTION_SIZES)
    state, clean = sac.init(jax.random.key(0)), batch_of(sac)
    assert not sac.observation_mask.all()
    garbage = replace(
        clean,
        observation=jnp.where(sac.observation_mask, clean.observation, 7.0),
        next_observation=jnp.where(sac.observation_mask, clean.next_observation, -9.0),
        action=jnp.where(sac.action_mask, clean.action, 3.0),
    )
    update = jax.jit(sac.update)
    for left, right in zip(
        jax.tree.leaves(update(state, clean, jax.random.key(2))),
        jax.tree.leaves(update(state, garbage, jax.random.key(2))),
        strict=True,
    ):
        np.testing.assert_array_equal(left, right)


def test_a_shared_critic_gives_packed_agents_the_gradient_of_their_own_action():
    """Against joint critics with the same parameters for every agent."""
    shared, joint = (
        Sac(replace(SMALL, critics=critics), OBSERVATION_SIZES, ACTION_SIZES) for critics in ("shared", "joint")
    )
    state, batch = shared.init(jax.random.key(0)), batch_of(shared)
    noise = jax.random.normal(jax.random.key(2), batch.action.shape)
    inputs = shared.actors.inputs(state.statistics, batch.observation)
    each = jax.tree.map(lambda leaf: jnp.repeat(leaf, N_AGENTS, axis=0), state.critic)
    one = jax.jit(shared._actor_gradients)(state, state.critic, {}, inputs, noise)
    own = jax.jit(joint._actor_gradients)(state, each, {}, inputs, noise)
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(own), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)


def test_networks_cut_out_of_packed_actors_act_alike_and_start_others():
    sac = Sac(SMALL, OBSERVATION_SIZES, ACTION_SIZES)
    batch = batch_of(sac)
    state = sac.with_statistics(sac.init(jax.random.key(0)), batch.observation)
    again = sac.with_networks(sac.init(jax.random.key(5)), sac.networks(state), jax.random.key(6))
    seen = sac.actors.observations.rows(batch.observation)

    @jax.jit
    def act(each):
        mean, _ = sac.actors.apply(each.averaged_actor, sac.actors.inputs(each.statistics, batch.observation))
        return sac.actors.actions.rows(jnp.tanh(mean))

    for each in (state, again):
        acted = act(each)
        for index, network in enumerate(sac.networks(state)):
            own = np.asarray(seen[:, index, : network.observation_size])
            np.testing.assert_allclose(network(own), acted[:, index, : network.action_size], rtol=1e-4, atol=1e-5)
