"""The command line as a user types it: the whole chain on two days, and wrong input answered in one sentence."""

import json

import numpy as np
import pandas as pd
import pytest
from command_line import SMALL, neomflex

from neomflex_jax.commands.train import _end_lines
from neomflex_jax.errors import reason_of
from neomflex_jax.resources import packaged_profiles


@pytest.fixture(scope="module")
def two_days(tmp_path_factory):
    path = tmp_path_factory.mktemp("profiles") / "two_days.csv"
    pd.read_csv(packaged_profiles("testing")).head(96).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def run(trained_run):
    return trained_run


def test_training_says_how_its_policies_compare(run):
    said = json.loads((run / "result.json").read_text())["comparison"]["sentence"]
    assert "than no control" in said
    assert "steps made of the 500,000" in said
    assert "settled" in said
    assert _end_lines(run).startswith(f"{said}\npolicies: ")


@pytest.fixture(scope="module")
def evaluation(run, two_days, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "evaluation"
    assert neomflex("evaluate", "--policies", run, "--profiles", two_days, "--output", folder, "--baseline") == 0
    return folder


def test_training_writes_the_run_folder(run):
    own = {"config.json", "metrics.csv", "checkpoints", "policies", "result.json", ".neomflex.json"}
    assert {path.name for path in run.iterdir()} == own
    assert {path.name for path in (run / "policies").iterdir()} == {f"agent_{i}.safetensors" for i in (1, 2, 3)}


def test_evaluation_writes_the_three_tables(evaluation):
    steps = pd.read_csv(evaluation / "step_metrics.csv")
    assert (steps.groupby("run").size() == 96).all()
    assert set(steps["run"]) == {"controlled", "baseline"}
    days = pd.read_csv(evaluation / "daily_summary.csv")
    runs = pd.read_csv(evaluation / "run_summary.csv").set_index("run")
    np.testing.assert_allclose(days.groupby("run")["day_cost"].mean(), runs["mean_day_cost"].sort_index(), rtol=1e-6)
    idle = steps[steps["run"] == "baseline"]
    assert (idle.filter(like="battery_power") == 0).all(axis=None)


def test_validation_agrees_with_pandapower_and_exits_0(run, two_days, tmp_path):
    arguments = (
        "validate",
        "--policies",
        run,
        "--profiles",
        two_days,
        "--power-flow",
        "ac",
        "--output",
        tmp_path / "v",
    )
    assert neomflex(*arguments) == 0
    report = json.loads((tmp_path / "v" / "report.json").read_text())
    assert report["verdict"] == "PASS"
    assert set(report["runs"][0]["policies_sha256"]) == {"agent_1", "agent_2", "agent_3"}


def test_validation_of_a_method_that_hides_the_voltages_exits_1(run, two_days, tmp_path):
    arguments = (
        "validate",
        "--policies",
        run,
        "--profiles",
        two_days,
        "--power-flow",
        "dc",
        "--output",
        tmp_path / "v",
    )
    assert neomflex(*arguments) == 1


@pytest.mark.parametrize("figure", ["soc", "voltage", "reactive-power", "dispatch", "comparison"])
def test_figures_are_written(evaluation, figure, tmp_path):
    output = tmp_path / "figures" / "x.png"
    table = evaluation / "step_metrics.csv"
    assert neomflex("plot", figure, table, "--run", "controlled", "--days", "0", "1", "--output", output) == 0
    assert output.read_bytes().startswith(b"\x89PNG")


def test_resuming_goes_on_without_further_words(run, capsys):
    assert neomflex("train", "--resume", "--output", run, "--total-steps", "600") == 0
    assert json.loads((run / "config.json").read_text())["total_steps"] == 600


def test_a_resumed_run_keeps_its_settings(run, capsys):
    assert neomflex("train", "--resume", "--output", run, "--seed", "3") == 2
    assert "--seed cannot change" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--scenario", "neom34", "--output", "OUT"), "Did you mean 'neom33'"),
        (("train", "--power-flow", "exact", "--output", "OUT"), "known: ac, calibrated, dc, lindistflow"),
        (("train", "--profiles", "nowhere.csv", "--output", "OUT"), "no such file"),
        (("train", "--output", "TABLE/run"), "give another path"),
        (("plot", "voltage", "RUN", "--output", "x.png"), "not evaluated"),
        (("train", "--resume", "--output", "OUT", "--seed", "1"), "holds no training run"),
        (("train", "--resume", "--overwrite", "--output", "OUT"), "contradict"),
        (("train", "--output", "RUN"), "already holds a run"),
        (("evaluate", "--policies", "OUT", "--output", "OUT"), "holds no training run"),
        (("evaluate", "--policies", "RUN", "--output", "EVALUATION"), "already holds step_metrics.csv"),
        (("plot", "heat", "TABLE", "--output", "x.png"), "unknown figure 'heat'"),
        (("plot", "soc", "TABLE", "--output", "x.exe"), "must end in"),
        (("plot", "soc", "TABLE", "--days", "7", "--output", "x.png"), "day"),
        (("plot", "soc", "TABLE", "--run", "mine", "--output", "x.png"), "controlled"),
        (("plot", "soc", "nowhere.csv", "--output", "x.png"), "no such file"),
    ],
)
def test_unusable_input_exits_2_with_a_sentence(arguments, message, run, evaluation, tmp_path, capsys):
    places = {"OUT": tmp_path / "out", "RUN": run, "EVALUATION": evaluation, "TABLE": evaluation / "step_metrics.csv"}

    def placed(argument):
        first, *rest = argument.split("/")
        return "/".join([str(places.get(first, first)), *rest])

    assert neomflex(*(placed(argument) for argument in arguments)) == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert message in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_a_budget_of_no_steps_is_refused(command, tmp_path, capsys):
    assert neomflex(command, "--output", tmp_path / "run", "--total-steps", "0") == 2
    assert "total_steps = 0 must be at least 1" in capsys.readouterr().out


def test_overwriting_that_is_interrupted_early_does_not_offer_the_old_run(run, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("neomflex_jax.training.train._start", interrupt)
    assert neomflex("train", "--output", run, "--overwrite", *SMALL) == 130
    assert "nothing was learned yet" in capsys.readouterr().out
    assert (run / "result.json").exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError("Cannot call rmtree on a symbolic link"), "error: Cannot call rmtree on a symbolic link; give"),
        (OSError(), "error: OSError; give"),
        (OSError(28, "No space left on device"), "error: No space left on device; give"),
        (OSError(28, "No space left on device", "out.csv"), "error: out.csv: No space left on device; give"),
    ],
)
def test_errors_of_the_system_say_what_they_know_and_never_none(error, said, monkeypatch, capsys):
    def fail(*_):
        raise error

    monkeypatch.setattr("neomflex_jax.commands.scenario.ScenarioCommand.execute", fail)
    assert neomflex("scenario", "list") == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert said in printed and "None" not in printed
    assert reason_of(EOFError()) == "EOFError"


@pytest.mark.parametrize("first", [True, False])
def test_only_the_first_process_writes_traces(first, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr("neomflex_jax.training.processes.is_first", lambda: first)
    monkeypatch.setattr("neomflex_jax.training.profile.ChunkTrace", lambda folder: made.append(folder))
    monkeypatch.setattr("neomflex_jax.training.train.train", lambda *_, **__: None)
    monkeypatch.setattr("neomflex_jax.commands.train._end_lines", lambda _: "")
    assert neomflex("train", "--output", tmp_path / "run", "--profile") == 0
    assert bool(made) == first


def test_bad_profiles_leave_no_run_behind(tmp_path, capsys):
    bad = tmp_path / "bad.csv"
    bad.write_text("Demand,Solar\n" + "0.5,0.1\n" * 46 + "0.5,bright\n0.5,0.1\n")
    assert neomflex("train", "--profiles", bad, "--output", tmp_path / "run") == 2
    assert "line 48, column 'Solar'" in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "run").exists()


def test_failed_power_flows_are_trained_through_counted_and_shown(two_days, tmp_path, capsys):
    days = pd.read_csv(two_days)[:48]
    days.loc[20, "Demand"] = 9.0
    heavy = tmp_path / "heavy.csv"
    days.to_csv(heavy, index=False)
    run = tmp_path / "run"
    assert neomflex("train", "--profiles", heavy, "--power-flow", "ac", "--output", run, *SMALL) == 0
    metrics = pd.read_csv(run / "metrics.csv")
    assert metrics["failed_power_flows"].sum() > 0
    assert np.isfinite(metrics.to_numpy()).all()
    evaluate = ("evaluate", "--policies", run, "--profiles", heavy, "--output", tmp_path / "evaluation")
    assert neomflex(*evaluate) == 0
    assert "1 power flow failed" in capsys.readouterr().out
    assert neomflex("validate", "--policies", run, "--profiles", heavy, "--output", tmp_path / "validation") == 1


def test_every_command_has_help(capsys):
    for command in ("train", "evaluate", "validate", "plot", "demo", "fidelity", "feeder", "scenario"):
        assert neomflex(command, "--help") == 0
        assert "usage: neomflex" in capsys.readouterr().out
