"""What a notebook shows of a value fits a line, whatever stands in the place of its arrays."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.agents.policy_files import Policies, PolicyInfo
from neomflex_jax.grid.topology import spanning_tree
from neomflex_jax.one_line import WIDTH, one_line
from neomflex_jax.powerflow.solver import bind
from neomflex_jax.training.options import TrainOptions


@pytest.fixture(scope="module")
def env(three_days: Path) -> nf.Environment:
    return nf.make("neom33", power_flow="dc", profiles=three_days)  # compiles least


def with_parts(value: Any) -> Iterator[Any]:
    """Give a dataclass and every one inside it that holds arrays."""
    yield value
    for field in dataclasses.fields(value):
        part = getattr(value, field.name)
        if dataclasses.is_dataclass(part) and any(hasattr(each, "shape") for each in vars(part).values()):
            yield from with_parts(part)


def test_what_a_notebook_user_evaluates_fits_a_line(env: nf.Environment, case33bw: nf.Feeder) -> None:
    state, timestep = jax.eval_shape(jax.vmap(env.reset), jax.random.split(jax.random.key(0), 4))
    trees = [bind(case33bw, "ac", network=form) for form in ("tree", "dense")]
    values = [env, nf.AutoReset(env), env.scenario, env.profiles, env.layout, env.action_layout, env.observation_layout]
    values += [state, timestep, case33bw, spanning_tree(case33bw.topology), *trees]
    for text in [repr(part) for value in values for part in with_parts(value)]:
        assert "\n" not in text and len(text) <= WIDTH, text
    assert repr(env) == "Environment('neom33', 3 agents, 6 devices, 33 buses, power flow dc)"
    assert "observation=float32[4,3,18]" in repr(timestep)


def test_works_on_what_transformations_put_in_the_place_of_arrays(env: nf.Environment) -> None:
    seen: list[str] = []

    def step(env: nf.Environment, state: nf.State) -> jax.Array:
        answer = env.step(state, jnp.zeros((env.n_agents, env.action_size)))
        for value in (env, nf.AutoReset(env), env.feeder, env.power_flow, env.profiles, *answer):
            seen.extend(repr(part) for part in with_parts(value))
        return jnp.sum(answer[1].reward)

    states = jax.eval_shape(jax.vmap(env.reset), jax.random.split(jax.random.key(0), 4))[0]
    jax.eval_shape(jax.vmap(step, in_axes=(None, 0)), env, states)
    placeholders = jax.tree.map(lambda _: object(), (env, env.feeder, env.profiles))
    seen += [repr(value) for value in placeholders]
    assert len(seen) > 10
    for text in seen:
        assert "\n" not in text and len(text) <= WIDTH, text


def test_numbers_on_the_host_are_shown_and_memory_that_was_given_away_is_not_read() -> None:
    @dataclasses.dataclass
    class Pair:
        cost: Any
        plan: Any
        name: str = "x" * 500
        note: str = "two\nlines"

        __repr__ = one_line

    given = jnp.zeros(3)
    given.delete()
    text = repr(Pair(np.float64(1.5), given))
    assert text.startswith("Pair(cost=1.5, plan=float32[3], name='xxx") and "\n" not in text and len(text) <= WIDTH


def test_options_and_policies_fit_a_line() -> None:
    network = ActorNetwork(np.zeros(5, np.float32), np.ones(5, np.float32), ((np.zeros((5, 2)), np.zeros(2)),))
    info = PolicyInfo("agent_1", "a_scenario_with_a_long_name" * 9, {"buses": list(range(99))}, "0.1.0", "0" * 64)
    policies = Policies({"agent_1": network}, {"agent_1": info})
    for value in (TrainOptions(nf.load_scenario("neom33")), policies, info, network):
        assert "\n" not in repr(value) and len(repr(value)) <= WIDTH, repr(value)
