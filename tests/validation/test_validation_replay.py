"""The pandapower side: signs, labels, speed-up without change of results, failures that stay visible."""

import dataclasses
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandapower
import pandapower.networks
import pytest

import neomflex_jax as nf
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation import Trajectory, record
from validation import replay
from validation.errors.metrics import compare
from validation.recompute import set_points
from validation.recompute.set_points import SetPoints, implied_injections, set_points_of
from validation.referee.feeder_net import net_from_feeder
from validation.referee.net_agreement import rows_of_branches
from validation.referee.pandapower_net import PandapowerNet, build_net
from validation.referee.runpp import NON_FINITE, NOT_CONVERGED, RUNPP_OPTIONS, UNSUPPLIED, solve

KW = 1e-3


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class RandomPolicy:
    """Uniform actions, drawn from a key and the observation."""

    key: jax.Array
    action_size: int = field(metadata={"static": True})

    def __call__(self, observation: jax.Array) -> jax.Array:
        key = jax.random.fold_in(self.key, jnp.sum(observation * 1e4).astype(jnp.int32))
        return jax.random.uniform(key, (observation.shape[0], self.action_size), minval=-1.0, maxval=1.0)


def record_random(power_flow: str, n_days: int = 2) -> Trajectory:
    """Testing days of neom33 under random actions."""
    env = evaluation_environment(nf.make("neom33", power_flow=power_flow))
    policy = RandomPolicy(jax.random.key(0), env.action_size)
    return record(env, policy, "random", n_days=n_days, profiles_sha256="ab" * 32)


@pytest.fixture(scope="module")
def random_run() -> Trajectory:
    return record_random("ac")


def idle(scenario: nf.Scenario, **changes: list[float]) -> SetPoints:
    """One step at nominal load, devices idle but for `changes`."""
    points = set_points.idle(scenario, np.ones(1), np.ones(1))
    factors = {name: np.array(changes.pop(name), float) for name in ("demand", "load_q_factor") if name in changes}
    devices = {name: np.array([change], float) for name, change in changes.items()}
    return dataclasses.replace(points, **factors, devices={**points.devices, **devices})


@pytest.fixture(scope="module")
def scenario() -> nf.Scenario:
    return nf.load_scenario("neom33")


@pytest.fixture(scope="module")
def solved(scenario):
    built = build_net(scenario, nf.load_feeder("case33bw"))

    def run(set_points: SetPoints):
        built.write(set_points)
        pandapower.runpp(built.net, **RUNPP_OPTIONS)
        return built.read()

    return run


def test_nominal_load_gives_the_published_losses_and_lowest_voltage(scenario, solved) -> None:
    results = solved(idle(scenario))
    assert results.loss_mw[0] == pytest.approx(0.202677, abs=1e-6)
    assert results.vm_pu[0].min() == pytest.approx(0.913090, abs=1e-6)
    assert results.vm_pu[0].argmin() == 17


@pytest.mark.parametrize(
    ("name", "value", "axis", "sign"),
    [
        ("demand", [1.0 + KW / 3.715], "p", +1),
        ("load_q_factor", [1.0 + KW / 2.3], "q", +1),
        ("battery_p_mw", [KW, 0.0, 0.0], "p", -1),  # discharging lowers the import
        ("battery_p_mw", [-KW, 0.0, 0.0], "p", +1),  # charging raises it
        ("battery_p_mw", [0.0, 0.0, KW], "p", -1),
        ("pv_p_mw", [0.0, KW, 0.0], "p", -1),
        ("pv_q_mvar", [0.0, 0.0, KW], "q", -1),
    ],
)
def test_one_kw_of_each_device_moves_the_slack_by_about_one_kw(scenario, solved, name, value, axis, sign) -> None:
    quantity = {"p": "slack_p_mw", "q": "slack_q_mvar"}[axis]
    before, after = (
        getattr(solved(points), quantity)[0] for points in (idle(scenario), idle(scenario, **{name: value}))
    )
    assert (after - before) / KW == pytest.approx(sign, abs=0.35)  # losses change by up to a third of it


def test_storage_is_negated_and_sits_at_its_bus_label(scenario) -> None:
    built = build_net(scenario, nf.load_feeder("case33bw"))
    built.write(idle(scenario, battery_p_mw=[0.1, -0.2, 0.3]))
    assert list(built.net.storage["bus"]) == [23, 7, 14]
    np.testing.assert_array_equal(built.net.storage["p_mw"], [-0.1, 0.2, -0.3])
    assert list(built.net.sgen["bus"]) == [20, 16, 31]


def test_rows_stored_in_string_order_change_nothing(scenario, monkeypatch, random_run: Trajectory) -> None:
    straight = replay(random_run)
    ordered = pandapower.networks.case33bw

    def in_string_order():
        net = ordered()
        for element in ("bus", "load", "line"):
            net[element] = net[element].loc[sorted(net[element].index, key=str)]
        return net

    monkeypatch.setattr(pandapower.networks, "case33bw", in_string_order)
    assert list(in_string_order().bus.index[:3]) == [0, 1, 10]
    shuffled = replay(random_run)
    np.testing.assert_allclose(shuffled.vm_pu, straight.vm_pu, rtol=0, atol=1e-12)
    np.testing.assert_allclose(shuffled.loss_mw, straight.loss_mw, rtol=0, atol=1e-12)


def test_element_by_element_net_equals_pandapowers_own(scenario, random_run: Trajectory, tmp_path) -> None:
    feeder = nf.load_feeder("case33bw")
    own = build_net(dataclasses.replace(scenario, feeder="somewhere"), feeder)
    shipped = build_net(scenario, feeder)
    assert len(own.net.line) == 37 and int(own.net.line["in_service"].sum()) == 32
    for built in (own, shipped):
        built.write(set_points_of(random_run, nf.load_feeder("case33bw")).rows(slice(20, 21)))
        pandapower.runpp(built.net, **RUNPP_OPTIONS)
    np.testing.assert_allclose(own.read().vm_pu, shipped.read().vm_pu, rtol=0, atol=1e-10)


def test_steps_solved_together_equal_plain_cold_runpp(random_run: Trajectory, scenario) -> None:
    fast = replay(random_run)
    built = build_net(scenario, nf.load_feeder("case33bw"))
    points = set_points_of(random_run, nf.load_feeder("case33bw"))
    for row in range(0, random_run.n_steps, 3):
        built.write(points.rows(slice(row, row + 1)))
        pandapower.runpp(built.net, algorithm="nr", init="flat", tolerance_mva=1e-10)
        plain = built.read()
        np.testing.assert_allclose(fast.vm_pu[row], plain.vm_pu[0], rtol=0, atol=1e-9)
        for name in ("loss_mw", "slack_p_mw", "slack_q_mvar"):
            assert getattr(fast, name)[row] == pytest.approx(getattr(plain, name)[0], abs=1e-8)


def test_every_replayed_step_balances(random_run: Trajectory) -> None:
    result = replay(random_run)
    p_mw, q_mvar = implied_injections(random_run, nf.load_feeder("case33bw"))
    np.testing.assert_allclose(result.slack_p_mw + p_mw.sum(axis=1), result.loss_mw, rtol=0, atol=1e-8)
    assert np.abs(result.surplus_mw).max() < 1e-8
    assert q_mvar.shape == result.vm_pu.shape


def test_a_set_point_that_does_not_reach_the_net_is_missing_in_the_balance(random_run, monkeypatch) -> None:
    write = PandapowerNet.write

    def forgetful(built: PandapowerNet, set_points: SetPoints) -> None:
        write(built, set_points)
        built.net.storage["p_mw"] = built.net.storage["p_mw"].where(built.net.storage["bus"] != 7, 0.0)

    monkeypatch.setattr(PandapowerNet, "write", forgetful)
    result = replay(random_run)
    first_copy = np.arange(random_run.n_steps) % 48 == 0  # the others' buses have other numbers
    expected = np.where(first_copy, random_run.battery_p_mw[:, 1], 0.0)
    np.testing.assert_allclose(result.surplus_mw, expected, rtol=0, atol=1e-7)
    assert compare(random_run, result)[0].power_balance_max_mw > 1e-3


@pytest.mark.parametrize("name", ["neom33", "lv_kerber"])
def test_branch_currents_are_those_of_our_own_ac_power_flow(name: str, float64) -> None:
    env = evaluation_environment(nf.make(name, power_flow="ac"))
    run = record(env, NoControl(env.action_size), "idle", n_days=1)
    result = replay(run)
    feeder = nf.load_feeder(run.scenario.feeder)
    flow = nf.power_flow(feeder, *implied_injections(run, feeder), "ac")
    assert result.branch_i_ka.shape == (48, feeder.topology.n_branch)
    np.testing.assert_allclose(result.branch_i_ka, flow.branch_i_ka, rtol=1e-6, atol=1e-9)
    open_branches = ~np.array(feeder.topology.in_service)
    assert (result.branch_i_ka[:, open_branches] == 0).all() and (result.branch_i_ka > 0).any()


def test_parallel_branches_are_told_apart_by_impedance(tmp_path: Path, feeder_folder) -> None:
    branches = (
        "from_bus,to_bus,r_ohm,x_ohm,in_service\n10,20,0.5,0.4,1\n20,10,0.3,0.4,1\n20,30,0.6,0.3,1\n20,40,0.7,0.2,1\n"
    )
    feeder = nf.Feeder.from_csv(feeder_folder(branches=branches))
    net = net_from_feeder(feeder)
    net.line = net.line.loc[[2, 1, 3, 0]]
    lines, transformers = rows_of_branches(net, feeder)
    assert lines.tolist() == [3, 1, 0, 2] and transformers.tolist() == [-1] * 4


def test_options_stored_in_a_net_are_cleared(scenario, monkeypatch) -> None:
    original = pandapower.networks.case33bw

    def with_options():
        net = original()
        pandapower.set_user_pf_options(net, max_iteration=1)
        return net

    monkeypatch.setattr(pandapower.networks, "case33bw", with_options)
    assert not build_net(scenario, nf.load_feeder("case33bw")).net.user_pf_options


def test_a_step_that_does_not_converge_is_kept_and_touches_no_other(random_run: Trajectory) -> None:
    healthy = replay(random_run)
    broken = {name: getattr(random_run, name).copy() for name in ("demand", "load_q_factor")}
    for values in broken.values():
        values[60] = 6.0
    done = []
    result = replay(dataclasses.replace(random_run, **broken), on_step=lambda *at: done.append(at))
    assert result.status[60] == NOT_CONVERGED
    assert result.attempts[60] == 3
    assert np.isnan(result.vm_pu[60]).all() and np.isnan(result.loss_mw[60])
    assert np.isnan(result.branch_i_ka[60]).all() and np.isnan(result.surplus_mw[60])
    others = np.arange(random_run.n_steps) != 60
    assert not result.failed[others].any()
    np.testing.assert_allclose(result.vm_pu[others], healthy.vm_pu[others], rtol=0, atol=1e-9)
    assert done == [(48, 96), (96, 96)]


@pytest.mark.parametrize(("fault", "status"), [("open line", UNSUPPLIED), ("NaN result", NON_FINITE)])
def test_converged_but_not_finite_is_a_failure_with_its_own_status(scenario, monkeypatch, fault, status) -> None:
    built = build_net(scenario, nf.load_feeder("case33bw"))
    if fault == "open line":
        built.net.line.loc[16, "in_service"] = False
    else:
        original = pandapower.runpp

        def poisoned(net, **options):
            original(net, **options)
            net.res_bus.loc[5, "vm_pu"] = np.nan

        monkeypatch.setattr(pandapower, "runpp", poisoned)
    results, found = solve(built, idle(scenario), RUNPP_OPTIONS)
    assert found == status
    assert np.isnan(results.vm_pu).all() and np.isnan(results.slack_p_mw).all()


@pytest.mark.parametrize(
    ("element", "column", "row", "factor", "said"),
    [
        ("line", "r_ohm_per_km", 7, 1.02, "r_ohm of branch 7-8"),
        ("line", "x_ohm_per_km", 3, 1.02, "x_ohm of branch 3-4"),
        ("line", "in_service", 9, 0, "in_service of branch 9-10"),
        ("load", "p_mw", 4, 1.01, "load p_mw at bus 5"),
        ("load", "q_mvar", 4, 1.01, "load q_mvar at bus 5"),
        ("load", "scaling", 4, 1.01, "load.scaling"),
        ("ext_grid", "vm_pu", 0, 1.01, "slack voltage"),
    ],
)
def test_a_grid_that_is_not_the_feeders_is_refused(scenario, monkeypatch, element, column, row, factor, said) -> None:
    original = pandapower.networks.case33bw

    def altered():
        net = original()
        net[element][column] = net[element][column].astype(object)
        net[element].at[row, column] = type(net[element].at[row, column])(net[element].at[row, column] * factor)
        net[element] = net[element].infer_objects()
        return net

    monkeypatch.setattr(pandapower.networks, "case33bw", altered)
    with pytest.raises(InputError, match=said):
        build_net(scenario, nf.load_feeder("case33bw"))


def test_importing_validation_loads_no_pandapower() -> None:
    code = "import sys, validation; assert 'pandapower' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_option_of_the_devices_is_replayed_and_random_impedances_are_refused() -> None:
    options = {
        "batteries": [
            {"bus": 23, "capacity_mwh": 2.0, "power_mw": 0.5, "s_mva": 0.7, "charge_efficiency": 0.9},
            {"bus": 7, "capacity_mwh": 2.0, "power_mw": 0.5, "ramp_mw": 0.2},
        ],
        "pv_inverters": [
            {"bus": 20, "p_max_mw": 1.0, "s_mva": 1.1, "curtailable": True},
            {"bus": 16, "p_max_mw": 1.0, "s_mva": 1.1, "priority": "q"},
            {"bus": 31, "p_max_mw": 1.0, "s_mva": 1.0, "export_limit_mw": 0.2},
        ],
        "flexible_loads": [{"bus": 24, "curtail_share": 0.5, "shift_mw": 0.1, "buffer_mwh": 0.3}],
        "demand_spread": 0.2,
        "reactive_weight": 1.0,
        "curtailment_weight": 2.0,
    }
    env = evaluation_environment(nf.make("neom33", power_flow="ac", **options), disturbed=True)
    run = record(env, RandomPolicy(jax.random.key(0), env.action_size), "random", n_days=1)
    metrics, _ = compare(run, replay(run))
    assert metrics.vm_pu.max_abs < 1e-5 and metrics.energy_max_mwh < 1e-5 and metrics.cost_max < 5e-3
    assert metrics.device_limit_max < 1e-5 and metrics.energy_jump_max_mwh < 1e-6
    assert np.abs(run.battery_q_mvar).max() > 0.1 and np.ptp(run.load_p_mw[0] / env.feeder.load_p_mw.clip(1e-9)) > 0.1

    lost = dataclasses.replace(run, battery_soc=run.battery_soc - np.float32(1e-3))
    assert compare(lost, replay(run))[0].energy_max_mwh > 1e-3
    unserved = dataclasses.replace(run, battery_q_mvar=np.zeros_like(run.battery_q_mvar))
    assert compare(unserved, replay(unserved))[0].vm_pu.max_abs > 1e-4
    random_lines = nf.make("neom33", power_flow="ac", line_error=0.1)
    disturbed = evaluation_environment(random_lines, disturbed=True)
    odd = record(disturbed, RandomPolicy(jax.random.key(0), disturbed.action_size), "odd", n_days=1)
    with pytest.raises(nf.InputError, match=r"recorded with line_error = 0.1: its impedances are random"):
        replay(odd)
