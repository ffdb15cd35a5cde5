"""Feeders with impedances that differ by direction, between levels too: played, recorded, held against pandapower."""

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
from neomflex_jax.grid.fingerprint import feeder_hash
from neomflex_jax.grid.parts import BackImpedances
from neomflex_jax.grid.to_csv import write_feeder
from validation import compare, replay, second_referee, tolerances_for
from validation.closed_loop.closed_loop import closed_loop
from validation.recompute.set_points import idle
from validation.referee.feeder_check import check_feeder
from validation.referee.feeder_net import net_from_feeder
from validation.referee.net_agreement import check_agreement
from validation.referee.prepared import step_solver
from validation.verdict.criteria import PASS, judge, verdict_of


def unlike_net() -> pp.pandapowerNet:
    net = pandapower.networks.case33bw()
    net.bus.loc[17, "vn_kv"] = 0.4
    net.line.drop(net.line.index[(net.line.from_bus == 16) & (net.line.to_bus == 17)], inplace=True)
    net.line.drop(net.line.index[(net.line.from_bus == 17) | (net.line.to_bus == 17)], inplace=True)  # an open tie
    pp.create_impedance(net, 16, 17, 0.02, 0.05, 1.0, rtf_pu=0.021, xtf_pu=0.06)
    pp.create_impedance(net, 5, 12, 0.02, 0.05, 1.0, rtf_pu=0.03, xtf_pu=0.08)
    pp.create_impedance(net, 20, 28, 0.02, 0.05, 1.0, rtf_pu=0.02, xtf_pu=0.06, in_service=False)
    return net


@pytest.fixture(scope="module")
def feeder() -> nf.Feeder:
    return nf.Feeder.from_pandapower(unlike_net())


@pytest.mark.slow  # a power flow compiled for it
def test_the_referees_own_net_and_the_users_agree(feeder: nf.Feeder, tmp_path: Path) -> None:
    net = unlike_net()
    pp.to_json(net, tmp_path / "net.json")
    for path in (None, tmp_path / "net.json"):
        check = check_feeder(feeder, path, n_samples=2)
        assert check.agrees(1e-8) and check.compared.all()
        assert check.largest("loss_mw") < 1e-9


def test_another_back_impedance_in_the_net_is_found(feeder: nf.Feeder) -> None:
    net = net_from_feeder(feeder)
    check_agreement(net, feeder)
    net.impedance["xtf_pu"] *= 1.001
    with pytest.raises(nf.InputError, match="back_x_ohm of impedance 16-17 is"):
        check_agreement(net, feeder)


@pytest.mark.slow  # a compiled environment
def test_a_run_passes(feeder: nf.Feeder, tmp_path: Path) -> None:
    rated = dataclasses.replace(feeder, max_i_ka=np.where(np.isnan(feeder.max_i_ka), 0.2, feeder.max_i_ka))
    folder = write_feeder(rated, tmp_path / "feeder")
    assert feeder_hash(nf.load_feeder(folder)) == feeder_hash(rated)
    env = evaluation_environment(nf.make("neom33", feeder=str(folder)))
    actors = networks(env)
    run = record(env, NetworkPolicy(tuple(actors.values())), "networks", n_days=1)
    answers = replay(run)
    loop = closed_loop(run, Policies(actors, {}))
    assert loop.spot_max_pu < 1e-9 and loop.parting is None
    judged = judge(compare(run, answers)[0], tolerances_for("ac"), loop.cost_gap_share)
    assert verdict_of(judged) == PASS, [one for one in judged if not one.passed]
    assert second_referee(run, answers).agrees is None
    forged = dataclasses.replace(run, loss_mw=run.loss_mw * 1.01)
    assert verdict_of(judge(compare(forged, answers)[0], tolerances_for("ac"), loop.cost_gap_share)) != PASS
    scenario = nf.load_scenario("neom33", feeder=str(folder))
    solver = step_solver(scenario, nf.load_feeder(folder))
    assert solver.prepared is not None
    points = idle(scenario, np.ones(1), np.ones(1))
    quick, plain = solver.solve(points), solver.by_runpp(points)
    assert plain["status"] == ["ok"]
    with_back = list(feeder.back.branch)
    assert (plain["branch_i_ka"][0, with_back[:2]] > 1e-3).all() and plain["branch_i_ka"][0, with_back[2]] == 0
    for name in ("vm_pu", "loss_mw", "slack_p_mw", "branch_i_ka"):
        np.testing.assert_allclose(quick[name], plain[name], atol=1e-8)
    own = nf.power_flow(feeder, -feeder.load_p_mw, -feeder.load_q_mvar)
    np.testing.assert_allclose(own.branch_i_ka, plain["branch_i_ka"][0], rtol=2e-4, atol=1e-6)  # in float32


def test_back_impedances_are_a_part_of_the_fingerprint(feeder: nf.Feeder) -> None:
    same_leaves = dataclasses.replace(
        feeder, back=BackImpedances(feeder.back.r_ohm, feeder.back.x_ohm, feeder.back.branch[::-1])
    )
    assert feeder_hash(same_leaves) != feeder_hash(feeder)
