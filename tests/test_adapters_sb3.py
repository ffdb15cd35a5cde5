"""Stable-Baselines3's SAC learns through the Gymnasium adapter."""

from collections.abc import Callable

import gymnasium
import numpy as np
import pytest

import neomflex_jax.adapters.gymnasium  # noqa: F401  (registers)


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
