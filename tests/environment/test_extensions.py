"""What users add to a task by keyword: reward terms and observations."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import neomflex_jax as nf
from neomflex_jax.environment.step.measurements import Block, Value
from neomflex_jax.environment.step.outcome import Outcome
from neomflex_jax.environment.task import Task


def high(task: Task, outcome: Outcome) -> Array:
    """Cost the highest voltage."""
    return -jnp.maximum(outcome.vm_pu.max() - 1.0, 0.0) * jnp.ones(task.n_agents)


def test_reward_terms_are_added_to_the_local_reward() -> None:
    env = nf.make("neom33", power_flow="lindistflow", reward_terms={"high": high})
    plain = nf.make("neom33", power_flow="lindistflow")
    state, first = env.reset(jax.random.key(0))
    np.testing.assert_array_equal(first.info["reward_high"], 0.0)
    info, other = (one.step(state, jnp.ones((3, 3)))[1].info for one in (env, plain))
    np.testing.assert_allclose(info["reward_high"], -max(float(info["vm_pu"].max()) - 1.0, 0.0), atol=1e-7)
    np.testing.assert_allclose(info["local_reward"], other["local_reward"] + info["reward_high"], atol=1e-5)


def test_a_term_that_is_no_number_an_agent_or_takes_a_name_is_refused() -> None:
    scalar = r"reward term 'all' returns float32 of shape \(\); expected one number an agent, floats of shape \(3,\)"
    with pytest.raises(nf.InputError, match=scalar):
        nf.make("neom33", power_flow="dc", reward_terms={"all": lambda task, outcome: outcome.loss_mw})
    with pytest.raises(nf.InputError, match="reward term 'losses' is the scenario's own"):
        nf.make("neom33", power_flow="dc", reward_terms={"losses": high})


def test_observations_come_last_for_everybody_or_by_owner() -> None:
    lowest = Block((Value("lowest voltage", "pu", 0.0, 2.0),), lambda now: now.vm_pu.min()[None])
    own = Block(
        tuple(Value(f"hour of agent {agent}", "h", 0.0, 72.0) for agent in (1, 2, 3)),
        lambda now: now.step * jnp.array([0.5, 1.0, 1.5]),
        owned=[np.array([index]) for index in range(3)],
    )
    env = nf.make("neom33", power_flow="lindistflow", observations=[lowest, own])
    _, timestep = env.step(env.reset(jax.random.key(0))[0], jnp.zeros((3, 3)))
    for agent, factor in zip(env.agents, (0.5, 1.0, 1.5), strict=True):
        seen = env.split(timestep.observation, "observation")[agent]
        np.testing.assert_allclose(seen[-2:], [timestep.info["vm_pu"].min(), factor], rtol=1e-6)
    wrong = dataclasses.replace(lowest, read=lambda now: now.vm_pu)
    with pytest.raises(nf.InputError, match=r"observations \['lowest voltage'\]: read .* of shape \(33,\)"):
        nf.make("neom33", power_flow="dc", observations=[wrong])
