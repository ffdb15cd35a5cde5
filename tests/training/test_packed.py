"""Learners of very unequal agents, one of most of the grid beside five of one bus: packed, they learn the same."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax import load_scenario
from neomflex_jax.agents.actors import Actors
from neomflex_jax.agents.gradient import GradientConfig
from neomflex_jax.agents.sac import SacConfig
from neomflex_jax.scenario import Territory
from neomflex_jax.training.algorithm import algorithm_for
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.packed import packed_for
from neomflex_jax.training.program import program_for

ALONE = (7, 14, 16, 23, 31)
GRADIENT = GradientConfig(n_copies=4, horizon_days=1, warmup_steps=4, hidden_sizes=(16,))
SAC = SacConfig(n_copies=8, batch_size=16, updates_per_step=1, buffer_size=512, warmup_steps=8, hidden_sizes=(16,))


@pytest.fixture(scope="module")
def env():
    rest = tuple(bus for bus in range(33) if bus not in ALONE)
    territories = [Territory("most", rest), *(Territory(f"at_{bus}", (bus,)) for bus in ALONE)]
    return nf.make(load_scenario("neom33", territories=territories, power_flow="lindistflow"))


def options(env, algorithm):
    return TrainOptions(env.scenario, algorithm=algorithm, gradient=GRADIENT, sac=SAC)


def test_the_environment_is_the_same_but_for_where_entries_lie(env):
    actors = algorithm_for(env, options(env, "gradient")).learner.actors
    packed = packed_for(actors, env)
    state, first = env.reset(jax.random.key(0))
    _, packed_first = packed.reset(jax.random.key(0))
    np.testing.assert_array_equal(packed_first.observation, actors.observations.packed(first.observation))
    action = 1.5 * jax.random.normal(jax.random.key(1), env.action_mask.shape)
    _, timestep = env.step(state, action)
    _, packed_timestep = packed.step(state, actors.actions.packed(action))
    for name in ("observation", "final_observation"):
        rows, one = getattr(timestep, name), getattr(packed_timestep, name)
        assert one.size < rows.size / 2
        np.testing.assert_array_equal(one, actors.observations.packed(rows))
    assert int(timestep.info["clipped_actions"].sum()) > 0
    for left, right in zip(jax.tree.leaves(timestep.info), jax.tree.leaves(packed_timestep.info), strict=True):
        np.testing.assert_array_equal(left, right)


def test_missing_agents_see_nothing_packed_either(env):
    scenario = replace(env.scenario, observation=replace(env.scenario.observation, missing_probability=0.5))
    env = nf.make(scenario)
    actors = algorithm_for(env, options(env, "gradient")).learner.actors
    first = env.reset(jax.random.key(3))[1].observation
    assert (first == 0).all(axis=1).any() and not (first == 0).all()
    packed = packed_for(actors, env).reset(jax.random.key(3))[1].observation
    np.testing.assert_array_equal(packed, actors.observations.packed(first))


def test_the_gradient_of_a_day_is_that_of_padded_agents(env, monkeypatch):
    packed, padded = (algorithm_for(env, options(env, "gradient")) for _ in range(2))
    assert packed.learner.actors.actions.is_packed
    with monkeypatch.context() as patch:
        patch.setattr(Actors, "size_classes", (tuple(range(env.n_agents)),))
        assert not (padded.learner.actors.actions.is_packed or padded.learner.actors.observations.is_packed)
    state = padded.learner.init(jax.random.key(0))

    def gradient(training):
        learner = training.learner

        def cost(actor):
            return training._play(env, learner.acting(actor, learner.actors.no_statistics()), jax.random.key(1))[0]

        return jax.jit(jax.value_and_grad(cost))(state.actor)

    for left, right in zip(*map(jax.tree.leaves, map(gradient, (padded, packed))), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-4 * float(jnp.abs(left).max()))


@pytest.mark.parametrize("algorithm", ["sac", "gradient"])
def test_a_chunk_of_learning(env, algorithm):
    program = program_for(env, options(env, algorithm))
    state, metrics = program.advance(env, program.begin(env, [0]), 0.0)
    assert all(np.isfinite(value).all() for value in metrics.values())
    networks = program.networks(state)[0]
    sizes = [(network.observation_size, network.action_size) for network in networks]
    assert sizes == list(zip(env.observation_mask.sum(axis=1), env.action_mask.sum(axis=1), strict=True))
    if algorithm == "sac":
        kept, rows = state.buffer.storage, env.observation_mask
        assert kept.observation.shape == kept.next_observation.shape == (512, 1, kept.observation.shape[-1])
        assert rows.sum() <= kept.observation.shape[-1] < rows.size / 2
        assert np.asarray(kept.observation[0, 0])[~program.algorithm.sac.observation_mask[0]].sum() == 0
