"""The PettingZoo adapter: its official tests, whose entries are whose, and what it refuses."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from pettingzoo.test import parallel_api_test, parallel_seed_test
from pettingzoo.utils.conversions import parallel_to_aec

import neomflex_jax as nf
from neomflex_jax.adapters.pettingzoo import NeomFlexParallelEnv, parallel_env

FIELDS = {"power_flow": "lindistflow"}  # the quickest to compile; the adapter does not know which it is


@pytest.fixture(scope="module")
def env(three_days: Path) -> NeomFlexParallelEnv:
    """Build the default scenario on three days."""
    return parallel_env("neom33", profiles=three_days, **FIELDS)


def zeros(env: NeomFlexParallelEnv) -> dict[str, np.ndarray]:
    """Ask for nothing."""
    return {agent: np.zeros(env.action_space(agent).shape, np.float32) for agent in env.possible_agents}


def test_the_official_tests_accept_it(env: NeomFlexParallelEnv, three_days: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parallel_api_test(env, num_cycles=1000)
        parallel_seed_test(lambda: parallel_env("neom33", profiles=three_days, **FIELDS), num_cycles=500)


def test_it_becomes_an_environment_of_turns(env: NeomFlexParallelEnv) -> None:
    turns = parallel_to_aec(env)
    turns.reset(seed=1)
    steps = 0
    for agent in turns.agent_iter():
        observation, _, terminated, truncated, _ = turns.last()
        over = terminated or truncated
        assert over or observation in turns.observation_space(agent)
        turns.step(None if over else zeros(env)[agent])
        steps += 1
    assert steps == 3 * (48 + 1)


def test_agents_have_their_own_unpadded_entries(env: NeomFlexParallelEnv) -> None:
    observations, infos = env.reset(seed=2)
    core, timestep = env.episode.env, env.episode.timestep
    assert [env.observation_space(agent).shape for agent in env.agents] == [(16,), (18,), (11,)]
    assert [env.action_space(agent).shape for agent in env.agents] == [(2,), (3,), (1,)]
    for agent, expected in core.split(timestep.observation).items():
        np.testing.assert_array_equal(observations[agent], expected)
        assert observations[agent] in env.observation_space(agent)
        assert infos[agent]["vm_pu"].shape == (len(core.layout.buses[core.agents.index(agent)]),)
    np.testing.assert_array_equal(env.state(), np.concatenate(list(observations.values())))
    assert env.state() in env.state_space


def test_actions_rewards_and_infos_reach_their_agents(env: NeomFlexParallelEnv) -> None:
    env.reset(seed=2)
    asked = zeros(env)
    asked["agent_2"][:2] = 0.25, -0.5
    _, rewards, terminated, truncated, infos = env.step(asked)
    assert [infos[agent]["battery_p_mw"].tolist() for agent in env.agents] == [[0.0], [0.125, -0.25], []]
    assert [infos[agent]["pv_p_mw"].shape for agent in env.agents] == [(1,), (1,), (1,)]
    for index, agent in enumerate(env.agents):
        assert rewards[agent] == env.episode.timestep.reward[index]
        own = infos[agent]
        assert own["local_reward"] == pytest.approx(sum(own[f"reward_{name}"] for name in ("voltage", "losses")))
        assert own["converged"] and own["loss_mw"] > 0
        assert "vm_pu" in own and "p_injection_mw" in own
    assert terminated == truncated == dict.fromkeys(env.agents, False)


def test_the_days_end_is_everybodys(env: NeomFlexParallelEnv) -> None:
    env.reset(seed=0)
    for _ in range(48):
        assert env.agents == env.possible_agents
        _, _, terminated, truncated, _ = env.step(zeros(env))
    assert env.agents == []
    assert truncated == dict.fromkeys(env.possible_agents, True)
    assert terminated == dict.fromkeys(env.possible_agents, False)
    with pytest.raises(nf.InputError, match=r"the day has ended; call reset\(\) first"):
        env.step(zeros(env))


def test_resets_without_a_seed_follow_from_the_last(env: NeomFlexParallelEnv) -> None:
    def days() -> list[object]:
        first = [env.reset(seed=8), env.reset(), env.reset()]
        for _ in range(48):
            env.step(zeros(env))
        return [*first, env.reset()]

    once, again = days(), days()
    assert data_equivalence(once, again, exact=True)
    assert not data_equivalence(once[1], once[2])
    assert parallel_env("neom33", power_flow="lindistflow").reset()  # a first reset needs no seed


def test_bad_actions_are_refused_by_agent_and_entry(env: NeomFlexParallelEnv) -> None:
    env.reset(seed=0)
    asked = zeros(env)
    asked["agent_2"][2] = np.nan
    with pytest.raises(nf.InputError, match="entry 2 of agent_2 is NaN"):
        env.step(asked)
    with pytest.raises(nf.InputError, match=r"action of agent_3 has shape \(2,\); expected \(1,\)"):
        env.step(zeros(env) | {"agent_3": np.zeros(2)})
    with pytest.raises(nf.InputError, match="agent_1 is missing; every agent acts"):
        env.step({"agent_2": np.zeros(3), "agent_3": np.zeros(1)})
    with pytest.raises(nf.InputError, match="actions name 'agent_4'; the agents are agent_1, agent_2, agent_3"):
        env.step(zeros(env) | {"agent_4": np.zeros(1)})
    with pytest.raises(nf.InputError, match="action of agent_1 is not an array of numbers"):
        env.step(zeros(env) | {"agent_1": ["a", "b"]})
