"""The environment's contract: shapes, masks, one step's parts, transformations, and what bad actions do."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from stores import with_soc

import neomflex_jax as nf
from neomflex_jax.environment import Environment, evaluation_environment
from neomflex_jax.profiles import Profiles

Step = Callable[[nf.State, jax.Array], tuple[nf.State, nf.TimeStep]]
KEY = 3


@pytest.fixture(scope="module")
def env(three_days: Path) -> Environment:
    """Build the default scenario on the exact power flow."""
    return nf.make("neom33", power_flow="ac", profiles=three_days)


@pytest.fixture(scope="module")
def step(env: Environment) -> Step:
    """Compile the step once."""
    return jax.jit(env.step)


@pytest.fixture(scope="module")
def start(env: Environment) -> tuple[nf.State, nf.TimeStep]:
    """Begin a day."""
    return env.reset(jax.random.key(KEY))


def random_action(env: Environment, seed: int = 0) -> jax.Array:
    """Draw an action for every slot, the padded ones as well."""
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (env.n_agents, env.action_size)), jnp.float32)


def at_noon(env: Environment, start: tuple[nf.State, nf.TimeStep]) -> nf.State:
    """Move the day's clock to where the sun shines."""
    return dataclasses.replace(start[0], step=jnp.asarray(22, jnp.int32))


def assert_close(found: object, expected: object, atol: float) -> None:
    """Compare two trees; keys exactly, numbers within the tolerance."""
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            one, other = jax.random.key_data(one), jax.random.key_data(other)
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=atol)


def with_profiles(env: Environment, demand: float, solar: float) -> Environment:
    """Give every row these values."""
    ones = jnp.ones_like(env.profiles.demand)
    return dataclasses.replace(env, profiles=Profiles(demand * ones, solar * ones, env.profiles.steps_per_day))


# ---- shapes, names and masks ----


def test_agents_sizes_and_masks_are_those_of_the_task(env: Environment) -> None:
    assert env.agents == ("agent_1", "agent_2", "agent_3")
    assert env.n_agents == 3
    np.testing.assert_array_equal(env.action_mask, [[1, 1, 0], [1, 1, 1], [1, 0, 0]])
    np.testing.assert_array_equal(env.observation_mask.sum(1), [12 + 4, 13 + 5, 8 + 3])
    assert env.observation_mask.shape == (3, env.observation_size)
    assert env.action_mask.shape == (3, env.action_size)


def test_reset_and_step_answer_in_the_promised_shapes(
    env: Environment, step: Step, start: tuple[nf.State, nf.TimeStep]
) -> None:
    after = step(start[0], random_action(env))
    chex.assert_trees_all_equal_shapes_and_dtypes(start[0], after[0])
    for timestep in (start[1], after[1]):
        chex.assert_shape([timestep.observation, timestep.final_observation], (3, env.observation_size))
        chex.assert_shape(timestep.reward, (3,))
        chex.assert_shape([timestep.terminated, timestep.truncated], ())
        assert timestep.terminated.dtype == timestep.truncated.dtype == bool
        assert timestep.observation.dtype == timestep.reward.dtype == np.float32
        assert np.isfinite(timestep.observation).all()
    info = after[1].info
    shapes = {"vm_pu": (33,), "loss_mw": (), "battery_p_mw": (3,), "battery_soc": (3,), "pv_p_mw": (3,)}
    shapes |= {"pv_q_mvar": (3,), "converged": (), "residual_mva": (), "local_reward": (3,)}
    for name, shape in shapes.items():
        assert info[name].shape == shape, name


def test_split_takes_the_padding_off(env: Environment, start: tuple[nf.State, nf.TimeStep]) -> None:
    observations = env.split(start[1].observation)
    assert {agent: part.shape for agent, part in observations.items()} == {
        "agent_1": (16,),
        "agent_2": (18,),
        "agent_3": (11,),
    }
    actions = env.split(jnp.zeros((7, 5, 3, 3)))
    assert [part.shape for part in actions.values()] == [(7, 5, 2), (7, 5, 3), (7, 5, 1)]
    with pytest.raises(ValueError, match="last axis is 7; expected observations 18, actions 3"):
        env.split(jnp.zeros((3, 7)))


def test_an_observation_is_the_territorys_voltages_the_next_row_the_charge_and_the_clock(
    env: Environment, step: Step, start: tuple[nf.State, nf.TimeStep]
) -> None:
    state, timestep = step(at_noon(env, start), random_action(env))
    row = int(state.day_row) + 23
    vm_pu, soc = timestep.info["vm_pu"], state.stores["batteries"].soc
    demand, solar = env.profiles.demand[row], env.profiles.solar[row]
    for agent, buses, batteries in (
        ("agent_1", [*range(5), *range(18, 25)], [0]),
        ("agent_2", range(5, 18), [1, 2]),
        ("agent_3", range(25, 33), []),
    ):
        expected = [*(vm_pu[np.array(buses)] - 1), demand, solar, *(soc[index] for index in batteries), 23 / 47]
        np.testing.assert_allclose(env.split(timestep.observation)[agent], expected, atol=1e-6)


def test_a_reset_observes_the_days_first_row_with_all_devices_at_zero(
    env: Environment, start: tuple[nf.State, nf.TimeStep]
) -> None:
    state, timestep = start
    demand = float(env.profiles.demand[state.day_row])
    flow = nf.power_flow(env.feeder, -demand * env.feeder.load_p_mw, -demand * env.feeder.load_q_mvar)
    own = env.split(timestep.observation)["agent_3"]
    np.testing.assert_allclose(own[:8], flow.vm_pu[25:33] - 1, atol=1e-6)
    np.testing.assert_allclose(own[8:], [demand, env.profiles.solar[state.day_row], 0.0], atol=1e-6)
    np.testing.assert_array_equal(timestep.reward, 0.0)
    assert not bool(timestep.terminated | timestep.truncated)


# ---- one step ----


def test_set_points_reach_the_grid_where_the_devices_are(
    env: Environment, step: Step, start: tuple[nf.State, nf.TimeStep]
) -> None:
    state = at_noon(env, start)
    state = dataclasses.replace(state, stores=with_soc(state, jnp.full(3, 0.5, jnp.float32)))
    action = jnp.asarray([[0.4, -0.5, 9.0], [-0.2, 0.6, 0.3], [0.8, 9.0, 9.0]], jnp.float32)
    _, timestep = step(state, action)
    info = {name: np.asarray(value, np.float64) for name, value in timestep.info.items()}
    solar, demand = info["solar"], info["demand"]
    room = np.sqrt(1 - solar**2)
    np.testing.assert_allclose(info["battery_p_mw"], [0.2, -0.1, 0.3], atol=1e-6)  # buses 23, 7, 14
    np.testing.assert_allclose(info["pv_p_mw"], [solar] * 3, atol=1e-6)  # buses 20, 16, 31
    np.testing.assert_allclose(info["pv_q_mvar"], np.array([-0.5, 0.3, 0.8]) * room, atol=1e-6)
    p, q = (-demand * np.asarray(load, float) for load in (env.feeder.load_p_mw, env.feeder.load_q_mvar))
    for bus, value in ((23, 0.2), (7, -0.1), (14, 0.3), (20, solar), (16, solar), (31, solar)):
        p[bus] += value
    for bus, value in ((20, -0.5), (16, 0.3), (31, 0.8)):
        q[bus] += value * room
    np.testing.assert_allclose(info["p_injection_mw"], p, atol=1e-6)
    np.testing.assert_allclose(info["q_injection_mvar"], q, atol=1e-6)
    np.testing.assert_allclose(info["vm_pu"], nf.power_flow(env.feeder, p, q).vm_pu, atol=1e-6)
    np.testing.assert_allclose(info["slack_p_mw"], info["loss_mw"] - p.sum(), atol=1e-5)


def test_the_local_reward_is_the_tasks_formula_and_the_learners_get_its_mean(
    env: Environment, step: Step, start: tuple[nf.State, nf.TimeStep]
) -> None:
    _, timestep = step(start[0], -0.3 * jnp.ones((3, 3)))  # charging in the dark
    vm_pu = np.asarray(timestep.info["vm_pu"], np.float64)
    excess = np.maximum(vm_pu - 1.03, 0) + np.maximum(0.97 - vm_pu, 0)
    assert excess.sum() > 0
    assert not bool(timestep.info["violated"])
    expected = []
    for buses in ([*range(1, 5), *range(18, 25)], range(5, 18), range(25, 33)):
        share = (len(buses) + (0 not in buses and 18 in buses)) / 33  # agent_1's share counts the slack as well
        expected.append(-100 * excess[list(buses)].sum() - 5 * float(timestep.info["loss_mw"]) * share)
    np.testing.assert_allclose(timestep.info["local_reward"], expected, atol=1e-4)
    np.testing.assert_allclose(timestep.reward, np.mean(expected), atol=1e-4)


def test_local_sharing_gives_each_learner_its_own(env: Environment, start: tuple[nf.State, nf.TimeStep]) -> None:
    reward = dataclasses.replace(env.scenario.reward, sharing="local")
    local = dataclasses.replace(env, scenario=dataclasses.replace(env.scenario, reward=reward))
    _, timestep = jax.jit(local.step)(start[0], random_action(env))
    np.testing.assert_array_equal(timestep.reward, timestep.info["local_reward"])
    assert np.ptp(timestep.reward) > 0


@pytest.mark.parametrize("padding", [1e6, -1.0, np.nan, np.inf])
def test_what_stands_in_padded_action_slots_changes_nothing(
    env: Environment, step: Step, start: tuple[nf.State, nf.TimeStep], padding: float
) -> None:
    clean = jnp.where(env.action_mask, random_action(env), 0.0)
    chex.assert_trees_all_equal(
        step(at_noon(env, start), clean), step(at_noon(env, start), jnp.where(env.action_mask, clean, padding))
    )


def test_padded_observation_entries_are_zero(env: Environment, step: Step, start: tuple[nf.State, nf.TimeStep]) -> None:
    for timestep in (start[1], step(start[0], random_action(env))[1]):
        for observation in (timestep.observation, timestep.final_observation):
            np.testing.assert_array_equal(np.asarray(observation)[~env.observation_mask], 0.0)


def test_actions_beyond_one_are_clipped(env: Environment, step: Step, start: tuple[nf.State, nf.TimeStep]) -> None:
    action = 1000.0 * random_action(env)
    after, timestep = step(start[0], action)
    expected_after, expected = step(start[0], jnp.sign(action))
    info, expected_info = dict(timestep.info), dict(expected.info)
    np.testing.assert_array_equal(info.pop("clipped_actions"), env.action_mask.sum(1))
    np.testing.assert_array_equal(expected_info.pop("clipped_actions"), 0)
    timestep, expected = (dataclasses.replace(each, info=None) for each in (timestep, expected))
    chex.assert_trees_all_equal((after, timestep, info), (expected_after, expected, expected_info))


def test_a_nan_action_counts_as_zero(env: Environment, step: Step, start: tuple[nf.State, nf.TimeStep]) -> None:
    action = random_action(env).at[1, 0].set(0.0)
    after, timestep = step(start[0], action.at[1, 0].set(jnp.nan))
    expected_after, expected = step(start[0], action)
    info, expected_info = dict(timestep.info), dict(expected.info)
    np.testing.assert_array_equal(info.pop("nan_actions"), [0, 1, 0])
    np.testing.assert_array_equal(expected_info.pop("nan_actions"), 0)
    timestep, expected = (dataclasses.replace(each, info=None) for each in (timestep, expected))
    chex.assert_trees_all_equal((after, timestep, info), (expected_after, expected, expected_info))


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (3,), (4, 3, 3), (3, 18)])
def test_an_action_of_another_shape_is_refused(
    env: Environment, start: tuple[nf.State, nf.TimeStep], shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"\(3, 3\)"):
        env.step(start[0], jnp.zeros(shape))


def test_a_nan_action_is_refused_outside_jit_by_name(env: Environment, start: tuple[nf.State, nf.TimeStep]) -> None:
    action = jnp.zeros((3, 3)).at[1, 1].set(jnp.nan).at[0, 2].set(jnp.nan)  # the latter is padding
    with pytest.raises(nf.InputError, match=r"action of agent_2, entry 1 \(battery_14 battery_p\), is NaN"):
        env.step(start[0], action)
    env.step(start[0], jnp.zeros((3, 3)).at[0, 2].set(jnp.nan))


def test_the_solar_penalty_asks_batteries_to_charge_in_the_solar_hours(
    env: Environment, start: tuple[nf.State, nf.TimeStep]
) -> None:
    reward = dataclasses.replace(env.scenario.reward, solar_penalty=True)
    asking = jax.jit(dataclasses.replace(env, scenario=dataclasses.replace(env.scenario, reward=reward)).step)
    half = dataclasses.replace(start[0], stores=with_soc(start[0], jnp.full(3, 0.5, jnp.float32)))
    action = jnp.asarray([[0.5, 0, 0], [0.0, -0.1, 0], [0, 0, 0]], jnp.float32)
    for clock, expected in ((13, [0, 0, 0]), (14, [-15, -30, 0]), (34, [-15, -30, 0]), (35, [0, 0, 0])):
        _, timestep = asking(dataclasses.replace(half, step=jnp.asarray(clock, jnp.int32)), action)
        np.testing.assert_allclose(timestep.info["reward_solar"], expected, atol=1e-5)


# ---- transformations ----


def test_jit_and_eager_agree(env: Environment, step: Step, start: tuple[nf.State, nf.TimeStep]) -> None:
    action = random_action(env)
    assert_close(env.step(start[0], action), step(start[0], action), atol=1e-4)


def test_64_copies_under_vmap_are_64_single_ones(env: Environment) -> None:
    states, _ = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(1), 64))
    actions = jax.random.uniform(jax.random.key(2), (64, 3, 3), minval=-1, maxval=1)
    together = jax.jit(jax.vmap(env.step))(states, actions)
    one_by_one = jax.jit(lambda *copies: jax.lax.map(lambda copy: env.step(*copy), copies))(states, actions)
    assert_close(together, one_by_one, atol=1e-4)


def test_other_values_of_the_same_shapes_cause_no_new_trace(env: Environment, three_days: Path) -> None:
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def play(env: Environment, state: nf.State, action: jax.Array) -> tuple[nf.State, nf.TimeStep]:
        return env.step(state, action)

    again = nf.make("neom33", power_flow="ac", profiles=three_days)
    for seed, other in enumerate((env, with_profiles(env, 0.5, 0.2), again)):
        state, _ = other.reset(jax.random.key(seed))
        state, _ = play(other, state, random_action(env, seed))
        play(other, state, random_action(env, seed + 10))


def test_judging_on_other_days_of_the_same_number_causes_no_new_trace(env: Environment) -> None:
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def play(env: Environment) -> jax.Array:
        return env.step(env.reset(jax.random.key(0))[0], jnp.zeros((3, 3)))[1].reward

    mild, strong = with_profiles(env, 0.5, 0.2).profiles, with_profiles(env, 0.9, 0.0).profiles
    assert play(evaluation_environment(env, mild))[0] > play(evaluation_environment(env, strong))[0]


@pytest.mark.parametrize("power_flow", ["ac", "lindistflow"])
def test_the_rewards_gradient_equals_finite_differences(three_days: Path, power_flow: str, float64: None) -> None:
    env = nf.make("neom33", power_flow=power_flow, profiles=three_days)
    state, _ = env.reset(jax.random.key(KEY))
    state = dataclasses.replace(state, step=jnp.asarray(5, jnp.int32), stores=with_soc(state, jnp.full(3, 0.5)))

    @jax.jit
    def outcome(action: jax.Array) -> jax.Array:
        after, timestep = env.step(state, action)
        return timestep.info["local_reward"].sum() + after.stores["batteries"].soc.sum() + timestep.observation.sum()

    action = jnp.asarray(0.9 * np.random.default_rng(8).uniform(-1, 1, (3, 3)))
    check_grads(outcome, (action,), order=1, modes=("fwd", "rev"), rtol=1e-5, atol=1e-5)
    gradient = np.asarray(jax.grad(outcome)(action))
    assert (gradient[env.action_mask] != 0).all()
    np.testing.assert_array_equal(gradient[~env.action_mask], 0.0)
