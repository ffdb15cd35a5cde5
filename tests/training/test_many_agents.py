"""Trainings with shared parameters and critics of neighbourhoods: stopped and gone on with, they end the same."""

import json
from dataclasses import replace

import pytest

from neomflex_jax import load_scenario
from neomflex_jax.agents.gradient import GradientConfig
from neomflex_jax.agents.sac import SacConfig
from neomflex_jax.environment import make
from neomflex_jax.training.algorithm import algorithm_for, kinds_of_agents
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.train import resume, train

GRADIENT = GradientConfig(n_copies=2, horizon_days=1, warmup_steps=4, hidden_sizes=(8,))
SAC = SacConfig(n_copies=4, batch_size=8, updates_per_step=1, buffer_size=256, warmup_steps=8, hidden_sizes=(8,))
OPTIONS = {
    "gradient, shared": {"algorithm": "gradient", "gradient": replace(GRADIENT, actors="shared")},
    "gradient, by kind": {"algorithm": "gradient", "gradient": replace(GRADIENT, actors="by-kind")},
    "sac, neighbourhood": {
        "algorithm": "sac",
        "sac": replace(SAC, actors="by-kind", critics="neighbourhood", neighbours=1),
    },
}


def scenario():
    return load_scenario("neom33", power_flow="lindistflow")


def test_what_learners_are_told_of_the_grid():
    env = make(scenario())
    kinds = kinds_of_agents(env)
    assert kinds == (0, 1, 2)  # a battery and an inverter; two batteries and one; one inverter
    options = TrainOptions(env.scenario, **OPTIONS["sac, neighbourhood"])
    sac = algorithm_for(env, options).sac
    assert sac.kinds == kinds
    assert sac.neighbourhoods == ((0, 1), (1, 2), (2, 1))  # 5 to 25 is 0.23 ohm, 4 to 5 is 1.08


@pytest.mark.slow
@pytest.mark.parametrize("case", OPTIONS)
def test_stopped_and_gone_on_with_it_ends_the_same(tmp_path, case):
    options = OPTIONS[case]
    given = TrainOptions(scenario(), total_steps=2000, compared_days=0, **options)

    def stop(progress):
        raise KeyboardInterrupt

    train(given, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(given, tmp_path / "stopped", on_progress=stop, checkpoint_seconds=0)
    resume(tmp_path / "stopped")
    whole, stopped = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "stopped"))
    assert whole["sha256"] == stopped["sha256"]
