"""Days: how they start and end, what AutoReset adds, what carries over, and what the mended quirks change."""

import dataclasses
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stores import with_soc

import neomflex_jax as nf
from neomflex_jax.environment import Environment, evaluation_environment
from neomflex_jax.fields import with_overrides

Play = Callable[[jax.Array, jax.Array], tuple[nf.State, nf.TimeStep]]
N_STEPS = 160  # three days of 48 steps and a bit


@pytest.fixture(scope="module")
def training(three_days: Path) -> Environment:
    """Random days, random energies."""
    return nf.make("neom33", power_flow="lindistflow", profiles=three_days)


@pytest.fixture(scope="module")
def judging(training: Environment) -> Environment:
    """Days in file order, energies carried over."""
    return evaluation_environment(training, training.profiles)


def player(env: Environment) -> Play:
    """Play actions under AutoReset in one scan; gives the states before the steps and the answers."""
    copy = nf.AutoReset(env)

    @jax.jit
    def play(key: jax.Array, actions: jax.Array) -> tuple[nf.State, nf.TimeStep]:
        def body(state: nf.State, action: jax.Array) -> tuple:
            after, timestep = copy.step(state, action)
            return after, (state, timestep)

        return jax.lax.scan(body, copy.reset(key)[0], actions)[1]

    return play


@pytest.fixture(scope="module")
def actions() -> jax.Array:
    """Small random actions."""
    return 0.3 * jax.random.uniform(jax.random.key(5), (N_STEPS, 3, 3), minval=-1, maxval=1)


@pytest.fixture(scope="module")
def play(training: Environment) -> Play:
    """Compile the environment of training once."""
    return player(training)


@pytest.fixture(scope="module")
def trained(play: Play, actions: jax.Array) -> tuple[nf.State, nf.TimeStep]:
    """Play in the environment of training."""
    return play(jax.random.key(11), actions)


@pytest.fixture(scope="module")
def judged(judging: Environment, actions: jax.Array) -> tuple[nf.State, nf.TimeStep]:
    """Play in the environment of judgement."""
    return player(judging)(jax.random.key(0), actions)


def test_a_day_ends_by_the_clock_and_never_by_the_task(trained: tuple[nf.State, nf.TimeStep]) -> None:
    _, timestep = trained
    assert not timestep.terminated.any()
    np.testing.assert_array_equal(np.flatnonzero(timestep.truncated), [47, 95, 143])


def test_scan_under_jit_equals_a_loop(
    training: Environment, actions: jax.Array, trained: tuple[nf.State, nf.TimeStep]
) -> None:
    copy = nf.AutoReset(training)
    step = jax.jit(copy.step)
    state, _ = copy.reset(jax.random.key(11))
    looped = []
    for action in actions[:60]:
        state, timestep = step(state, action)
        looped.append(timestep.reward)
    np.testing.assert_allclose(np.stack(looped), trained[1].reward[:60], atol=1e-4)


@pytest.mark.parametrize("rule", ["last_step", "devices_at_zero"])
def test_at_a_days_end_the_observation_is_the_next_days_first(
    judging: Environment, judged: tuple[nf.State, nf.TimeStep], rule: str
) -> None:
    before, timestep = judged
    ends = np.array([47, 95, 143])
    observations = timestep.observation[ends]
    if rule == "devices_at_zero":  # the same days' ends under the original's rule
        original = dataclasses.replace(judging, scenario=with_overrides(judging.scenario, {"first_observation": rule}))
        stores = jax.tree.map(itemgetter(ends + 1), before.stores)
        ended = dataclasses.replace(jax.tree.map(itemgetter(ends), before), stores=stores)
        observations = jax.jit(jax.vmap(original.next_day))(ended)[1].observation
    for end, next_row, observation in zip(ends, (48, 96, 0), observations, strict=True):
        after = jax.tree.map(itemgetter(end + 1), before)
        assert int(after.step) == 0
        assert int(after.day_row) == next_row
        own = judging.split(observation)["agent_2"]
        demand = judging.profiles.demand[next_row]
        seen = nf.power_flow(
            judging.feeder, -judging.feeder.load_p_mw * demand, -judging.feeder.load_q_mvar * demand, "lindistflow"
        ).vm_pu
        if rule == "last_step" and next_row > 0:
            seen = timestep.info["vm_pu"][end]
        np.testing.assert_allclose(own[:13], seen[5:18] - 1, atol=1e-6)
        expected = [demand, judging.profiles.solar[next_row], *after.stores["batteries"].soc[1:], 0.0]
        np.testing.assert_allclose(own[13:], expected, atol=1e-6)


def test_the_final_observation_is_the_actions_successor(
    judging: Environment, judged: tuple[nf.State, nf.TimeStep]
) -> None:
    _, timestep = judged
    own = judging.split(timestep.final_observation)["agent_2"]
    np.testing.assert_allclose(own[:, :13], timestep.info["vm_pu"][:, 5:18] - 1, atol=1e-6)
    np.testing.assert_allclose(own[:, 15:17], timestep.info["battery_soc"][:, 1:], atol=1e-6)
    begins = np.arange(N_STEPS) == 143  # the file, anew; into its other days play goes on
    np.testing.assert_array_equal(timestep.observation[~begins], timestep.final_observation[~begins])
    assert (np.asarray(timestep.observation != timestep.final_observation)[begins]).any()


def test_in_file_order_the_energies_carry_over_and_the_file_starts_again_at_the_initial_ones(
    judged: tuple[nf.State, nf.TimeStep],
) -> None:
    before, timestep = judged
    np.testing.assert_array_equal(timestep.info["dataset_index"], np.arange(N_STEPS) % 144)
    for start in (48, 96):
        np.testing.assert_array_equal(before.stores["batteries"].soc[start], timestep.info["battery_soc"][start - 1])
    for start in (0, 144):
        np.testing.assert_array_equal(before.stores["batteries"].soc[start], np.float32(0.5))


def test_energy_over_a_day_closes(judged: tuple[nf.State, nf.TimeStep]) -> None:
    before, timestep = judged
    p_mw = np.asarray(timestep.info["battery_p_mw"], np.float64)
    soc = np.asarray(before.stores["batteries"].soc, np.float64)
    assert np.abs(p_mw).sum() > 1
    for start in (0, 48):
        drawn_mwh = 0.5 * p_mw[start : start + 48].sum(0)
        np.testing.assert_allclose(2.0 * (soc[start] - soc[start + 48]), drawn_mwh, rtol=0, atol=1e-5)


def test_full_throttle_stays_inside_the_window(play: Play) -> None:
    for sign in (1.0, -1.0):
        _, timestep = play(jax.random.key(1), jnp.full((N_STEPS, 3, 3), sign))
        soc = np.asarray(timestep.info["battery_soc"])
        assert soc.min() > 0.2 - 1e-6
        assert soc.max() < 0.9 + 1e-6
        limit = 0.2 if sign > 0 else 0.9
        np.testing.assert_allclose(soc[47], limit, atol=1e-6)


def test_random_days_cover_the_file_with_energies_all_over_the_window(training: Environment) -> None:
    states, timesteps = jax.jit(jax.vmap(training.reset))(jax.random.split(jax.random.key(0), 300))
    rows, counts = np.unique(states.day_row, return_counts=True)
    np.testing.assert_array_equal(rows, [0, 48, 96])
    assert counts.min() > 60
    soc = np.asarray(states.stores["batteries"].soc)
    assert soc.min() >= 0.2
    assert soc.max() <= 0.9
    np.testing.assert_allclose(soc.mean(0), 0.55, atol=0.04)
    np.testing.assert_allclose(soc.std(0), 0.7 / np.sqrt(12), atol=0.03)
    assert np.abs(np.corrcoef(soc.T)[np.triu_indices(3, 1)]).max() < 0.25
    np.testing.assert_array_equal(timesteps.info["dataset_index"], states.day_row)


def test_days_after_the_first_are_random_as_well(training: Environment) -> None:
    states, _ = jax.jit(jax.vmap(training.reset))(jax.random.split(jax.random.key(0), 300))
    follow, _ = jax.jit(jax.vmap(training.next_day))(states)
    for row in (0, 48, 96):
        assert set(np.asarray(follow.day_row)[np.asarray(states.day_row) == row].tolist()) == {0, 48, 96}
    assert np.abs(np.corrcoef(states.stores["batteries"].soc[:, 0], follow.stores["batteries"].soc[:, 0])[0, 1]) < 0.2
    assert len(np.unique(jax.random.key_data(follow.key), axis=0)) == 300


def test_the_same_key_plays_the_same_days(play: Play, actions: jax.Array) -> None:
    first, second = play(jax.random.key(4), actions), play(jax.random.key(4), actions)
    jax.tree.map(np.testing.assert_array_equal, first[1], second[1])
    other = play(jax.random.key(5), actions)
    assert (np.asarray(first[0].stores["batteries"].soc) != np.asarray(other[0].stores["batteries"].soc)).any()


def test_auto_reset_keeps_the_environments_interface(training: Environment) -> None:
    copy = nf.AutoReset(training)
    assert copy.agents == training.agents
    assert copy.action_size == training.action_size
    assert copy.scenario is training.scenario
    leaves, tree = jax.tree.flatten(copy)
    assert isinstance(jax.tree.unflatten(tree, leaves), nf.AutoReset)
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = copy.no_such_thing


# ---- what neom33 mends ----


def test_reactive_load_follows_demand_where_the_original_holds_it(three_days: Path) -> None:
    factors = {}
    for name in ("neom33", "neom33-original"):
        env = nf.make(name, power_flow="lindistflow", profiles=three_days, day_order="file")
        _, timestep = player(env)(jax.random.key(0), jnp.zeros((48, 3, 3)))
        factors[name] = np.asarray(timestep.info["load_q_factor"])
        np.testing.assert_allclose(
            timestep.info["q_injection_mvar"].sum(1), -2.3 * factors[name], atol=1e-5
        )  # idle inverters
    np.testing.assert_array_equal(factors["neom33"], env.profiles.demand[:48])
    np.testing.assert_array_equal(factors["neom33-original"], env.profiles.demand[0])


@pytest.fixture(scope="module")
def overloaded(three_days: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the three days with a second day whose step 20 breaks the hard limits whatever is done."""
    lines = three_days.read_text(encoding="utf-8").splitlines()
    lines[1 + 48 + 20] = "2.5,0.0"
    path = tmp_path_factory.mktemp("overloaded") / "days.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_original_plays_a_violated_day_for_ever(overloaded: Path, actions: jax.Array) -> None:
    env = nf.make("neom33-original", profiles=overloaded, power_flow="lindistflow")
    before, timestep = player(env)(jax.random.key(0), actions)
    rows = np.asarray(timestep.info["dataset_index"])
    np.testing.assert_array_equal(rows[:48], np.arange(48))
    np.testing.assert_array_equal(rows[48:], 48 + np.arange(N_STEPS - 48) % 21)
    ends = np.flatnonzero(timestep.terminated)
    np.testing.assert_array_equal(ends, [68, 89, 110, 131, 152])
    np.testing.assert_array_equal(np.asarray(timestep.reward)[ends], -100.0)
    for end in ends:
        np.testing.assert_array_equal(before.stores["batteries"].soc[end + 1], before.stores["batteries"].soc[48])
    final = env.split(timestep.final_observation)["agent_3"][ends]
    np.testing.assert_allclose(final[:, 8], 2.5)  # the same row again
    np.testing.assert_allclose(final[:, 10], 20 / 47, atol=1e-6)


def test_neom33_goes_on_and_adds_the_penalty_to_the_other_terms(overloaded: Path, actions: jax.Array) -> None:
    env = nf.make("neom33", profiles=overloaded, power_flow="lindistflow")
    env = evaluation_environment(env, env.profiles)
    _, timestep = player(env)(jax.random.key(0), actions)
    np.testing.assert_array_equal(timestep.info["dataset_index"], np.arange(N_STEPS) % 144)
    np.testing.assert_array_equal(np.flatnonzero(timestep.info["violated"]), [68])
    assert not timestep.terminated.any()
    info = timestep.info
    terms = np.asarray(info["reward_voltage"] + info["reward_losses"])[68]
    assert (terms < -1).all()
    np.testing.assert_allclose(np.asarray(info["local_reward"])[68], terms - 100.0, atol=1e-3)


def test_the_team_reward_is_the_mean_and_the_original_keeps_local_ones(
    trained: tuple[nf.State, nf.TimeStep], three_days: Path
) -> None:
    _, timestep = trained
    mean = np.asarray(timestep.info["local_reward"]).mean(1, keepdims=True)
    np.testing.assert_allclose(timestep.reward, np.broadcast_to(mean, (N_STEPS, 3)), rtol=1e-5, atol=1e-6)
    original = nf.load_scenario("neom33-original", profiles=str(three_days))
    assert original.reward.sharing == "local"


def test_judging_keeps_the_power_flow_and_the_rewards(training: Environment, judging: Environment) -> None:
    assert judging.power_flow is training.power_flow
    assert judging.scenario.reward == training.scenario.reward
    assert judging.scenario.rules == dataclasses.replace(
        training.scenario.rules, day_order="file", energies="carried", on_violation="continue"
    )


# ---- what a review found ----


def test_a_ramp_goes_on_over_midnight_where_energies_are_carried(three_days: Path) -> None:
    battery = {"bus": 23, "capacity_mwh": 200.0, "power_mw": 0.5, "ramp_mw": 0.1}
    fields = {"batteries": [battery], "pv_inverters": [{"bus": bus, "p_max_mw": 1, "s_mva": 1} for bus in (16, 31)]}
    env = nf.make("neom33", power_flow="lindistflow", profiles=three_days, **fields)
    env = nf.AutoReset(evaluation_environment(env, env.profiles))

    def step(state: nf.State, _: None) -> tuple[nf.State, jax.Array]:
        state, timestep = env.step(state, jnp.ones(env.action_mask.shape))
        return state, timestep.info["battery_p_mw"][0]

    p_mw = np.asarray(jax.lax.scan(step, env.reset(jax.random.key(0))[0], None, length=3 * 48 + 2)[1])
    np.testing.assert_allclose(p_mw[:6], [0.1, 0.2, 0.3, 0.4, 0.5, 0.5], atol=1e-6)
    np.testing.assert_allclose(p_mw[47:50], 0.5, atol=1e-6)
    np.testing.assert_allclose(p_mw[144:], [0.1, 0.2], atol=1e-6)  # the file starts again, batteries at rest


def test_carried_energies_survive_a_random_day_that_is_the_files_last(three_days: Path) -> None:
    env = nf.make("neom33", power_flow="lindistflow", profiles=three_days, energies="carried", day_order="random")
    state, _ = env.reset(jax.random.key(0))
    last = dataclasses.replace(state, day_row=jnp.asarray(96, jnp.int32), stores=with_soc(state, jnp.full(3, 0.3)))
    np.testing.assert_allclose(env.next_day(last)[0].stores["batteries"].soc, 0.3)


def test_random_energies_include_what_flexible_loads_owe(three_days: Path) -> None:
    load = {"bus": 24, "shift_mw": 0.1, "buffer_mwh": 0.4}
    env = nf.make("neom33", power_flow="lindistflow", profiles=three_days, flexible_loads=[load])
    owed = jax.vmap(lambda key: env.reset(key)[0].stores["flexible_loads"].owed_mwh)(
        jax.random.split(jax.random.key(0), 200)
    )
    assert 0.0 <= float(owed.min()) < 0.02 and 0.38 < float(owed.max()) <= 0.4


def test_observations_and_actions_of_one_size_are_split_by_kind(three_days: Path) -> None:
    device = {"bus": 17, "p_max_mw": 1.0, "s_mva": 1.0, "curtailable": True}
    fields = {
        "batteries": [{"bus": 17, "capacity_mwh": 2.0, "power_mw": 0.5, "s_mva": 0.6}],
        "pv_inverters": [
            device,
            {"bus": 31, "p_max_mw": 1.0, "s_mva": 1.0},
            {"bus": 20, "p_max_mw": 1.0, "s_mva": 1.0},
        ],
        "flexible_loads": [{"bus": 17, "curtail_share": 0.5, "shift_mw": 0.01, "buffer_mwh": 0.1}],
        "scope": "local",
    }
    env = nf.make("neom33", power_flow="lindistflow", profiles=three_days, **fields)
    assert env.observation_size == env.action_size == 6
    seen = env.reset(jax.random.key(0))[1].observation
    assert env.split(seen, "observation")["agent_3"].shape == (4,)
    assert env.split(jnp.zeros(env.action_mask.shape), "action")["agent_3"].shape == (1,)
    with pytest.raises(nf.InputError, match="say kind="):
        env.split(seen)
