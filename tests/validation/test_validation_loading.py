"""Loadings before the referee: CIGRE's medium-voltage grid with its transformers, lines and ratings."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandapower.networks
import pandas as pd
import pytest
from pandapower_nets import three_winding_net

import neomflex_jax as nf
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.evaluation import Trajectory, record
from neomflex_jax.evaluation.tables import write_tables
from neomflex_jax.grid.to_csv import write_feeder
from neomflex_jax.plots import draw_figure
from validation import Replay, compare, replay, tolerances_for, validate
from validation.recompute.record import record_of
from validation.referee.pandapower_net import build_net
from validation.referee.prepared import step_solver
from validation.report.stored_report import read_report
from validation.verdict.criteria import judge
from validation.verdict.headline import headline

SCENARIO = """name = "cigre"
feeder = "{feeder}"
profiles = "{profiles}"
evaluation_profiles = "{profiles}"
[[territories]]
agent = "west"
buses = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
[[territories]]
agent = "east"
buses = [12, 13, 14]
[[batteries]]
bus = 5
capacity_mwh = 8.0
power_mw = 3.0
[[pv_inverters]]
bus = 14
p_max_mw = 2.0
s_mva = 2.2
[loading]
loading_soft_percent = 60.0
loading_hard_percent = 80.0
loading_observed = true
[loading.branch_limits]
"1-2" = 50.0
"""
ACTION = np.float32(0.6)


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory, three_days: Path) -> Path:
    folder = tmp_path_factory.mktemp("cigre")
    net = pandapower.networks.create_cigre_network_mv()
    net.line["df"], net.trafo["df"], net.line["parallel"] = 0.8, 0.9, 2
    write_feeder(nf.Feeder.from_pandapower(net), folder / "feeder")
    path = folder / "cigre.toml"
    path.write_text(SCENARIO.format(feeder=folder / "feeder", profiles=three_days), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(scenario: Path) -> Trajectory:
    env = evaluation_environment(nf.make(scenario))
    shape = (env.n_agents, env.action_size)
    return record(env, jax.tree_util.Partial(lambda observation: jnp.full(shape, ACTION)), "controlled", 1)


@pytest.fixture(scope="module")
def replayed(run: Trajectory) -> Replay:
    return replay(run)


def failed(run: Trajectory, replayed: Replay, *, is_policy: bool = False) -> set[str]:
    metrics, _ = compare(run, replayed)
    return {one.name for one in judge(metrics, tolerances_for("ac"), is_policy=is_policy) if not one.passed}


def test_recorded_loadings_are_pandapowers(run: Trajectory, replayed: Replay) -> None:
    metrics, _ = compare(run, replayed)
    assert metrics.loading is not None and metrics.loading.n_branches == len(run.branches) == 14
    assert metrics.loading.error.max_abs < 1e-3 and metrics.loading.max_percent > 80
    assert metrics.loading.hard.true > 0
    assert failed(run, replayed) == set()


def test_what_the_referee_calls_loading_is_pandapowers_own_column(run: Trajectory) -> None:
    one = record_of(run)
    built = build_net(run.scenario, one.feeder)
    built.write(one.set_points.rows(slice(30, 31)))
    pandapower.runpp(built.net, tolerance_mva=1e-9)
    assert one.limited is not None
    found = one.limited.percent_of(built.read().branch_i_ka)[0]
    lines, trafos = built.net.res_line["loading_percent"], built.net.res_trafo["loading_percent"]
    rows = zip(built.line_rows[one.limited.rows], built.trafo_rows[one.limited.rows], strict=True)
    theirs = [lines.iloc[line] if line >= 0 else trafos.iloc[trafo] for line, trafo in rows]
    np.testing.assert_allclose(found, theirs, rtol=1e-9)
    np.testing.assert_allclose(found, run.branch_loading_percent[30], atol=1e-3)


def test_a_policy_that_overloads_fails_and_acts_on_pandapowers_loadings(run: Trajectory, tmp_path: Path) -> None:
    sizes = {"west": 1, "east": 1}
    policy = {"controlled": lambda seen: {agent: np.full(n, ACTION) for agent, n in sizes.items()}}
    report = validate([run], tmp_path / "report", policies=policy)
    judged = report.runs[0]
    assert judged.failed_criteria == ("loading_violations",)
    assert judged.closed_loop is not None and judged.closed_loop["cost_gap_share"] < 1e-5
    assert sum(day["loading_violations"] for day in judged.closed_loop["days"]) == judged.loading_violations
    assert judged.record_verdict == "PASS" and report.verdict == "FAIL"
    assert f"no hard violations of voltage and {judged.loading_violations} hard violations of loading" in str(
        headline(report)[1].text
    )
    stored = read_report(tmp_path / "report")
    assert stored.runs[0].loading_violations == judged.loading_violations and not stored.runs[0].holds
    page = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert (
        "branch-steps above" in page
        and "branch-steps above hard limits, both" in page
        and "Loading of the 14 limited branches" in page
    )
    steps = pd.read_csv(tmp_path / "report" / "pandapower_steps.csv")
    assert steps["branches_above_hard_limits"].sum() == judged.loading_violations


@pytest.mark.parametrize(
    ("factor", "named"),
    [(0.9, {"loading_error_max_percent", "missed_loading_violations", "cost_max", "observation_max"})],
)
def test_a_fault_in_recorded_loadings_is_found(
    run: Trajectory, replayed: Replay, factor: float, named: set[str]
) -> None:
    spoilt = dataclasses.replace(run, branch_loading_percent=run.branch_loading_percent * np.float32(factor))
    assert failed(spoilt, replayed) >= named


def test_loadings_that_are_not_recorded_are_refused(run: Trajectory) -> None:
    with pytest.raises(nf.InputError, match="has loadings of 0 branches, and its scenario limits 14 of feeder"):
        replay(dataclasses.replace(run, branches=(), branch_loading_percent=None))


def test_loadings_are_saved_tabled_and_drawn(run: Trajectory, tmp_path: Path) -> None:
    run.save(tmp_path / "run.npz")
    read = Trajectory.load(tmp_path / "run.npz")
    assert read.branches == run.branches
    np.testing.assert_array_equal(read.branch_loading_percent, run.branch_loading_percent)
    paths = write_tables([run], tmp_path, run)
    steps, days, runs = map(pd.read_csv, paths)
    loadings = np.asarray(run.branch_loading_percent, float)
    np.testing.assert_allclose(steps["loading_max_percent"], loadings.max(axis=1), rtol=1e-6)
    limits = np.where(np.array(run.branches) == "1-2", 50.0, 80.0)
    above = (loadings > limits).sum()
    assert above > 0
    for table in (days, runs):
        assert table["loading_violations"].sum() == table["no_control_loading_violations"].sum() == above
        assert table["max_loading_percent"].iloc[0] == pytest.approx(loadings.max())
    figure = draw_figure("loading", paths[0])
    labels = figure.legends[0].get_texts()
    assert [text.get_text() for text in labels][-3:] == ["soft limit 60 %", "hard limit 80 %", "no sun"]


def test_the_figure_says_that_nothing_is_limited(run: Trajectory) -> None:
    with pytest.raises(nf.InputError, match=r"no column loading_branch_<from>-<to>_percent: the scenario limits no"):
        draw_figure("loading", pd.DataFrame({"run": ["controlled"], "day": [0], "step": [0], "step_hours": [0.5]}))


WINDINGS = """name = "windings"
feeder = "{feeder}"
profiles = "{profiles}"
evaluation_profiles = "{profiles}"
territories = [{{ agent = "west", buses = [0, 1] }}, {{ agent = "east", buses = [2, 3] }}]
batteries = [{{ bus = 3, capacity_mwh = 20.0, power_mw = 5.0 }}]
pv_inverters = [{{ bus = 1, p_max_mw = 15.0, s_mva = 16.0 }}]
[loading]
loading_soft_percent = 50.0
loading_hard_percent = 90.0
loading_observed = true
"""


@pytest.fixture(scope="module")
def windings(tmp_path_factory: pytest.TempPathFactory, three_days: Path) -> Trajectory:
    """A day behind a three-winding transformer, its loadings limited."""
    folder = tmp_path_factory.mktemp("windings")
    net = three_winding_net()
    net.line["max_i_ka"] = np.nan
    write_feeder(nf.Feeder.from_pandapower(net), folder / "feeder")
    (folder / "s.toml").write_text(WINDINGS.format(feeder=folder / "feeder", profiles=three_days), encoding="utf-8")
    env = evaluation_environment(nf.make(folder / "s.toml"))
    shape = (env.n_agents, env.action_size)
    return record(env, jax.tree_util.Partial(lambda observation: jnp.full(shape, ACTION)), "controlled", 1)


def test_loadings_of_windings_are_those_of_the_users_own_net(windings: Trajectory) -> None:
    assert windings.branches == ("0-1", "1-2", "2-0")
    net = three_winding_net()
    net.load.drop(net.load.index, inplace=True)
    loads = [pandapower.create_load(net, bus, 0.0) for bus in range(4)]
    for step in (0, 24, 40):
        net.load.loc[loads, "p_mw"] = -windings.p_injection_mw[step].astype(float)
        net.load.loc[loads, "q_mvar"] = -windings.q_injection_mvar[step].astype(float)
        pandapower.runpp(net, tolerance_mva=1e-9, init="dc")
        theirs = net.res_trafo3w["loading_percent"].item()
        assert windings.branch_loading_percent[step].max() == pytest.approx(theirs, abs=1e-3)


def test_the_referee_judges_windings_in_open_and_closed_loop(windings: Trajectory, tmp_path: Path) -> None:
    policy = {"controlled": lambda seen: {agent: np.full(1, ACTION) for agent in ("west", "east")}}
    judged = validate([windings], tmp_path / "report", policies=policy).runs[0]
    assert judged.metrics.loading is not None and judged.metrics.loading.error.max_abs < 1e-3
    assert judged.metrics.loading.n_branches == 3 and judged.metrics.loading.max_percent > 50
    assert judged.record_verdict == "PASS"
    assert judged.closed_loop is not None and judged.closed_loop["cost_gap_share"] < 1e-5
    spoilt = dataclasses.replace(windings, branch_loading_percent=windings.branch_loading_percent * np.float32(0.9))
    assert "loading_error_max_percent" in failed(spoilt, replay(windings))


def test_prepared_matrices_have_the_currents_of_windings(windings: Trajectory) -> None:
    one = record_of(windings)
    solver = step_solver(windings.scenario, one.feeder)
    assert solver.prepared is not None
    step = one.set_points.rows(slice(24, 25))
    np.testing.assert_allclose(solver.solve(step)["branch_i_ka"], solver.by_runpp(step)["branch_i_ka"], atol=1e-9)
