"""The Gymnasium adapter: its official checker, its seeds and days, what it refuses, and copies against single ones."""

import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence

import neomflex_jax as nf
import neomflex_jax.adapters.gymnasium
from neomflex_jax.adapters import episode, gymnasium_vector
from neomflex_jax.adapters.gymnasium import NeomFlexEnv
from neomflex_jax.adapters.gymnasium_vector import NeomFlexVectorEnv

N_STEPS = 48
FIELDS = {"power_flow": "lindistflow"}  # the quickest to compile; the adapter does not know which it is
STRICT = {**FIELDS, "hard_min_pu": 0.9699}  # every day is violated soon


@pytest.fixture(scope="module")
def env(three_days: Path) -> NeomFlexEnv:
    """Build the default scenario on three days."""
    return NeomFlexEnv("neom33", profiles=three_days, **FIELDS)


def actions(n_steps: int, *shape: int, seed: int = 0) -> np.ndarray:
    """Draw joint actions."""
    return np.random.default_rng(seed).uniform(-1, 1, (n_steps, *shape, 6)).astype(np.float32)


def play_day(env: gymnasium.Env, seed: int | None = None) -> list[Any]:
    """Play a day of random actions; the reset's answer first."""
    answers = [env.reset(seed=seed)]
    for action in actions(N_STEPS):
        answers.append(env.step(action))
        if answers[-1][2] or answers[-1][3]:
            break
    return answers


# ---- the official checker ----


@pytest.mark.parametrize("name", ["neom33", "neom33-original"])
def test_the_official_checker_accepts_it(name: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = gymnasium.make(f"NeomFlex/{name}-v0", **FIELDS)
        check_env(made.unwrapped)
    unexpected = [str(each.message) for each in caught]
    assert not unexpected
    assert made.spec.id == f"NeomFlex/{name}-v0"


def test_every_packaged_scenario_is_registered_with_its_fields_open(three_days: Path, tmp_path: Path) -> None:
    for name in nf.scenario.scenario_names():
        assert f"NeomFlex/{name}-v0" in gymnasium.registry
    made = gymnasium.make("NeomFlex/neom33-v0", power_flow="dc", profiles=three_days, steps_per_day=24)
    scenario = made.unwrapped.episode.env.scenario
    assert (scenario.power_flow, scenario.profiles, scenario.steps_per_day) == ("dc", str(three_days), 24)
    text = (Path(nf.__file__).parent / "scenarios" / "neom33.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(text.replace('name = "neom33"', 'name = "mine"'), encoding="utf-8")
    assert NeomFlexEnv(tmp_path / "mine.toml", **FIELDS).episode.env.scenario.name == "mine"


# ---- spaces, rewards, days ----


def test_joint_vectors_are_the_real_entries_in_agent_order(env: NeomFlexEnv) -> None:
    core = env.episode.env
    assert env.action_space.shape == (core.action_mask.sum(),) == (6,)
    assert env.observation_space.shape == (core.observation_mask.sum(),) == (45,)
    observation, info = env.reset(seed=5)
    assert observation.dtype == np.float32
    parts = core.split(env.episode.timestep.observation)
    np.testing.assert_array_equal(observation, np.concatenate([parts[agent] for agent in core.agents]))
    # agent_1: battery, PV; agent_2: two batteries, PV; agent_3: PV
    _, _, _, _, info = env.step(np.array([1, 0, -1, 0.5, 0, 0], np.float32))
    np.testing.assert_allclose(np.sign(info["battery_p_mw"]), [1, -1, 1])


def test_the_reward_is_the_sum_or_the_mean_of_local_rewards(three_days: Path) -> None:
    for name, expected in (("sum", 1.0), ("mean", 1 / 3)):
        made = NeomFlexEnv(team_reward=name, profiles=three_days, **FIELDS)
        made.reset(seed=0)
        _, reward, _, _, info = made.step(np.zeros(6, np.float32))
        assert isinstance(reward, float)
        assert reward == pytest.approx(expected * info["local_reward"].sum(), rel=1e-6)
        assert reward < 0
    with pytest.raises(nf.InputError, match="team_reward = 'median' is not one of 'sum', 'mean'"):
        NeomFlexEnv(team_reward="median")


def test_info_is_of_numpy_arrays(env: NeomFlexEnv) -> None:
    _, info = env.reset(seed=0)
    assert all(isinstance(value, np.ndarray) for value in info.values())
    assert info["vm_pu"].shape == (33,)


def test_a_seed_decides_all_days(env: NeomFlexEnv, three_days: Path) -> None:
    other = NeomFlexEnv("neom33", profiles=three_days, **FIELDS)
    for seed in (3, None, None, None):
        assert data_equivalence(play_day(env, seed), play_day(other, seed), exact=True)
    assert env.np_random_seed == other.np_random_seed == 3
    first, _ = env.reset(seed=3)
    assert not np.array_equal(first, env.reset(seed=4)[0])
    np.testing.assert_array_equal(first, env.reset(seed=3 + 2**32)[0])


def test_a_reset_within_a_day_draws_a_first_day(env: NeomFlexEnv) -> None:
    energies = []
    env.reset(seed=0)
    for _ in range(4):
        energies.append(env.reset()[1]["battery_soc"])
        env.step(np.zeros(6, np.float32))
    assert len(np.unique(np.array(energies)[:, 0])) == 4


def test_days_follow_each_other_in_file_order_with_their_energies(three_days: Path) -> None:
    made = NeomFlexEnv("neom33-original", profiles=three_days, on_violation="continue", **FIELDS)
    rows, last = [], None
    made.reset(seed=0)
    for day in range(4):
        _, info = made.reset() if day else made.reset(seed=0)
        rows.append(int(info["dataset_index"]))
        if day in (1, 2):
            np.testing.assert_array_equal(info["battery_soc"], last)
        else:
            np.testing.assert_allclose(info["battery_soc"], 0.5)
        for action in actions(N_STEPS, seed=day):
            _, _, terminated, truncated, info = made.step(action)
        assert truncated and not terminated
        last = info["battery_soc"]
    assert rows == [0, 48, 96, 0]


def test_a_violation_ends_the_day_and_it_is_played_again(three_days: Path) -> None:
    made = NeomFlexEnv("neom33-original", profiles=three_days, **STRICT)
    answers = play_day(made, 0)
    _, _, terminated, truncated, info = answers[-1]
    assert terminated and not truncated and info["violated"]
    np.testing.assert_array_equal(made.reset()[0], answers[0][0])


# ---- what is refused ----


def test_bad_actions_are_refused_by_agent_and_entry(env: NeomFlexEnv) -> None:
    env.reset(seed=0)
    broken = np.zeros(6)
    broken[3] = np.nan
    with pytest.raises(nf.InputError, match=r"entry 1 of agent_2 is NaN; give a number in \[-1, 1\]"):
        env.step(broken)
    with pytest.raises(nf.InputError, match=r"shape \(5,\); expected \(6,\), .* 2 of agent_1, 3 of agent_2, 1 of"):
        env.step(np.zeros(5))
    with pytest.raises(nf.InputError, match="not an array of numbers"):
        env.step(["up"] * 6)


def test_actions_beyond_the_box_are_clipped(env: NeomFlexEnv) -> None:
    answers = []
    for scale in (1.0, 7.0, np.inf):
        env.reset(seed=0)
        answers.append(env.step(scale * np.array([1, 1, -1, 1, -1, 1])))
    counted = [answer[4].pop("clipped_actions").tolist() for answer in answers]
    assert counted == [[0, 0, 0], [2, 3, 1], [2, 3, 1]]
    assert data_equivalence(answers[0], answers[1], exact=True)
    assert data_equivalence(answers[0], answers[2], exact=True)


def test_steps_outside_a_day_are_refused(three_days: Path) -> None:
    made = NeomFlexEnv(profiles=three_days, **FIELDS)
    with pytest.raises(nf.InputError, match=r"no day has begun; call reset\(\) first"):
        made.step(np.zeros(6))
    play_day(made, 0)
    with pytest.raises(nf.InputError, match=r"the day has ended; call reset\(\) first"):
        made.step(np.zeros(6))


def test_whatever_the_values_one_trace(env: NeomFlexEnv, three_days: Path) -> None:
    play_day(env, 0)
    counts = [each._cache_size() for each in (episode._step, episode._reset, episode._next_day)]
    other = NeomFlexEnv("neom33", profiles=three_days, **FIELDS)
    for seed in (1, 2**31 + 1, None):
        play_day(env, seed)
        play_day(other, seed)
    assert [each._cache_size() for each in (episode._step, episode._reset, episode._next_day)] == counts


# ---- copies ----


@pytest.mark.parametrize(("scenario", "fields"), [("neom33", FIELDS), ("neom33-original", STRICT)])
def test_copies_are_gymnasiums_own_vector_of_single_ones(
    scenario: str, fields: dict[str, Any], three_days: Path
) -> None:
    fields = {**fields, "profiles": three_days}
    copies = gymnasium.make_vec(f"NeomFlex/{scenario}-v0", num_envs=3, **fields)
    assert isinstance(copies, NeomFlexVectorEnv)
    singles = gymnasium.make_vec(
        f"NeomFlex/{scenario}-v0",
        num_envs=3,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": copies.metadata["autoreset_mode"]},
        **fields,
    )
    assert copies.single_observation_space == singles.single_observation_space
    assert copies.action_space == singles.action_space
    assert_close(copies.reset(seed=11), singles.reset(seed=11))
    ends = 0
    for action in actions(50, 3):
        found = copies.step(action)
        assert_close(found, singles.step(action))
        ends += int("final_obs" in found[4])
    assert ends >= 1
    again = [copies.reset(seed=[4, 9, 4])[0], singles.reset(seed=[4, 9, 4])[0]]
    assert_close(*again)
    np.testing.assert_array_equal(again[0][0], again[0][2])


def assert_close(found: Any, expected: Any) -> None:
    """Compare nested answers: the same keys, shapes and kinds, numbers as near as another batch size lets them be."""
    if isinstance(expected, dict):
        assert set(found) == set(expected)
        for key in expected:
            assert_close(found[key], expected[key])
    elif isinstance(expected, tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    elif expected is not None:
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        if expected.dtype == object:
            for one, other in zip(found, expected, strict=True):
                assert (one is None) == (other is None)
                assert_close(one, other)
        else:
            # a reward is 100 times what voltages are outside their band, and these are rounded in single precision
            np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-4)


def test_copies_of_any_number_in_one_trace(three_days: Path) -> None:
    copies = gymnasium.make_vec("NeomFlex/neom33-v0", num_envs=200, profiles=three_days, **FIELDS)
    observation, _ = copies.reset(seed=1)
    assert observation.shape == (200, 45)
    assert len(np.unique(observation, axis=0)) == 200
    copies.step(actions(1, 200)[0])
    count = gymnasium_vector._step._cache_size()
    copies.reset()
    for action in actions(N_STEPS, 200, seed=1):
        *_, truncated, infos = copies.step(action)
    assert gymnasium_vector._step._cache_size() == count
    assert truncated.all() and infos["_final_obs"].all()


def test_copies_without_a_seed_follow_from_the_last(three_days: Path) -> None:
    copies = NeomFlexVectorEnv(3, profiles=three_days, **FIELDS)
    copies.reset(seed=1)
    second = copies.reset()[0]
    copies.reset(seed=1)
    np.testing.assert_array_equal(copies.reset()[0], second)
    assert not np.array_equal(copies.reset()[0], second)


def test_what_copies_refuse(three_days: Path) -> None:
    copies = NeomFlexVectorEnv(3, profiles=three_days, **FIELDS)
    with pytest.raises(nf.InputError, match="no day has begun"):
        copies.step(np.zeros((3, 6)))
    copies.reset(seed=0)
    broken = np.zeros((3, 6))
    broken[1, 5] = np.nan
    with pytest.raises(nf.InputError, match="action of copy 1: entry 0 of agent_3 is NaN"):
        copies.step(broken)
    with pytest.raises(nf.InputError, match=r"shape \(6,\); expected \(3, 6\)"):
        copies.step(np.zeros(6))
    with pytest.raises(nf.InputError, match="seed lists 2 seeds for 3 copies"):
        copies.reset(seed=[1, 2])
    with pytest.raises(nf.InputError, match="every copy starts its next day by itself"):
        copies.reset(options={"reset_mask": np.array([True, False, False])})
    with pytest.raises(nf.InputError, match="num_envs = 0 must be at least 1"):
        NeomFlexVectorEnv(0)
