"""What users add to a task by keyword: reward terms and observations."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from users_modules import forgotten_afterwards

import neomflex_jax as nf
from neomflex_jax.environment.step.measurements import Block, Value
from neomflex_jax.environment.step.outcome import Outcome
from neomflex_jax.environment.task import Task
from neomflex_jax.scenario import scenario_from_dict
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.train import train

LOWEST = Block((Value("lowest voltage", "pu", 0.0, 2.0),), lambda now: now.vm_pu.min()[None])


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


@pytest.mark.parametrize(
    ("added", "complaint"),
    [
        (
            {"reward_terms": {"root": lambda task, outcome: jnp.sqrt(outcome.vm_pu.min() - 9.0) * jnp.ones(3)}},
            "reward term 'root' is NaN or infinite 192 times in 192 numbers of a trial",
        ),
        ({"reward_terms": {"five": 5.0}}, "reward term 'five' is 5.0; give a function of task and outcome"),
        (
            {"reward_terms": ["five"]},
            r"reward_terms = .* must be functions by name",
        ),
        ({"observations": [lambda now: now.vm_pu]}, "observation <function .* must be a Block"),
        ({"observations": [Block((), lambda now: now.vm_pu[:0], name="none")]}, "observation 'none' has no values"),
        (
            {"observations": [Block((Value("swing", "pu", 0.0, 0.01),), lambda now: jnp.ptp(now.vm_pu)[None])]},
            r"observation 'swing': 'swing' leaves its bounds 0..0.01 64 times in 64 numbers of a trial, as far as 0.09",
        ),
        (
            {"observations": [Block((Value("log", "", -9.0, 9.0),), lambda now: jnp.log(now.vm_pu.min() - 1.2)[None])]},
            "observation 'log' is NaN or infinite 64 times in 64",
        ),
        ({"observations": [LOWEST, LOWEST]}, "two observations are called 'lowest voltage'"),
    ],
)
def test_what_is_wrong_with_a_part_is_said_when_the_environment_is_made(added: dict[str, Any], complaint: str) -> None:
    with pytest.raises(nf.InputError, match=complaint):
        nf.make("neom33", power_flow="dc", **added)


def test_a_scenario_names_its_parts_and_takes_them_from_a_module_or_from_make() -> None:
    plain = nf.load_scenario("neom33", power_flow="dc")
    assert not {"reward_terms", "observations", "part_modules"} & set(plain.as_dict())
    given = nf.make(plain, reward_terms={"high": high}, observations=[LOWEST]).scenario
    assert given.reward_terms == ("high",) and given.observations == ("lowest voltage",)
    assert given.hash() != plain.hash() and "part_modules" not in given.as_dict()
    assert given.observation_layout() != plain.observation_layout()
    with pytest.raises(nf.InputError, match=r"reward term 'high' is not known here; import the module .*--import"):
        nf.make(given)
    with forgotten_afterwards():
        nf.register_reward_term(high)
        nf.register_observation(LOWEST)
        listed = nf.load_scenario("neom33", power_flow="dc", reward_terms=["high"], observations=["lowest voltage"])
        assert listed == given and nf.make(listed).reward_terms == (("high", high),)
        stored = listed.as_dict()
        assert stored["part_modules"] == {"reward_terms": {"high": __name__}, "observations": {LOWEST.called: __name__}}
        assert scenario_from_dict(stored, "here").hash() == given.hash()
        with pytest.raises(nf.InputError, match=f"reward term 'high' is registered already, by {__name__}"):
            nf.register_reward_term(high)
    with pytest.raises(nf.InputError, match=f"no reward term 'high' is registered here; import '{__name__}'"):
        scenario_from_dict(stored, "config.json")


def test_names_that_cannot_be_are_refused() -> None:
    def losses(task: Task, outcome: Outcome) -> Array:
        return outcome.loss_mw * jnp.ones(3)

    with pytest.raises(nf.InputError, match="reward term 'losses' is the scenario's own"):
        nf.register_reward_term(losses)
    with pytest.raises(nf.InputError, match="must be a function with a name: write it with def"):
        nf.register_reward_term(lambda task, outcome: outcome.loss_mw)
    with pytest.raises(nf.InputError, match=r"reward_terms = \['a', 'a'\] names one reward term twice"):
        nf.load_scenario("neom33", reward_terms=["a", "a"])


def test_a_run_is_not_trained_on_parts_that_its_config_would_not_name(tmp_path: Path) -> None:
    env = nf.make("neom33", power_flow="dc", reward_terms={"high": high})
    with pytest.raises(nf.InputError, match=r"has reward_terms = \['high'\], .*give TrainOptions\(env.scenario"):
        train(TrainOptions(nf.load_scenario("neom33", power_flow="dc")), tmp_path / "run", env=env)
