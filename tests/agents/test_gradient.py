"""The gradient learner: its gradient against finite differences, problems with known solutions, whole runs."""

import dataclasses
import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neomflex_jax import InputError, load_scenario
from neomflex_jax.agents.gradient import GradientConfig, GradientLearner
from neomflex_jax.agents.networks import NetworkPolicy
from neomflex_jax.agents.policy_files import load_policies
from neomflex_jax.agents.squash import squash
from neomflex_jax.environment import evaluation_environment, make
from neomflex_jax.evaluation import record
from neomflex_jax.training.algorithm import algorithm_for
from neomflex_jax.training.gradient_loop import _damped
from neomflex_jax.training.initial_policies import initial_networks
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.train import train

SMALL = GradientConfig(n_copies=4, horizon_days=1, warmup_steps=4, hidden_sizes=(16,))
OBSERVATION_SIZES, ACTION_SIZES = (3, 2), (2, 1)
OBSERVATION_MASK = np.array([[True, True, True], [True, True, False]])
ACTION_MASK = np.array([[True, True], [True, False]])


def options(**changes):
    scenario = load_scenario("neom33", power_flow="lindistflow")
    given = {"gradient": SMALL, "total_steps": 2 * 1920 + 16, "compared_days": 0} | changes
    return TrainOptions(scenario, algorithm="gradient", **given)


def test_probe_every_agent_finds_its_action():
    """``cost = sum (a - target(o))^2``: each agent's best action is a function of what it sees itself."""
    learner = GradientLearner(replace(SMALL, hidden_sizes=(32,), learning_rate=1e-2), OBSERVATION_SIZES, ACTION_SIZES)
    observation = jax.random.normal(jax.random.key(1), (256, 2, 3)) * OBSERVATION_MASK
    target = 0.6 * jnp.tanh(observation[..., :2]) * ACTION_MASK

    def cost(act):
        return jnp.sum((act(observation) - target) ** 2, axis=(-1, -2)).mean(), {}

    state = learner.with_statistics(learner.init(jax.random.key(0)), observation)
    body = jax.jit(lambda state, share: learner.update(state, cost, share)[0])
    for step in range(400):
        state = body(state, step / 400)
    error = learner.acting(state.actor, state.statistics)(observation) - target
    assert float(jnp.abs(error).mean()) < 0.02
    for index, network in enumerate(learner.networks(state)):
        own = np.asarray(observation[:, index, : network.observation_size])
        expected = np.asarray(learner.acting(state.actor, state.statistics)(observation))[:, index]
        np.testing.assert_allclose(network(own), expected[:, : network.action_size], atol=1e-5)


def test_a_fresh_policy_is_next_to_no_control():
    learner = GradientLearner(SMALL, OBSERVATION_SIZES, ACTION_SIZES)
    observation = np.random.default_rng(0).normal(size=(500, 3))
    networks = learner.networks(learner.init(jax.random.key(0)))
    assert all(np.abs(one(observation[:, : one.observation_size])).max() < 0.1 for one in networks)


def test_garbage_in_padded_slots_changes_nothing():
    learner = GradientLearner(SMALL, OBSERVATION_SIZES, ACTION_SIZES)
    state = learner.init(jax.random.key(0))
    clean = jax.random.normal(jax.random.key(1), (8, 2, 3))

    def gradient_step(observation):
        return learner.update(state, lambda act: (jnp.sum(act(observation) ** 2 + act(observation)), {}))[0]

    left = gradient_step(jnp.where(OBSERVATION_MASK, clean, 0.0))
    right = gradient_step(jnp.where(OBSERVATION_MASK, clean, 7.0))
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_agents_gradient_is_clipped_without_the_others():
    learner = GradientLearner(replace(SMALL, max_gradient_norm=1e-6), OBSERVATION_SIZES, ACTION_SIZES)
    state, observation = learner.init(jax.random.key(0)), jnp.ones((8, 2, 3))

    def of(weight):
        return learner.update(state, lambda act: (jnp.sum(act(observation) * jnp.array([[weight], [1.0]])), {}))[0]

    for a, b in zip(jax.tree.leaves(of(1.0).actor), jax.tree.leaves(of(1e6).actor), strict=True):
        np.testing.assert_array_equal(a[1], b[1])


@pytest.mark.parametrize("power_flow", ["calibrated", "ac"])
def test_the_gradient_of_days_is_that_of_finite_differences(power_flow):
    """Directional derivative of the mean day cost over two days, in double precision."""
    with jax.enable_x64(True):
        env = make("neom33", power_flow=power_flow)
        given = TrainOptions(
            env.scenario,
            algorithm="gradient",
            gradient=replace(SMALL, n_copies=2, horizon_days=2, warmup_steps=1, observed_gradient=1.0),
        )
        training = algorithm_for(env, given)
        learner = training.learner
        state = learner.init(jax.random.key(0))
        direction = jax.tree.map(
            lambda leaf: jax.random.normal(jax.random.key(leaf.size), leaf.shape) / leaf.size**0.5, state.actor
        )

        @jax.jit
        def cost(step):
            actor = jax.tree.map(lambda leaf, d: leaf + step * d, state.actor, direction)
            return training._play(env, learner.acting(actor, state.statistics), jax.random.key(3))[0]

        slope, h = float(jax.jit(jax.grad(cost))(0.0)), 1e-6
        assert slope == pytest.approx(float(cost(h) - cost(-h)) / (2 * h), rel=1e-3)


def test_a_share_of_the_gradient_passes_through_what_later_actions_see():
    """``a = k o`` with ``o`` the action before: full feedback grows like k^n, none leaves each action's own part."""

    def last(k, share):
        action = 1.0
        for _ in range(3):
            action = k * _damped(jnp.asarray(action), share)
        return action

    for share, expected in ((1.0, 3 * 2.0**2), (0.5, 2.0**2 * (1 + 0.5 + 0.25)), (0.0, 2.0**2)):
        value, slope = jax.value_and_grad(last)(2.0, share)
        assert value == 8.0 and slope == pytest.approx(expected * 1.0)
    with pytest.raises(InputError, match="observed_gradient = 2"):
        replace(SMALL, observed_gradient=2.0)


def test_a_loop_that_rings_does_not_explode_a_days_gradient_by_default():
    def after_a_day(w, share):
        action = w
        for _ in range(96):
            action = w - 1.5 * _damped(action, share)
        return action

    assert abs(jax.grad(after_a_day)(0.0, 1.0)) > 1e16
    assert abs(jax.grad(after_a_day)(0.0, GradientConfig().observed_gradient)) < 1.0


def test_energies_are_carried_over_midnight_inside_a_horizon():
    env = make("neom33", power_flow="lindistflow")
    training = algorithm_for(env, dataclasses.replace(options(), gradient=replace(SMALL, n_copies=1, horizon_days=2)))
    seen = []

    def charging(observation):  # batteries at full charge: full long before midnight, and still full after it
        jax.debug.callback(lambda o: seen.append(np.array(o)), observation)
        return jnp.full((1, 3, env.action_size), -1.0)

    training._play(env, charging, jax.random.key(0))
    jax.effects_barrier()
    table = env.describe()
    rows = table[(table["kind"] == "observation") & (table["agent"] == "agent_1")]
    soc = int(rows[rows["name"].str.contains("soc")]["index"].iloc[0])
    by_step = np.stack(seen)[:, 0, 0, soc]
    assert len(by_step) == 96
    np.testing.assert_allclose(by_step[40:], 0.9, atol=1e-5)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gradient") / "run"
    return folder, train(options(), folder)


@pytest.fixture(scope="module")
def played(run):
    env = evaluation_environment(make(options().scenario))
    policy = load_policies(run[0]).as_policy(env.scenario.observation_layout(), "neom33")
    return env, record(env, policy, "controlled", n_days=1)


def test_a_run_leaves_the_same_artefacts_as_any_other(run, played):
    header, *rows = (run[0] / "metrics.csv").read_text().splitlines()
    assert header.startswith("steps,seconds,steps_per_second,day_cost,")
    assert {"gradient_norm_agent_1", "gradient_clipped_agent_1", "at_bounds_agent_1"} <= set(header.split(","))
    assert [int(row.split(",")[0]) for row in rows] == [16 + 1920, 16 + 2 * 1920]
    assert json.loads((run[0] / "config.json").read_text())["algorithm"] == "gradient"
    (env, trajectory), policies = played, load_policies(run[0])
    for agent, action in env.split(trajectory.action).items():
        np.testing.assert_allclose(policies(env.split(trajectory.observation))[agent], action, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("algorithm", ["gradient", "sac"])
def test_training_may_start_from_the_policies_of_another(run, tmp_path, algorithm):
    """With SAC on new days of another scenario, too, whose agents see and do the same."""
    sac = replace(
        options().sac, n_copies=8, batch_size=16, updates_per_step=1, buffer_size=512, warmup_steps=8,
        hidden_sizes=(16,), activation="tanh", learning_rate=1e-9, actor_average=1.0,
    )  # fmt: skip
    gradient = replace(SMALL, learning_rate=1e-9)
    given = dataclasses.replace(
        options(), algorithm=algorithm, sac=sac, gradient=gradient, total_steps=300, initial_policies=str(run[0])
    )
    if algorithm == "sac":
        other = load_scenario("neom33-original", power_flow="lindistflow", profiles="testing")
        given = dataclasses.replace(given, scenario=other)
    train(given, tmp_path / "run")
    before, after = load_policies(run[0]), load_policies(tmp_path / "run")
    for agent, network in before.networks.items():
        observation = np.random.default_rng(0).normal(size=(20, network.observation_size)).astype(np.float32)
        np.testing.assert_allclose(after({agent: observation})[agent], network(observation), atol=1e-4)


def test_initial_policies_of_other_sizes_are_refused(run, tmp_path):
    given = dataclasses.replace(options(), gradient=replace(SMALL, hidden_sizes=(8,)), initial_policies=str(run[0]))
    with pytest.raises(InputError, match=r"hidden sizes \(16,\), these actors \(8,\)"):
        train(given, tmp_path / "run")


def test_initial_policies_that_see_something_else_are_refused(run, played):
    actors = algorithm_for(played[0], options()).actors
    for other, says in (
        (load_scenario("neom33", scope="local"), r"agent_1, of scenario 'neom33', has observation .*'territory'.*here"),
        (load_scenario("neom69"), "has buses .* start from one with the same agents"),
        (load_scenario("lv_kerber"), "agent"),
    ):
        with pytest.raises(InputError, match=f"initial policies: .*{says}"):
            initial_networks(str(run[0]), other, actors, seed=0)


def test_first_policies_are_fitted_to_a_recorded_teacher(played, tmp_path):
    env, teacher = played
    teacher.save(tmp_path / "teacher.npz")
    actors = algorithm_for(env, options()).actors
    networks = initial_networks(str(tmp_path / "teacher.npz"), options().scenario, actors, seed=0)
    fitted = np.asarray(jax.vmap(NetworkPolicy(networks))(jnp.asarray(teacher.observation)))
    spread = np.square(teacher.action - teacher.action.mean(axis=0)).sum()
    assert np.square(fitted - teacher.action).sum() < 0.1 * spread
    with pytest.raises(InputError, match=r"teacher.npz: agent_1, of scenario 'neom33', has observation"):
        initial_networks(str(tmp_path / "teacher.npz"), load_scenario("neom33", scope="local"), actors, seed=0)


def test_the_last_part_of_the_budget_is_played_on_another_power_flow(tmp_path):
    costs = []
    for finish_on in (None, "ac"):
        given = dataclasses.replace(options(), finish_on=finish_on, finish_fraction=0.5)
        train(given, tmp_path / str(finish_on))
        costs.append(np.genfromtxt(tmp_path / str(finish_on) / "metrics.csv", delimiter=",", names=True)["day_cost"])
    assert costs[0][0] == costs[1][0]
    assert costs[0][1] != costs[1][1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon_days": -1}, "horizon_days = -1"),
        ({"learning_rate_decay": "steps"}, "'none', 'linear', 'cosine'"),
        ({"activation": "gelu"}, "'relu', 'tanh'"),
        ({"hidden_sizes": (0,)}, "hidden_sizes"),
        ({"max_gradient_norm": 0.0}, "max_gradient_norm"),
    ],
)
def test_bad_settings_are_refused_at_construction(changes, message):
    with pytest.raises(InputError, match=message):
        replace(SMALL, **changes)


def test_a_saturated_action_comes_back_and_stays_exact_elsewhere():
    u = jnp.array([-8.0, -8.0, 8.0, 8.0, 0.3])
    toward = jnp.array([-1.0, 1.0, 1.0, -1.0, 1.0])  # of the loss by the action
    given = jax.vjp(squash, u)[1](toward)[0]
    slope = 1.0 - jnp.tanh(u) ** 2
    np.testing.assert_allclose(given, toward * jnp.where(jnp.array([1, 0, 1, 0, 0]), 0.1, slope), rtol=1e-6)
    np.testing.assert_array_equal(squash(u), jnp.tanh(u))


def test_an_empty_battery_that_is_asked_to_discharge_learns_to_charge():
    """The day cost alone gives it no gradient; what was asked in vain does."""
    env = make("neom33", power_flow="lindistflow")
    training = algorithm_for(env, dataclasses.replace(options(), gradient=replace(SMALL, n_copies=2)))
    mask = np.zeros((3, env.action_size))
    mask[0, 0] = 1.0  # the battery of agent_1

    def costs(request):
        act = lambda observation: jnp.broadcast_to(request * mask, (2, *mask.shape))  # noqa: E731
        return training._play(env, act, jax.random.key(0))[:2]

    clipped = jax.jit(jax.grad(lambda request: costs(request)[1]))(0.8)
    assert clipped > 0  # a descent step asks for less
    with pytest.raises(InputError, match="clipping_weight = -1"):
        replace(SMALL, clipping_weight=-1.0)
