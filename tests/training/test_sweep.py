"""Sweeps: the grid, what shares a compilation, and that trainings side by side are the trainings one by one."""

import dataclasses
import json
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from neomflex_jax import InputError, load_scenario
from neomflex_jax.agents.policy_files import load_policies
from neomflex_jax.agents.sac import SacConfig
from neomflex_jax.interquartile import interquartile_mean
from neomflex_jax.training import program
from neomflex_jax.training.options import TrainOptions, read_options
from neomflex_jax.training.run_folder import RunFolder
from neomflex_jax.training.sweep import _jobs, _trainings, grid, sweep
from neomflex_jax.training.sweep_table import summarise, write
from neomflex_jax.training.train import resume, train

SAC = SacConfig(n_copies=4, batch_size=8, updates_per_step=1, buffer_size=64, warmup_steps=4, hidden_sizes=(8,))


def options(**changes):
    scenario = load_scenario("neom33", power_flow="lindistflow")
    return TrainOptions(scenario=scenario, **{"n_seeds": 2, "total_steps": 200, "sac": SAC} | changes)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    output = tmp_path_factory.mktemp("sweep")
    settings = grid(options(), {"learning_rate": (1e-3, 1e-2), "gamma": (0.9,)})
    before = program._advance._cache_size()
    outcomes = sweep(settings, output)
    return output, settings, outcomes, program._advance._cache_size() - before


def test_the_grid_is_every_combination():
    made = grid(options(), {"learning_rate": (1e-3, 3e-3), "gamma": (0.9, 0.95, 0.99)})
    assert [(each.sac.learning_rate, each.sac.gamma) for each in made] == [
        (rate, gamma) for rate in (1e-3, 3e-3) for gamma in (0.9, 0.95, 0.99)
    ]


def test_shapes_make_groups_and_traced_settings_do_not():
    settings = grid(options(), {"hidden_sizes": ((8,), (4,)), "tau": (0.1, 0.2), "batch_size": (8, 4)})
    trainings = [t for index, each in enumerate(settings) for t in _trainings(each, Path(f"{index}"))]
    jobs = list(_jobs(trainings, None))
    assert [len(job) for job in jobs] == [4, 4, 4, 4]  # two taus, two seeds each
    for job in jobs:
        assert len({(t.options.sac.hidden_sizes, t.options.sac.batch_size) for t in job}) == 1
    assert sorted(len(job) for job in _jobs(trainings, 3)) == [1, 1, 1, 1, 3, 3, 3, 3]


def test_a_group_is_traced_once(swept):
    assert swept[3] == 1


def test_a_training_in_a_sweep_is_the_training_alone(swept, tmp_path):
    output, settings, _, _ = swept
    train(dataclasses.replace(settings[1], seed=1, n_seeds=1), tmp_path / "alone")
    alone, among = load_policies(tmp_path / "alone"), load_policies(output / "setting_1" / "seed_1")
    other = load_policies(output / "setting_0" / "seed_1")
    observation = np.random.default_rng(0).normal(size=(20, 18)).astype(np.float32)
    for agent, network in alone.networks.items():
        seen = observation[:, : network.observation_size]
        np.testing.assert_allclose(among.networks[agent](seen), network(seen), atol=1e-3)  # Muon lengthens rounding
        assert np.abs(other.networks[agent](seen) - network(seen)).max() > 0.02


def test_every_training_has_a_run_folder(swept):
    output, settings, outcomes, _ = swept
    for index, each in enumerate(settings):
        for seed in (0, 1):
            folder = RunFolder(output / f"setting_{index}" / f"seed_{seed}")
            assert read_options(folder) == dataclasses.replace(each, seed=seed, n_seeds=1)
            metrics = pd.read_csv(folder.metrics)
            assert outcomes[index][seed].day_cost == pytest.approx(metrics["day_cost"].tail(5).mean(), rel=1e-5)
            assert outcomes[index][seed].steps == metrics["steps"].iloc[-1] >= 200


def test_a_training_of_a_sweep_is_not_resumed(swept):
    with pytest.raises(InputError, match="part of a sweep"):
        resume(swept[0] / "setting_0" / "seed_0")


def test_the_table_states_what_the_trainings_did(swept):
    output, settings, outcomes, _ = swept
    values = [{"learning_rate": each.sac.learning_rate} for each in settings]
    table = summarise(values, outcomes)
    write(output, table, values, outcomes)
    assert table["day_cost_iqm"].is_monotonic_increasing
    single = pd.read_csv(output / "trainings.csv")
    for _, row in pd.read_csv(output / "sweep.csv").iterrows():
        costs = single.loc[single["learning_rate"] == row["learning_rate"], "day_cost"].to_numpy()
        assert len(costs) == row["n_seeds"] == 2
        assert row["day_cost_iqm"] == pytest.approx(interquartile_mean(costs))
        assert costs.min() - 1e-9 <= row["day_cost_low"] <= row["day_cost_high"] <= costs.max() + 1e-9


def test_a_setting_that_diverges_leaves_the_others_alone(swept, tmp_path):
    wild = grid(options(n_seeds=1), {"learning_rate": (1e-3, 1e30), "gamma": (0.9,)})
    outcomes = sweep(wild, tmp_path)
    assert outcomes[0][0].day_cost == pytest.approx(swept[2][0][0].day_cost, rel=1e-3)
    assert "is not finite" in outcomes[1][0].diverged and np.isnan(outcomes[1][0].day_cost)
    table = summarise([{"learning_rate": each.sac.learning_rate} for each in wild], outcomes)
    assert list(table["n_diverged"]) == [0, 1]
    assert not (tmp_path / "setting_1" / "seed_0" / "policies").exists()


def test_ctrl_c_in_a_sweep_keeps_what_was_learned(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        sweep([options(n_seeds=1)], tmp_path, on_progress=lambda _: signal.raise_signal(signal.SIGINT))
    assert load_policies(tmp_path / "setting_0" / "seed_0").networks


def test_a_sweeps_budget_below_the_warm_up_still_makes_a_chunk(tmp_path):
    outcomes = sweep([options(n_seeds=1, total_steps=1)], tmp_path)
    assert np.isfinite(outcomes[0][0].day_cost)


def test_existing_runs_are_refused_before_anything_is_trained(swept):
    output, settings, _, _ = swept
    before = json.loads((output / "setting_0" / "seed_0" / "config.json").read_text())
    with pytest.raises(InputError, match="already holds a run"):
        sweep(settings, output)
    assert json.loads((output / "setting_0" / "seed_0" / "config.json").read_text()) == before


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rat": (1.0,)}, "Did you mean 'learning_rate'"),
        ({"tau": (0.1, 0.1)}, "every value once"),
        ({"gamma": (1.5,)}, r"gamma = 1\.5"),
    ],
)
def test_bad_grids_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        grid(options(), values)


def test_what_belongs_to_single_runs_is_refused(tmp_path):
    with pytest.raises(InputError, match="single runs"):
        sweep([options(target_day_cost=1.0)], tmp_path)


@pytest.mark.slow
def test_jobs_run_on_a_dask_cluster(tmp_path):
    distributed = pytest.importorskip("dask.distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        outcomes = sweep([options(n_seeds=1)], tmp_path, client.get_executor())
    assert np.isfinite(outcomes[0][0].day_cost)
    assert load_policies(tmp_path / "setting_0" / "seed_0").networks
