"""The whole referee on every kind of feeder: replay, closed loop and second opinion, packaged and a user's own."""

from pathlib import Path

import numpy as np
import pandapower
import pandapower.networks
import pytest
from command_line import neomflex
from test_validation_closed_loop import networks

import neomflex_jax as nf
from neomflex_jax.agents.networks import NetworkPolicy
from neomflex_jax.agents.policy_files import Policies
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.evaluation import record
from validation import closed_loop, compare, replay, second_referee, tolerances_for
from validation.report.stored_report import read_report
from validation.verdict.criteria import judge


def referee(source: str | Path) -> None:
    """One day under lively policies: every criterion holds, the loop closes on the same day, both referees agree."""
    env = evaluation_environment(nf.make(source, power_flow="ac"))
    actors = networks(env)
    run = record(env, NetworkPolicy(tuple(actors.values())), "networks", n_days=1)
    assert np.ptp(run.action, axis=0).max() > 0.1
    answers = replay(run)
    metrics, _ = compare(run, answers)
    assert [one for one in judge(metrics, tolerances_for("ac")) if not one.passed] == []
    assert np.isfinite(answers.branch_i_ka).all() and np.abs(answers.surplus_mw).max() < 1e-6
    loop = closed_loop(run, Policies(actors, {}))
    assert loop.parting is None and loop.cost_gap_share < 1e-3 and loop.spot_max_pu < 1e-9 and loop.failed_flows == 0
    np.testing.assert_allclose(loop.played.vm_pu, replay(loop.played).vm_pu, rtol=0, atol=1e-9)
    second = second_referee(run, answers)
    assert second.agrees in (True, None), second.sentence


def scenario_for(net: Path, n_agents: int) -> Path:
    """A scenario as a user makes one for a net of their own, with a transformer in it."""
    output = net.with_name("mine.toml")
    assert neomflex("scenario", "new", "--from", net, "--agents", n_agents, "--output", output) == 0
    assert nf.load_feeder(nf.load_scenario(output).feeder).transformers is not None
    return output


@pytest.mark.parametrize(
    "name", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("neom69", "neom141")), "lv_kerber"]
)
def test_packaged_scenarios(name: str) -> None:
    referee(name)


def test_a_users_own_net_with_a_transformer_and_a_closed_ring(tmp_path: Path) -> None:
    net = pandapower.networks.simple_mv_open_ring_net()
    net.switch["closed"] = True
    pandapower.to_json(net, tmp_path / "net.json")
    referee(scenario_for(tmp_path / "net.json", n_agents=2))


@pytest.mark.slow
def test_a_simbench_grid_with_a_transformer(tmp_path: Path) -> None:
    net = pytest.importorskip("simbench").get_simbench_net("1-LV-rural1--0-sw")
    pandapower.to_json(net, tmp_path / "net.json")
    referee(scenario_for(tmp_path / "net.json", n_agents=3))


def test_a_yardstick_alone_is_judged_without_policies(tmp_path: Path) -> None:
    profiles = tmp_path / "two_days.csv"
    profiles.write_text("Demand,Solar\n" + "0.5,0.2\n" * 96, encoding="utf-8")
    asked = ("validate", "--policy", "volt_var", "--profiles", profiles, "--output", tmp_path / "report")
    assert neomflex(*asked) == 0
    assert [run.run for run in read_report(tmp_path / "report").judged] == ["volt_var"]
