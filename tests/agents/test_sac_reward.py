"""What SAC makes of rewards before it learns from them: units from the warm-up, logarithms of far ones."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neomflex_jax import InputError, load_scenario
from neomflex_jax.agents.sac import Sac, SacConfig
from neomflex_jax.agents.sac.replay_buffer import Transition, add, empty_buffer, sample_batch
from neomflex_jax.agents.sac.reward import EARLY_UPDATES, UNITS, measured_scale, squeezed
from neomflex_jax.environment import make
from neomflex_jax.training.algorithm import algorithm_for
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.program import Program
from neomflex_jax.training.step_metrics import of_rounds
from neomflex_jax.training.sweep_job import traced_settings

SMALL = SacConfig(
    n_copies=2, batch_size=8, updates_per_step=1, buffer_size=8, warmup_steps=4, hidden_sizes=(8,), actor_average=1.0
)


def costs_of_random_play(seed=0, n=4000):
    """Small costs, and in a third of all steps penalties of hundreds."""
    random = np.random.default_rng(seed)
    penalty = np.where(random.random(n) < 0.35, random.lognormal(3.0, 1.0, n), 0.0)
    return -(0.1 + 0.3 * random.random(n) + penalty)


def scale_of(rewards):
    return float(measured_scale(jnp.asarray(rewards)[:, None])[0])


def test_the_scale_comes_from_the_best_quarter_whatever_the_penalties():
    rewards = costs_of_random_play()
    heavier = np.where(rewards < -1.0, 100.0 * rewards, rewards)
    best = np.quantile(rewards, [0.75, 0.99])
    assert scale_of(rewards) == pytest.approx(UNITS / (best[1] - best[0]), rel=1e-3)
    assert scale_of(heavier) == pytest.approx(scale_of(rewards), rel=1e-6)


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_the_scale_goes_with_the_unit_of_rewards(unit):
    rewards = costs_of_random_play()
    assert scale_of(unit * rewards) * unit == pytest.approx(scale_of(rewards), rel=1e-4)


@pytest.mark.parametrize(("reward", "scale"), [(0.0, 1.0), (-2.0, 2500.0), (3e-9, UNITS / 3e-12)])
def test_rewards_that_are_all_equal_have_a_finite_scale(reward, scale):
    assert scale_of(np.full(100, reward)) == pytest.approx(scale, rel=1e-3)


def test_every_learner_has_the_scale_of_its_own_rewards():
    rewards = np.stack([costs_of_random_play(), 1000.0 * costs_of_random_play(1)], axis=1)
    both = np.asarray(measured_scale(jnp.asarray(rewards)))
    assert both[0] / both[1] == pytest.approx(1000.0, rel=0.2)


def test_one_critic_for_all_has_the_scale_of_the_teams_mean():
    sac = Sac(replace(SMALL, critics="shared", reward_tail=100.0), (1, 1), (1, 1))
    rewards = jnp.asarray(np.stack([costs_of_random_play(), 3.0 * costs_of_random_play()], axis=1))
    state = sac.with_reward_scale(sac.init(jax.random.key(0)), rewards)
    np.testing.assert_allclose(state.measured_scale, 2 * [scale_of(2.0 * costs_of_random_play())], rtol=1e-4)
    learned = sac.learned_rewards(state, jnp.array([[-0.1, -0.3]]))
    np.testing.assert_allclose(learned, 2 * [-0.2 * float(state.measured_scale[0])] * np.ones((1, 2)), rtol=1e-5)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.floats(-100.0, 100.0, width=32))
def test_squeezing_keeps_the_order_and_leaves_what_is_near(one, other):
    low, high = sorted([one, other])
    assert float(squeezed(jnp.asarray(low), 10.0)) <= float(squeezed(jnp.asarray(high), 10.0))
    near = np.clip(other, -10.0, 10.0)
    assert float(squeezed(jnp.asarray(near), 10.0)) == np.float32(near)


def test_squeezing_is_a_logarithm_with_a_smooth_start():
    slope = jax.grad(squeezed)
    np.testing.assert_allclose(squeezed(jnp.array([1e3, -1e3, 0.0]), 10.0), [56.0517, -56.0517, 0.0], rtol=1e-5)
    np.testing.assert_allclose([slope(9.99, 10.0), slope(10.01, 10.0)], [1.0, 1.0], rtol=2e-3)


def test_the_tail_recedes_as_critics_learn():
    sac = Sac(replace(SMALL, reward_tail=10.0), (1, 1), (1, 1))
    state, far = sac.init(jax.random.key(0)), jnp.array([[-50.0, -2000.0]])
    early = replace(state, updates=jnp.asarray(EARLY_UPDATES, jnp.int32))
    late = replace(state, updates=jnp.asarray(10 * EARLY_UPDATES, jnp.int32))
    np.testing.assert_allclose(sac.learned_rewards(early, far), squeezed(far, 10.0), rtol=1e-5)
    np.testing.assert_allclose(sac.learned_rewards(late, far), [[-50.0, -100.0 * (1.0 + np.log(20.0))]], rtol=1e-5)


def test_returns_over_steps_sum_what_each_reward_is_learned_as():
    nothing = jnp.zeros((1, 1))
    example = Transition(nothing[0][None], nothing, jnp.zeros(1), jnp.zeros(()), nothing)
    buffer = empty_buffer(example, 3)
    for _ in range(3):
        one = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], replace(example, reward=jnp.array([-100.0])))
        buffer = add(buffer, one)
    batch = sample_batch(buffer, jax.random.key(0), (1,), 0.5, n_steps=3, learned=lambda r: squeezed(r, 10.0))
    each = 10.0 * (1.0 + np.log(10.0))
    np.testing.assert_allclose(batch.reward, [[-each]], rtol=1e-5)
    np.testing.assert_allclose(batch.later_reward, [[-each * (0.5 + 0.25)]], rtol=1e-5)


@pytest.fixture(scope="module")
def trained(three_days):
    """Side by side: as measured in the warm-up, the same number given, another."""

    def options(**sac):
        config = replace(SMALL, **sac)
        scenario = load_scenario("voltage33", power_flow="lindistflow", profiles=str(three_days))
        return TrainOptions(scenario, sac=config)

    env = make(options().scenario)
    program = Program(algorithm_for(env, options()), 3)
    state = program.begin(env, [0, 0, 0])
    measured = float(state.learner.measured_scale[0, 0])
    each = [options(), options(reward_scale=measured), options(reward_scale=2.0 * measured)]
    state = program.with_settings(state, [traced_settings(one) for one in each])
    state, metrics = program.advance(env, state, 0.0)
    return measured, state.learner, of_rounds([jax.device_get(metrics)], axis=1)


def test_the_measured_scale_is_used_and_stated_and_a_number_takes_its_place(trained):
    measured, learner, metrics = trained
    np.testing.assert_allclose(metrics["reward_scale"][:, 0], [measured, measured, 2.0 * measured], rtol=1e-6)
    for leaf in map(np.asarray, jax.tree.leaves(learner.critic)):
        np.testing.assert_allclose(leaf[1], leaf[0], rtol=1e-4, atol=1e-6)
    as_measured, as_given, doubled = np.asarray(metrics["critic_loss"]).mean(axis=-1)
    assert as_given == pytest.approx(as_measured, rel=1e-4)
    assert doubled > 1.05 * as_measured


@pytest.mark.parametrize("value", ["large", 0.0, -1.0, float("nan")])
def test_a_scale_that_is_none_is_refused(value):
    with pytest.raises(InputError, match="reward_scale"):
        SacConfig(reward_scale=value)


def test_a_fresh_policy_is_next_to_no_control():
    sac = Sac(SMALL, (3, 2), (2, 1))
    networks = sac.networks(sac.init(jax.random.key(0)))
    observation = np.random.default_rng(0).normal(size=(500, 3))
    assert all(np.abs(one(observation[:, : one.observation_size])).max() < 0.1 for one in networks)


def test_a_violation_that_ends_the_day_is_no_rest(three_days):
    """Its value goes on as where policies are judged, or violating is cheaper than going on badly."""
    scenario = load_scenario("neom33-original", power_flow="lindistflow", profiles=str(three_days))
    narrow = replace(scenario, limits=replace(scenario.limits, hard_min_pu=0.99, band_min_pu=0.995))
    env, options = make(narrow), TrainOptions(narrow, sac=replace(SMALL, days="scenario"))
    algorithm = algorithm_for(env, options)
    state = algorithm.warm_up(env, algorithm.start(env, jax.random.key(0)))
    kept = state.buffer.storage
    assert (kept.reward == -100.0).any()
    np.testing.assert_array_equal(kept.truncated, (kept.reward == -100.0).all(axis=1))
