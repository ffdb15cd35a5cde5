"""What a training says of its policies at its end: beside no control and the droop, and how many steps it made."""

import json
from dataclasses import replace

import numpy as np
import pytest

from neomflex_jax import load_scenario
from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.agents.sac import SacConfig
from neomflex_jax.environment import evaluation_environment, make
from neomflex_jax.evaluation.yardsticks import record_yardstick
from neomflex_jax.training.comparison import Comparison, compare, spread_days
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.train import train

BETTER = Comparison(days=(4, 11), power_flow="ac", policy=(21.4,), no_control=1596.0, mapdn_droop=243.0)
TINY = SacConfig(
    n_copies=2, batch_size=4, updates_per_step=1, buffer_size=8, warmup_steps=1, hidden_sizes=(4,), actor_average=1.0
)


@pytest.fixture(scope="module")
def env(three_days):
    return make("voltage33", power_flow="lindistflow", profiles=str(three_days))


def idle(env):
    """Policies that do nothing."""
    sizes = zip(env.observation_mask.sum(axis=1), env.action_mask.sum(axis=1), strict=True)
    return [
        ActorNetwork(np.zeros(n_in), np.ones(n_in), ((np.zeros((n_in, n_out)), np.zeros(n_out)),))
        for n_in, n_out in sizes
    ]


def full(env):
    """Policies that feed in all the reactive power they can."""
    return [replace(one, layers=((one.layers[0][0], one.layers[0][1] + 10.0),)) for one in idle(env)]


def test_policies_are_played_beside_no_control_and_the_droop(env):
    compared = compare(env, [idle(env), full(env)], n_days=99)
    assert compared.days == (0, 1, 2)
    judged = evaluation_environment(env, env.profiles)
    for name in ("no_control", "mapdn_droop"):
        whole = record_yardstick(judged, name).trajectory.cost.sum() / 3
        np.testing.assert_allclose(getattr(compared, name), whole, rtol=1e-4)
    assert compared.policy[0] == pytest.approx(compared.no_control)
    assert compared.policy[1] > compared.no_control


def test_days_are_spread_over_the_training_profiles():
    assert spread_days(280, 8).tolist() == [17, 52, 87, 122, 157, 192, 227, 262]
    assert spread_days(3, 1).tolist() == [1]
    assert spread_days(3, 99).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ((21.4,), "day cost 21.4, better than no control (1,596) and better than MAPDN's droop (243)"),
        ((281.0,), "day cost 281, better than no control (1,596) and worse than MAPDN's droop (243)"),
        ((10851.0,), "day cost 10,851, worse than no control (1,596) and worse than MAPDN's droop (243)"),
        ((1596.0,), "day cost 1,596, equal to no control (1,596) and worse than"),
        ((20.0, 300.0), "2 seeds 20 to 300, better than no control (1,596) and 1 of 2 worse than MAPDN's droop (243)"),
    ],
)
def test_the_sentence_says_better_or_worse(policy, said):
    assert said in replace(BETTER, policy=policy).sentence(600_000, 500_000)


def test_the_sentence_says_on_which_days_and_how_many_steps_of_those_the_defaults_need():
    few, enough = (BETTER.sentence(steps, 500_000) for steps in (120_000, 600_000))
    assert "on training days 4, 11, in ac; 120,000 steps made of the 500,000 that the defaults are tuned for" in few
    assert few.endswith("more may help")
    assert enough.endswith("600,000 steps made of the 500,000 that the defaults are tuned for")


@pytest.fixture
def two_seeds(three_days):
    scenario = load_scenario("voltage33", power_flow="lindistflow", profiles=str(three_days))
    return TrainOptions(scenario, n_seeds=2, total_steps=1, sac=TINY, compared_days=1)


def test_result_json_holds_the_comparison_of_all_seeds_and_of_each(two_seeds, tmp_path, monkeypatch):
    asked = []

    def compared(env, networks, n_days):
        asked.append((env.power_flow.method, len(networks), n_days))
        return replace(BETTER, policy=(21.0, 1700.0))

    monkeypatch.setattr("neomflex_jax.training.run_output.compare", compared)
    train(two_seeds, tmp_path / "run")
    assert asked == [("lindistflow", 2, 1)]
    both, second = (
        json.loads((tmp_path / "run" / folder / "result.json").read_text())["comparison"] for folder in (".", "seed_1")
    )
    assert both["policy"] == [21.0, 1700.0]
    assert both["sentence"].startswith("day cost of 2 seeds 21 to 1,700, 1 of 2 worse than no control")
    assert "; not settled in 2 of 2 seeds, in seed 0: 50 steps are too few to tell; try" in both["sentence"]
    assert second["policy"] == [1700.0]
    assert second["sentence"].startswith("day cost 1,700, worse than no control")


def test_without_days_nothing_is_compared(two_seeds, tmp_path):
    train(replace(two_seeds, compared_days=0), tmp_path / "run")
    assert "comparison" not in json.loads((tmp_path / "run" / "result.json").read_text())
