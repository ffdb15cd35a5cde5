"""Feeders with a generator and a second external grid: made, played, recorded, and held against pandapower."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandapower as pp
import pandapower.networks
import pytest
from test_validation_closed_loop import Policies, networks

import neomflex_jax as nf
from neomflex_jax.agents.networks import NetworkPolicy
from neomflex_jax.environment.make import evaluation_environment
from neomflex_jax.evaluation.rollout import record
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid.fingerprint import feeder_hash
from neomflex_jax.grid.to_csv import write_feeder
from validation import compare, replay, second_referee, tolerances_for
from validation.closed_loop.closed_loop import closed_loop
from validation.recompute.set_points import idle
from validation.referee.prepared import step_solver
from validation.verdict.criteria import PASS, judge, verdict_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = pandapower.networks.case33bw()
    pp.create_gen(net, 17, p_mw=0.4, vm_pu=0.99)
    pp.create_ext_grid(net, 24, vm_pu=0.995, va_degree=-0.1)
    feeder = nf.Feeder.from_pandapower(net)
    written = write_feeder(feeder, tmp_path_factory.mktemp("held") / "feeder")
    assert feeder_hash(nf.load_feeder(written)) == feeder_hash(feeder)
    return written


@pytest.fixture(scope="module")
def played(folder: Path) -> tuple[Trajectory, Policies]:
    env = evaluation_environment(nf.make("neom33", feeder=str(folder)))
    actors = networks(env)
    return record(env, NetworkPolicy(tuple(actors.values())), "networks", n_days=1), Policies(actors, {})


def test_a_run_passes_and_what_holds_voltages_is_recorded(played: tuple[Trajectory, Policies], tmp_path: Path) -> None:
    run, policy = played
    run.save(tmp_path / "run.npz")
    run = Trajectory.load(tmp_path / "run.npz")
    assert run.held_p_mw.shape == run.held_q_mvar.shape == (48, 2)
    np.testing.assert_allclose(run.held_p_mw[:, 0], 0.4)
    answers = replay(run, resume_folder=tmp_path / "days")
    assert answers.held_q_mvar is not None
    assert np.ptp(answers.held_q_mvar[:, 0]) > 0.05, "the generator has nothing to do"
    np.testing.assert_array_equal(replay(run, resume_folder=tmp_path / "days").held_q_mvar, answers.held_q_mvar)
    loop = closed_loop(run, policy)
    assert loop.spot_max_pu < 1e-9
    judged = judge(compare(run, answers)[0], tolerances_for("ac"), loop.cost_gap_share)
    assert verdict_of(judged) == PASS, [one for one in judged if not one.passed]
    assert second_referee(run, answers).agrees is None


@pytest.mark.parametrize("name", ["held_p_mw", "held_q_mvar"])
def test_a_source_recorded_wrongly_is_found(played: tuple[Trajectory, Policies], name: str) -> None:
    run, _ = played
    values = getattr(run, name).copy()
    values[5, 1] += 0.01
    forged = dataclasses.replace(run, **{name: values})
    failed = {one.name for one in judge(compare(forged, replay(forged))[0], tolerances_for("ac")) if not one.passed}
    assert failed == {"slack_p_max_mw" if name == "held_p_mw" else "slack_q_max_mvar"}


def test_prepared_steps_are_those_of_runpp(folder: Path) -> None:
    scenario = nf.load_scenario("neom33", feeder=str(folder))
    solver = step_solver(scenario, nf.load_feeder(folder))
    assert solver.prepared is not None
    points = idle(scenario, np.ones(1), np.ones(1))
    quick, plain = solver.solve(points), solver.by_runpp(points)
    assert plain["status"] == ["ok"]
    for name in ("vm_pu", "loss_mw", "slack_p_mw", "slack_q_mvar", "held_p_mw", "held_q_mvar"):
        np.testing.assert_allclose(quick[name], plain[name], atol=1e-8)
