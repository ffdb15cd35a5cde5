"""A power flow without a solution: flagged, penalised, and nothing that follows is poisoned."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_environment import random_action, with_profiles

import neomflex_jax as nf
from neomflex_jax.environment import evaluation_environment


@pytest.mark.parametrize("power_flow", ["ac", "calibrated", "lindistflow"])
def test_a_failed_power_flow_is_flagged_penalised_and_poisons_nothing(three_days: Path, power_flow: str) -> None:
    env = with_profiles(nf.make("neom33", power_flow=power_flow, profiles=three_days), demand=9.0, solar=0.0)
    state, _ = env.reset(jax.random.key(0))
    after, timestep = jax.jit(env.step)(state, random_action(env))
    assert not bool(timestep.info["converged"])
    assert bool(timestep.info["violated"])
    for name in ("vm_pu", "loss_mw", "slack_p_mw", "slack_q_mvar"):
        assert np.isnan(timestep.info[name]).all(), name  # there is no answer to report
    for leaf in (timestep.observation, timestep.final_observation, timestep.reward, after.stores["batteries"].soc):
        assert np.isfinite(leaf).all()
    assert (timestep.info["local_reward"] <= -100.0).all()
    np.testing.assert_allclose(timestep.info["reward_violation"], -100.0)
    assert not bool(timestep.terminated)


@pytest.mark.parametrize("power_flow", ["ac", "calibrated", "lindistflow"])
def test_the_gradient_through_a_failed_power_flow_is_finite(three_days: Path, power_flow: str) -> None:
    env = with_profiles(nf.make("neom33", power_flow=power_flow, profiles=three_days), demand=9.0, solar=0.0)
    state, _ = env.reset(jax.random.key(0))
    gradient = jax.jit(jax.grad(lambda action: env.step(state, action)[1].reward.sum()))(random_action(env))
    assert np.isfinite(gradient).all()


def test_a_day_that_begins_without_a_solution_still_resets_to_finite_observations(three_days: Path) -> None:
    collapsed = with_profiles(nf.make("neom33", power_flow="ac", profiles=three_days), demand=9.0, solar=0.0)
    env = evaluation_environment(collapsed, collapsed.profiles)
    _, timestep = env.reset(jax.random.key(0))
    assert np.isfinite(timestep.observation).all()
    assert not bool(timestep.info["converged"])
    assert np.isnan(timestep.info["vm_pu"]).all()


def test_collapse_is_no_better_than_a_deep_under_voltage(three_days: Path) -> None:
    env = nf.make("neom33", power_flow="ac", profiles=three_days)
    rewards = []
    for demand in (3.0, 9.0):
        heavy = with_profiles(env, demand, 0.0)
        state, _ = heavy.reset(jax.random.key(0))
        rewards.append(float(jax.jit(heavy.step)(state, jnp.zeros((3, 3)))[1].reward.mean()))
    assert rewards[1] <= rewards[0] < -100
