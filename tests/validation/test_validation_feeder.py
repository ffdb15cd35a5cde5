"""The pandapower net that stands for a feeder: transformers, charging, shunts and loops, alone and side by side."""

import dataclasses

import numpy as np
import pandapower
import pytest

import neomflex_jax as nf
from neomflex_jax.grid.build import build_feeder
from validation.recompute.set_points import SetPoints
from validation.referee.feeder_check import check_feeder, random_injections
from validation.referee.feeder_net import net_from_feeder, runpp_needs
from validation.referee.net_agreement import check_agreement, rows_of_branches
from validation.referee.pandapower_net import PandapowerNet, side_by_side
from validation.referee.runpp import OK, RUNPP_OPTIONS, solve
from validation.referee.supply import supply_of


def feeder_with_everything(**changes) -> nf.Feeder:
    """Three levels and two loops: lines, transformers up and down, taps, shifts, losses in iron, shunts."""
    return build_feeder(
        **{
            "name": "everything",
            "bus_labels": [5, 9, 2, 7, 11],
            "vn_kv": [20, 20, 0.4, 0.4, 10],
            "load_p_mw": [0.1, 0.5, 0.05, 0.04, 0.7],
            "load_q_mvar": [0.1, 0.2, 0.01, 0.02, -0.3],
            "branches": [(5, 9), (9, 2), (2, 7), (7, 9), (9, 11), (11, 5), (9, 5)],
            "r_ohm": [0.4, 0.008, 0.01, 0.7, 0.1, 0.2, 1.0],
            "x_ohm": [0.3, 0.02, 0.01, 40, 9, 9, 0.5],
            "in_service": [True] * 6 + [False],
            "max_i_ka": [0.3, 0.6, np.nan, 0.5, np.nan, 0.2, np.nan],
            "g_us": [1, 30, 0, 0, 5, 7, 0],
            "b_us": [80, -50, 5, 0, -3, -7, 30],
            "ratio": [1, 1.02, 1, 1 / 1.01, 0.97, 1, 1],
            "shift_degree": [0, 150, 0, -150, 0, 0, 0],
            "rated_ratio": [1, 50, 1, 0.4 / 21, 2.05, 0.5, 1],
            "shunt_p_mw": [0, 0, 0.001, 0, 0],
            "shunt_q_mvar": [0.1, -0.2, 0, 0, 0],
            "slack_vm_pu": 1.02,
        }
        | changes
    )


@pytest.fixture(scope="module")
def feeder() -> nf.Feeder:
    return feeder_with_everything()


def test_ac_agrees_with_pandapower_on_everything_a_feeder_may_hold(feeder, float64) -> None:
    net = net_from_feeder(feeder)
    pandapower.runpp(net, **RUNPP_OPTIONS | runpp_needs(feeder))
    flow = nf.power_flow(feeder, -feeder.load_p_mw, -feeder.load_q_mvar)
    buses = net.res_bus.loc[list(feeder.bus_labels)]
    np.testing.assert_allclose(flow.vm_pu, buses["vm_pu"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(flow.va_degree, buses["va_degree"], rtol=0, atol=1e-7)
    assert float(flow.loss_mw) == pytest.approx(net.res_line["pl_mw"].sum() + net.res_trafo["pl_mw"].sum(), abs=1e-9)
    assert float(flow.slack_p_mw) == pytest.approx(net.res_ext_grid["p_mw"].sum(), abs=1e-9)
    assert float(flow.slack_q_mvar) == pytest.approx(net.res_ext_grid["q_mvar"].sum(), abs=1e-9)
    loading = np.asarray(flow.branch_loading_percent)
    assert loading[0] == pytest.approx(net.res_line["loading_percent"].iloc[0], rel=1e-8)
    np.testing.assert_allclose(loading[[1, 3, 5]], net.res_trafo["loading_percent"].iloc[[0, 1, 3]], rtol=1e-8)


def test_the_check_compares_all_cases(feeder) -> None:
    seen = []
    check = check_feeder(feeder, n_samples=6, seed=1, on_case=lambda *at: seen.append(at))
    assert check.compared.all() and len(check.compared) == 7
    assert check.agrees(1e-9) and check.worst_bus in feeder.bus_labels
    assert check.largest("loss_mw") < 1e-9
    assert seen[-1] == (7, 7)


def test_the_random_injections_are_the_seeds_own_and_reverse_the_flow() -> None:
    feeder = nf.load_feeder("case69")
    p_mw, q_mvar = random_injections(feeder, 20, seed=4)
    np.testing.assert_array_equal(p_mw[0], -feeder.load_p_mw)
    np.testing.assert_array_equal(p_mw, random_injections(feeder, 20, seed=4)[0])
    assert (p_mw != random_injections(feeder, 20, seed=5)[0]).any()
    assert (p_mw.sum(axis=1) > 0).any() and (p_mw.sum(axis=1) < 0).any()
    assert (q_mvar[1:] > 0).any()


def test_islands_side_by_side_answer_as_each_alone(feeder) -> None:
    net = net_from_feeder(feeder)
    labels = list(feeder.bus_labels)
    line_rows, trafo_rows = rows_of_branches(net, feeder)
    single = PandapowerNet(
        net=net,
        n_copies=1,
        line_rows=line_rows,
        trafo_rows=trafo_rows,
        bus_rows=net.bus.index.get_indexer(labels)[None],
        load_p_mw=net.load["p_mw"].to_numpy(float),
        load_q_mvar=net.load["q_mvar"].to_numpy(float),
        load_bus=np.array([feeder.bus_position(bus) for bus in net.load["bus"]]),
        supply=supply_of(net, feeder),
        feed_in={},
        sets=(),
        needs=runpp_needs(feeder),
    )
    demand = np.array([0.2, 0.7, 1.3])
    points = SetPoints(demand, demand[::-1], {})
    together, status = solve(side_by_side(single, 3), points, RUNPP_OPTIONS)
    assert status == OK
    for row in range(3):
        alone, status = solve(single, points.rows(slice(row, row + 1)), RUNPP_OPTIONS)
        assert status == OK
        for name, values in alone.arrays().items():
            np.testing.assert_allclose(getattr(together, name)[row], values[0], rtol=0, atol=1e-9, err_msg=name)
    assert together.loss_mw.min() > net.res_trafo["pl_mw"].sum() > 0


def test_a_branch_of_nearly_no_impedance_does_not_keep_pandapower_from_stopping() -> None:
    feeder = nf.load_feeder("case141")  # 10 microohm between buses 86 and 87
    net = net_from_feeder(feeder)
    with pytest.raises(pandapower.LoadflowNotConverged):
        pandapower.runpp(net, **RUNPP_OPTIONS)
    assert 1e-9 < runpp_needs(feeder)["tolerance_mva"] < 1e-7
    pandapower.runpp(net, **RUNPP_OPTIONS | runpp_needs(feeder))
    assert runpp_needs(nf.load_feeder("case33bw")) == {"tolerance_mva": 1e-10, "init": "flat"}


@pytest.mark.parametrize(
    ("table", "column", "row", "value", "said"),
    [
        ("line", "c_nf_per_km", 0, 1.0, "b_us of branch 5-9"),
        ("line", "g_us_per_km", 0, 3.0, "g_us of branch 5-9"),
        ("trafo", "vkr_percent", 0, 3.0, "r_ohm of transformer 2-9"),
        ("trafo", "vk_percent", 1, 9.0, "|z| in ohm of transformer 7-9"),
        ("trafo", "pfe_kw", 0, 1.0, "g_us of transformer 2-9"),
        ("trafo", "i0_percent", 0, 1.0, "|y| in us of transformer 2-9"),
        ("trafo", "tap_step_percent", 2, 0.0, "ratio of transformer 9-11"),
        ("trafo", "shift_degree", 0, 0.0, "shift_degree of transformer 2-9"),
        ("trafo", "in_service", 0, False, "in_service of transformer 2-9"),
        ("trafo", "parallel", 0, 2, "trafo.parallel"),
        ("trafo", "tap_side", 0, "lv", "trafo.tap_side"),
        ("shunt", "q_mvar", 0, 0.3, "shunt q_mvar at bus 5"),
        ("shunt", "step", 0, 2, "shunt.step"),
        ("bus", "vn_kv", 2, 0.41, "vn_kv of bus"),
    ],
)
def test_a_net_that_is_not_the_feeders_is_refused(feeder, table, column, row, value, said) -> None:
    net = net_from_feeder(feeder)
    check_agreement(net, feeder)
    net[table].loc[net[table].index[row], column] = value
    with pytest.raises(nf.InputError) as caught:
        check_agreement(net, feeder)
    assert said in str(caught.value)


def test_a_transformer_that_pandapower_cannot_express_is_named() -> None:
    with pytest.raises(nf.InputError, match=r"branch 9-2 is a transformer with b_us = 50"):
        net_from_feeder(feeder_with_everything(b_us=[80, 50, 5, 0, -3, -7, 30]))


def test_a_case_that_one_alone_solves_is_no_agreement(feeder) -> None:
    check = check_feeder(feeder, n_samples=2)
    vm_pu = check.own.vm_pu.copy()
    vm_pu[2] = np.nan
    doubtful = dataclasses.replace(check, own=dataclasses.replace(check.own, vm_pu=vm_pu))
    assert doubtful.unsolved.ours == 1 and not doubtful.agrees(1e-6)
