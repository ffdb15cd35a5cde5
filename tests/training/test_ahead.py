"""What other threads compile beforehand is what is called, and nothing of it is compiled twice."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from neomflex_jax.agents.gradient import GradientConfig
from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.environment import make
from neomflex_jax.training import once
from neomflex_jax.training.comparison import compare, compare_ahead
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.program import program_for

COMPILED = "/jax/core/compile/backend_compile_duration"
LEARNER = GradientConfig(n_copies=2, warmup_steps=1, hidden_sizes=(3,))


@pytest.fixture(scope="module")
def env(three_days):
    return make("voltage33", power_flow="lindistflow", profiles=str(three_days))


@pytest.fixture
def compiled():
    names = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _, **told: names.append(told.get("fun_name", "")) if event == COMPILED else None
    )
    return names


@pytest.mark.parametrize("from_networks", [False, True])
def test_begin_and_advance_are_compiled_once(env, compiled, from_networks):
    learner = replace(LEARNER, hidden_sizes=(3 + from_networks,))  # each a program of its own
    program = program_for(env, TrainOptions(env.scenario, algorithm="gradient", gradient=learner))
    program.compile_ahead(env, from_networks=from_networks)
    state = program.begin(env, [0])
    state = program.with_networks(state, program.networks(state)[0]) if from_networks else state
    state, _ = program.advance(env, state, 0.0, 1)
    program.advance(env, state, 0.5, 2)
    assert [sum(name in each for each in compiled) for name in ("_begin", "_advance")] == [1, 1], compiled


def test_the_comparison_is_compiled_once_for_networks_of_the_same_sizes(env, compiled):
    sizes = list(zip(env.observation_mask.sum(axis=1), env.action_mask.sum(axis=1), strict=True))

    def team(bias):
        return [
            ActorNetwork(np.zeros(n_in), np.ones(n_in), ((np.zeros((n_in, n_out)), np.full(n_out, bias)),))
            for n_in, n_out in sizes
        ]

    compare_ahead(env, [team(0.0)], n_days=1)
    idle, active = compare(env, [team(0.0)], n_days=1), compare(env, [team(1.0)], n_days=1)
    assert idle.policy[0] == pytest.approx(idle.no_control) and active.policy[0] != pytest.approx(idle.no_control)
    assert sum("_costs" in each for each in compiled) == 1, compiled


def test_an_option_that_xla_does_not_have_is_left_out(monkeypatch):
    assert once._options.__wrapped__() == once.SHORT
    monkeypatch.setattr(once, "SHORT", once.PLAIN | {"xla_cpu_no_such_option": True})
    assert once._options.__wrapped__() == once.PLAIN
