"""Stable-Baselines3: SAC learns through the Gymnasium adapter, PPO runs on one copy and on many in one call."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest

import neomflex_jax.adapters.gymnasium  # noqa: F401  (registers)
from neomflex_jax import InputError


def mean_day_return(env: gymnasium.Env, act: Callable[[np.ndarray], np.ndarray], n_days: int = 5) -> float:
    """Play the days of fixed seeds."""
    total = 0.0
    for seed in range(1000, 1000 + n_days):
        observation, _ = env.reset(seed=seed)
        over = False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(act(observation))
            total += float(reward)
            over = terminated or truncated
    return total / n_days


@pytest.mark.slow
def test_soft_actor_critic_improves_on_doing_nothing() -> None:
    sb3 = pytest.importorskip("stable_baselines3")
    pytest.importorskip("torch").set_num_threads(1)  # networks this small only wait for each other's threads
    judge = gymnasium.make("NeomFlex/neom33-v0")
    env = gymnasium.wrappers.TransformReward(gymnasium.make("NeomFlex/neom33-v0"), lambda reward: 0.01 * reward)
    learner = sb3.SAC(
        "MlpPolicy",
        env,
        seed=0,
        learning_rate=1e-3,
        gamma=0.95,
        batch_size=128,
        learning_starts=480,
        policy_kwargs={"net_arch": [64, 64]},
        device="cpu",
    )
    learner.learn(2400)
    nothing = mean_day_return(judge, lambda observation: np.zeros(6, np.float32))
    learnt = mean_day_return(judge, lambda observation: learner.predict(observation, deterministic=True)[0])
    assert learnt > 0.5 * nothing, (learnt, nothing)  # returns are costs with a minus


# ---- thousands of copies ----


@pytest.fixture
def wrapped() -> Any:
    pytest.importorskip("stable_baselines3")
    from neomflex_jax.adapters.stable_baselines3 import VectorEnvForSB3

    return VectorEnvForSB3


def test_copies_give_what_gymnasium_gives(wrapped: Any) -> None:
    many, own = (gymnasium.make_vec("NeomFlex/neom33-v0", num_envs=3, power_flow="dc") for _ in range(2))
    env = wrapped(many, info_names=("loss_mw",))
    env.seed(5)
    expected, _ = own.reset(seed=[5, 6, 7])
    np.testing.assert_array_equal(env.reset(), expected)
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, (48, 3, 6)).astype(np.float32)
    for step in range(48):
        observation, rewards, terminated, truncated, info = own.step(actions[step])
        seen, given, dones, infos = env.step(actions[step])
        np.testing.assert_array_equal(seen, observation)
        np.testing.assert_array_equal(given, rewards.astype(np.float32))
        np.testing.assert_array_equal(dones, terminated | truncated)
        assert [each["loss_mw"] for each in infos] == info["loss_mw"].tolist()
        assert all(("terminal_observation" in each) == (step == 47) for each in infos)
    for copy in range(3):
        assert infos[copy]["TimeLimit.truncated"], "the clock ended the day: learners bootstrap"
        np.testing.assert_array_equal(infos[copy]["terminal_observation"], info["final_obs"][copy])
        assert not np.array_equal(infos[copy]["terminal_observation"], seen[copy])


def test_what_copies_cannot_do_is_refused(wrapped: Any) -> None:
    env = wrapped(gymnasium.make_vec("NeomFlex/neom33-v0", num_envs=2, power_flow="dc"), info_names=("losses",))
    assert env.get_attr("num_envs") == [2, 2] and env.env_is_wrapped(gymnasium.Wrapper) == [False, False]
    with pytest.raises(InputError, match=r"'losses' is no entry of info; there are .*loss_mw"):
        env.reset()
    with pytest.raises(InputError, match="make it anew"):
        env.set_attr("team_reward", "mean")
    with pytest.raises(InputError, match="no methods of their own"):
        env.env_method("describe")
    other = gymnasium.make_vec("Pendulum-v1", num_envs=2, vectorization_mode="sync")
    with pytest.raises(InputError, match="SAME_STEP"):
        wrapped(other)


@pytest.mark.parametrize("copies", [1, 4])
def test_proximal_policy_optimisation_runs_on_one_and_on_many(wrapped: Any, copies: int) -> None:
    sb3 = pytest.importorskip("stable_baselines3")
    pytest.importorskip("torch").set_num_threads(1)
    from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

    one = gymnasium.make("NeomFlex/neom33-v0", power_flow="dc")
    many = gymnasium.make_vec("NeomFlex/neom33-v0", num_envs=copies, power_flow="dc")
    env = one if copies == 1 else VecNormalize(VecMonitor(wrapped(many)))
    learner = sb3.PPO("MlpPolicy", env, n_steps=48, batch_size=48, n_epochs=1, seed=0, device="cpu")
    before = [parameter.clone() for parameter in learner.policy.parameters()]
    learner.learn(2 * 48 * copies)
    assert learner.num_timesteps == 2 * 48 * copies
    assert len(learner.ep_info_buffer) == 2 * copies, "every day is an episode"
    assert any((a != b).any() for a, b in zip(before, learner.policy.parameters(), strict=True))
