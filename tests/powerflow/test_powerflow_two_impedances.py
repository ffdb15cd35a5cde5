"""Branches whose impedance is another one from their to end: pandapower's answers, by hand, values and derivatives."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandapower as pp
import pytest
from pandapower_nets import add, several, small_net

import neomflex_jax as nf
from neomflex_jax.errors import InputError
from neomflex_jax.grid.build import build_feeder
from neomflex_jax.grid.fingerprint import feeder_hash
from neomflex_jax.grid.to_csv import write_feeder


def two_buses(**values: Any) -> nf.Feeder:
    columns = {"bus_labels": [1, 2], "vn_kv": [20, 20], "load_p_mw": [0, 3], "load_q_mvar": [0, 0.5]}
    columns |= {"name": "two", "branches": [(1, 2)], "r_ohm": [0.5], "x_ohm": [1.0], "max_i_ka": [0.1]}
    return build_feeder(**(columns | {"back_r_ohm": [0.8], "back_x_ohm": [1.9]} | values))


def everything() -> Any:
    """Impedances at the slack, in loops, beside a phase shifter, between two levels; a generator, ZIP loads."""
    net = small_net()
    several(
        add("impedance", 30, 7, 0.3, 0.9, 1.0, rtf_pu=0.5, xtf_pu=1.1, gf_pu=0.01, gt_pu=0.0, bt_pu=0.02),
        add("impedance", 25, 2, 0.02, 0.05, 0.2, rtf_pu=0.03, xtf_pu=0.04),
        add("impedance", 2, 25, 0.02, -0.05, 0.2, rtf_pu=-0.01, xtf_pu=0.07),
        add("impedance", 7, 2, 0.0, 0.0, 0.2, rtf_pu=0.03, xtf_pu=0.04, in_service=False),
        add("gen", 25, p_mw=0.02, vm_pu=1.01, min_q_mvar=-0.01, max_q_mvar=0.01),
    )(net)
    of_bus = net.load["bus"] == 7
    net.load.loc[of_bus, ["const_z_p_percent", "const_i_p_percent", "const_z_q_percent"]] = 30.0, 20.0, 50.0
    return net


@pytest.mark.slow  # every program here is compiled for its own feeder; by hand below is the daily one
@pytest.mark.parametrize("method", ["ac", "newton"])
def test_pandapower_has_the_same_answer(method: str) -> None:
    net = everything()
    feeder = nf.Feeder.from_pandapower(net)
    pp.runpp(net, tolerance_mva=1e-10, max_iteration=30, init="dc", calculate_voltage_angles=True, enforce_q_lims=True)
    assert abs(net.res_gen["q_mvar"].item()) == 0.01, "the generator is at a limit"
    with jax.enable_x64(True):
        solver = nf.bind(feeder, method, enforce_q_lims=True)
        flow = jax.tree.map(np.asarray, jax.jit(solver)(-feeder.load_p_mw, -feeder.load_q_mvar))
    there = net.res_bus.loc[list(feeder.bus_labels)]
    assert flow.converged and flow.residual_mva < 1e-9
    np.testing.assert_allclose(flow.vm_pu, there["vm_pu"], atol=1e-9)
    np.testing.assert_allclose((flow.va_degree - there["va_degree"] + 180) % 360 - 180, 0, atol=1e-7)
    slack = net.res_ext_grid.sum()
    np.testing.assert_allclose([flow.slack_p_mw, flow.slack_q_mvar], slack[["p_mw", "q_mvar"]], atol=1e-8)
    currents_ka = net.res_impedance[["i_from_ka", "i_to_ka"]].iloc[1:3].max(axis=1)  # charging apart
    np.testing.assert_allclose(flow.branch_i_ka[list(feeder.back.branch)[1:3]], currents_ka, atol=1e-9)
    iron_mw = 0.01 * net.res_bus["vm_pu"][30] ** 2  # of the first one's conductance, a shunt here
    theirs_mw = sum(net[f"res_{table}"]["pl_mw"].sum() for table in ("line", "trafo", "impedance"))
    assert flow.loss_mw == pytest.approx(theirs_mw - iron_mw, abs=1e-8)


@pytest.mark.parametrize("method", ["ac", pytest.param("newton", marks=pytest.mark.slow)])  # the same equations
def test_on_one_line_by_hand(method: str) -> None:
    """The to end's voltage follows from its impedance alone; the from end draws by its own."""
    feeder = two_buses()
    u, back = 1.0 + 0j, (0.8 + 1.9j) / 20**2
    for _ in range(200):
        u = 1.0 - back * np.conj((3.0 + 0.5j) / u)
    slack_mva, arriving = np.conj((1.0 - u) / ((0.5 + 1.0j) / 20**2)), (1.0 - u) / back
    with jax.enable_x64(True):
        flow = nf.power_flow(feeder, -feeder.load_p_mw, -feeder.load_q_mvar, method)
        flow = jax.tree.map(np.asarray, flow)
    np.testing.assert_allclose(flow.vm_pu[1], abs(u), atol=1e-12)
    np.testing.assert_allclose([flow.slack_p_mw, flow.slack_q_mvar], [slack_mva.real, slack_mva.imag], atol=1e-10)
    np.testing.assert_allclose(flow.loss_mw, slack_mva.real - 3.0, atol=1e-10)
    larger_ka = max(abs(slack_mva), abs(arriving)) / (np.sqrt(3) * 20)
    np.testing.assert_allclose([flow.branch_i_ka[0], flow.branch_loading_percent[0]], [larger_ka, larger_ka * 1e3])


@pytest.mark.slow
def test_derivatives_are_differences_by_the_back_impedance_too() -> None:
    feeder = two_buses()
    with jax.enable_x64(True):

        @jax.jit
        @jax.value_and_grad
        def losses(x: jax.Array) -> jax.Array:
            back = dataclasses.replace(feeder.back, x_ohm=x[1:])
            changed = dataclasses.replace(feeder, back=back)
            return nf.power_flow(changed, jnp.stack([0.0, -x[0]]), jnp.zeros(2)).loss_mw

        x, step = jnp.array([3.0, 1.9]), 1e-5
        gradient = losses(x)[1]
        for row, one in enumerate(np.eye(2)):
            difference = (losses(x + step * one)[0] - losses(x - step * one)[0]) / (2 * step)
            np.testing.assert_allclose(gradient[row], difference, rtol=1e-6)


@pytest.mark.parametrize("method", ["dc", "lindistflow", "calibrated"])
def test_a_method_of_one_impedance_refuses(method: str) -> None:
    with pytest.raises(InputError, match=f"'{method}' knows one impedance a branch; take 'ac' or 'newton'"):
        nf.bind(two_buses(), method)


def test_an_open_branch_of_two_impedances_asks_nothing_of_a_method() -> None:
    feeder = two_buses(
        **{name: [value, value] for name, value in (("r_ohm", 0.5), ("x_ohm", 1.0), ("max_i_ka", 0.1))},
        branches=[(1, 2), (1, 2)],
        in_service=[True, False],
        back_r_ohm=[np.nan, 0.8],
        back_x_ohm=[np.nan, 1.9],
    )
    assert feeder.back is not None and nf.bind(feeder, "lindistflow", network="tree").grid.held is None


def test_neither_a_tree_nor_a_ratio_of_its_own() -> None:
    with pytest.raises(InputError, match="has branches of two impedances, which 'tree' cannot hold"):
        nf.bind(two_buses(), network="tree")
    with pytest.raises(InputError, match="the branch has another impedance from its to end, and so no ratio"):
        nf.bind(two_buses(), taps=[(1, 2)])


def test_a_folder_of_files_gives_the_same_feeder(tmp_path: Path) -> None:
    more = {"bus_labels": [1, 2, 3], "vn_kv": [20] * 3, "load_p_mw": [0, 1, 0], "load_q_mvar": [0, 0.2, 0]}
    back = {"back_r_ohm": [np.nan, -0.2], "back_x_ohm": [np.nan, 1.5], "max_i_ka": None}
    feeder = two_buses(branches=[(1, 2), (2, 3)], r_ohm=[0.5, 0.5], x_ohm=[1.0, 1.0], **more, **back)
    folder = write_feeder(feeder, tmp_path / "feeder")
    again = nf.load_feeder(folder)
    assert again.back.branch == (1,) and feeder_hash(again) == feeder_hash(feeder)
    moved = dataclasses.replace(feeder, back=dataclasses.replace(feeder.back, branch=(0,)))
    assert len({feeder_hash(one) for one in (feeder, moved, dataclasses.replace(feeder, back=None))}) == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"back_r_ohm": [0.0], "back_x_ohm": [0.0]}, "branch 1-2 has back_x_ohm = 0; r and x may not both be 0"),
        ({"back_r_ohm": [np.nan]}, "branch 1-2 has back_r_ohm = nan; it must be finite, or both empty"),
        ({"back_x_ohm": [np.inf]}, "branch 1-2 has back_x_ohm = inf; it must be finite"),
        ({"b_us": [3.0]}, "branch 1-2 has b_us = 3; a branch that has back_r_ohm has no charging"),
        ({"ratio": [1.05]}, "branch 1-2 has ratio = 1.05; a branch that has back_r_ohm has no charging, a ratio of 1"),
        ({"ratio": [1.0], "shift_degree": [30.0]}, "branch 1-2 has shift_degree = 30; a branch that has back_r_ohm"),
    ],
)
def test_what_no_such_branch_has_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        two_buses(**values)
