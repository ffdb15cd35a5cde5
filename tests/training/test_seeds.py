"""Several seeds in one run: folders, metrics, resuming, one trace, and each seed as if it were alone."""

import json

import numpy as np
import pandas as pd
import pytest
from command_line import neomflex

from neomflex_jax import InputError, load_scenario
from neomflex_jax.agents.policy_files import load_policies
from neomflex_jax.agents.sac import SacConfig
from neomflex_jax.cli import main
from neomflex_jax.commands.train import _end_lines
from neomflex_jax.training import program
from neomflex_jax.training.options import TrainOptions, read_options
from neomflex_jax.training.run_folder import PART_OF, RunFolder
from neomflex_jax.training.train import resume, train

SAC = SacConfig(
    n_copies=4,
    batch_size=8,
    updates_per_step=1,
    buffer_size=64,
    warmup_steps=4,
    hidden_sizes=(8,),
    learning_rate_decay="none",  # which goes by the budget, and resumed runs here get another
)
CHUNK = 24 * SAC.n_copies
WARM_UP = SAC.warmup_steps * SAC.n_copies
SEEDS = (3, 4, 5)


def options(chunks=2, **changes):
    scenario = load_scenario("neom33", power_flow="lindistflow")
    given = {"seed": 3, "n_seeds": 3, "total_steps": WARM_UP + chunks * CHUNK, "sac": SAC}
    given |= {"compared_days": 0} | changes
    return TrainOptions(scenario=scenario, **given)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds") / "run"
    before = program._advance._cache_size()
    train(options(), folder)
    return folder, program._advance._cache_size() - before


def actions(folder):
    policies = load_policies(folder)
    random = np.random.default_rng(0)
    return [net(random.normal(size=(20, net.observation_size))) for net in policies.networks.values()]


def test_all_seeds_are_traced_once(run):
    assert run[1] == 1


def test_a_seed_among_several_is_the_seed_alone(run, tmp_path):
    train(options(seed=4, n_seeds=1), tmp_path / "alone")
    for alone, among in zip(actions(tmp_path / "alone"), actions(run[0] / "seed_4"), strict=True):
        np.testing.assert_allclose(among, alone, atol=2e-4)
    for alone, other in zip(actions(tmp_path / "alone"), actions(run[0] / "seed_5"), strict=True):
        assert np.abs(other - alone).max() > 1e-2


def test_metrics_have_a_row_a_seed_and_chunk(run):
    metrics = pd.read_csv(run[0] / "metrics.csv")
    assert list(metrics["seed"]) == [*SEEDS, *SEEDS]
    assert list(metrics["steps"].unique()) == [WARM_UP + CHUNK, WARM_UP + 2 * CHUNK]
    assert (metrics.groupby("steps")["day_cost"].nunique() == 3).all()


def test_every_seeds_folder_says_which_run_it_is(run):
    for seed in SEEDS:
        assert read_options(RunFolder(run[0] / f"seed_{seed}")) == options(seed=seed, n_seeds=1)


def test_several_seeds_are_resumed_as_if_never_interrupted(run, tmp_path):
    train(options(1), tmp_path / "run")
    resume(tmp_path / "run", total_steps=WARM_UP + 2 * CHUNK)
    for seed in SEEDS:
        for whole, parts in zip(
            actions(run[0] / f"seed_{seed}"), actions(tmp_path / "run" / f"seed_{seed}"), strict=True
        ):
            np.testing.assert_array_equal(whole, parts)


def test_an_overwritten_run_leaves_no_seed_behind(run, tmp_path):
    folder = tmp_path / "run"
    for seed in (0, 1):
        RunFolder(folder / f"seed_{seed}").prepare(overwrite=False)
        RunFolder(folder / f"seed_{seed}").write_config({PART_OF: "the run of several seeds"})
    (folder / "seed_1" / "notes.txt").write_text("mine")
    RunFolder(folder).write_config({})
    RunFolder(folder).prepare(overwrite=True)
    assert [str(path.relative_to(folder)) for path in sorted(folder.rglob("*"))] == ["seed_1", "seed_1/notes.txt"]


@pytest.mark.slow
def test_a_seeds_folder_can_be_evaluated_and_validated(run, three_days, tmp_path):
    given = ("--policies", run[0] / "seed_4", "--profiles", three_days)
    assert neomflex("evaluate", *given, "--output", tmp_path / "e") == 0
    assert set(pd.read_csv(tmp_path / "e" / "step_metrics.csv")["run"]) == {"controlled"}
    assert neomflex("validate", *given, "--power-flow", "ac", "--output", tmp_path / "v") == 0
    assert json.loads((tmp_path / "v" / "report.json").read_text())["verdict"] == "PASS"


def test_a_run_stops_when_its_target_is_reached(run, tmp_path):
    reached = pd.read_csv(run[0] / "metrics.csv").groupby("steps")["day_cost"].mean().iloc[0]
    train(options(50, target_day_cost=float(reached) + 1.0), tmp_path / "run")
    assert pd.read_csv(tmp_path / "run" / "metrics.csv")["steps"].max() == WARM_UP + CHUNK


def test_traces_and_event_files_are_written_where_asked(tmp_path, capsys):
    pytest.importorskip("tensorboardX")
    small = [
        f"--sac.{name.replace('_', '-')}={getattr(SAC, name)}" for name in ("n_copies", "batch_size", "buffer_size")
    ]
    small += [
        "--sac.updates-per-step=1",
        "--sac.warmup-steps=4",
        "--sac.hidden-sizes",
        "8",
        "--power-flow",
        "lindistflow",
    ]
    steps = ("--total-steps", WARM_UP + 4 * CHUNK)
    assert neomflex("train", "--output", tmp_path / "run", *small, *steps, "--tensorboard", "--profile") == 0
    assert list((tmp_path / "run" / "events").glob("events.out.tfevents.*"))
    assert list((tmp_path / "run" / "trace").rglob("perfetto_trace.json.gz"))
    assert "perfetto" in capsys.readouterr().out


def test_a_seeds_own_folder_is_not_resumed(run):
    with pytest.raises(InputError, match="part of the run of several seeds"):
        resume(run[0] / "seed_4")


def test_a_seeds_folder_has_its_own_metrics_and_result(run):
    together = pd.read_csv(run[0] / "metrics.csv")
    alone = pd.read_csv(run[0] / "seed_4" / "metrics.csv")
    assert list(alone["day_cost"]) == list(together.loc[together["seed"] == 4, "day_cost"])
    assert "seed" not in alone.columns
    result = json.loads((run[0] / "seed_4" / "result.json").read_text())
    assert result["sha256"] == json.loads((run[0] / "result.json").read_text())["sha256"]["seed_4"]


def test_seeds_folders_are_named_where_the_runs_own_hold_nothing(run, capsys):
    assert str(run[0] / "seed_5" / "policies") in _end_lines(run[0])
    with pytest.raises(SystemExit):
        main(["report", str(run[0])])
    said = capsys.readouterr().out
    assert all(f"seed {seed}:" in said for seed in (3, 4, 5)) and "not evaluated" in said
