"""A run and its evaluation that an earlier version wrote (`golden/README.md`) are read, or refused in a sentence."""

from pathlib import Path
from shutil import copytree

import numpy as np
from command_line import neomflex

from neomflex_jax import load_policies, make
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.training.options import read_options
from neomflex_jax.training.run_folder import RunFolder
from validation.recompute.record import checked_record

EARLIER = Path(__file__).parents[1] / "golden" / "earlier_version"
TRAJECTORY = EARLIER / "evaluation" / "trajectory_controlled.npz"


def test_policies_act_as_they_did():
    recorded, options = Trajectory.load(TRAJECTORY), read_options(RunFolder(EARLIER / "run"))
    assert options.scenario.hash() == RunFolder(EARLIER / "run").read_config()["scenario_sha256"]
    assert {each.rules.first_observation for each in (recorded.scenario, options.scenario)} == {"devices_at_zero"}
    env = make(recorded.scenario)
    policies = load_policies(EARLIER / "run")
    for observation, action in zip(recorded.observation, recorded.action, strict=True):
        acted = policies(env.split(observation))
        for agent, padded, mask in zip(env.agents, action, env.action_mask, strict=True):
            np.testing.assert_allclose(acted[agent], padded[mask], atol=1e-6)


def test_a_trajectory_can_be_validated():
    record = checked_record(Trajectory.load(TRAJECTORY))
    np.testing.assert_allclose(record.p_injection_mw, record.trajectory.p_injection_mw, atol=1e-6)


def test_its_tables_and_page_are_made_from_it(tmp_path, capsys):
    run, evaluation = (copytree(EARLIER / name, tmp_path / name) for name in ("run", "evaluation"))
    assert neomflex("report", run, "--evaluation", evaluation) == 0
    assert "not validated" in capsys.readouterr().out
    assert "controlled" in (run / "report.html").read_text(encoding="utf-8")
    assert neomflex("plot", "soc", evaluation / "step_metrics.csv", "--output", tmp_path / "soc.png") == 0


def test_a_training_cannot_go_on_and_says_what_can_be_done(tmp_path, capsys):
    run = copytree(EARLIER / "run", tmp_path / "run")
    before = sorted(path.name for path in run.rglob("*"))
    assert neomflex("train", "--resume", "--output", run, "--total-steps", "9000") == 2
    said = capsys.readouterr().out
    assert "checkpoints/528: made " in said and "train anew with --overwrite" in said
    assert sorted(path.name for path in run.rglob("*") if path.name != ".neomflex.lock") == before
