"""Published networks against pandapower's Newton-Raphson, at nominal and at random injections.

A few networks with a few draws by default; all of them with fifty each in the slow run. pandapower stops at a mismatch
of 1e-10 MVA, some 1e-10 pu in the weakest low-voltage nets.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
import pandapower as pp
import pytest
from pandapower_nets import NETWORKS, change_injections, convert

import neomflex_jax as nf
from neomflex_jax.grid.from_pandapower import fused_buses
from neomflex_jax.powerflow import bind

pytestmark = pytest.mark.usefixtures("float64")

VM_PU = 1e-8
VA_DEGREE = 1e-6
POWER_MVA = 1e-7
FLOAT32_VM_PU = 2e-6

QUICK = ("case33bw", "cigre_mv_pv_wind", "cigre_lv", "oberrhein_south", "voltage_control_rural_1")
REST = ("cigre_mv", "cigre_mv_all", "kerber_landnetz_freileitung_1", "kerber_dorfnetz", "kerber_vorstadtnetz_kabel_1")
REST += ("dickert", "dickert_middle", "oberrhein_north", "simbench_mv_rural", "simbench_lv_rural")
REST += tuple(f"voltage_control_{kind}" for kind in ("rural_2", "village_1", "village_2", "suburb_1"))
TREE_TOO = "cigre_mv_pv_wind"  # of the quick ones; compiling takes the time
QUICK_DRAWS, SLOW_DRAWS = 5, 50


class Cases(NamedTuple):
    """A feeder, injections, pandapower's answers to them; the nominal case first, buses in the feeder's order."""

    feeder: nf.Feeder
    p_mw: np.ndarray
    q_mvar: np.ndarray
    vm_pu: np.ndarray  # (n_case, n_bus)
    va_degree: np.ndarray  # relative to the slack
    slack_mva: np.ndarray  # (n_case,) complex
    loss_mw: np.ndarray  # of branches and shunts together: what hangs open at one end is a shunt here, a branch there


@lru_cache(maxsize=len(QUICK))
def solve_by_pandapower(name: str, n_draws: int) -> Cases:
    net = NETWORKS[name]()
    feeder, as_bus = convert(net), fused_buses(net)
    one_of = {label: bus for bus, label in as_bus.items()}
    buses = [one_of[label] for label in feeder.bus_labels]
    answers: list[Any] = []
    for draw in range(n_draws + 1):
        changed = net if draw == 0 else change_injections(net, 0.0, 2.0, seed=draw)
        pp.runpp(changed, tolerance_mva=1e-10, calculate_voltage_angles=True, init="dc", max_iteration=30)
        own = convert(changed)
        assert own.topology == feeder.topology
        grid = changed.ext_grid[changed.ext_grid["in_service"]]
        slack = changed.res_ext_grid.loc[grid.index[0]]
        answers.append(
            (
                -own.load_p_mw,
                -own.load_q_mvar,
                changed.res_bus["vm_pu"][buses],
                changed.res_bus["va_degree"][buses] - grid["va_degree"].item(),
                complex(slack["p_mw"], slack["q_mvar"]),
                sum(changed[f"res_{table}"].filter(["pl_mw"]).sum().sum() for table in ("line", "trafo", "trafo3w"))
                + changed.res_shunt["p_mw"].sum(),
            )
        )
    return Cases(feeder, *(np.array(column) for column in zip(*answers, strict=True)))


def assert_same_as_pandapower(cases: Cases, flow: nf.PowerFlowResult) -> None:
    assert bool(flow.converged.all())
    np.testing.assert_allclose(flow.vm_pu, cases.vm_pu, rtol=0, atol=VM_PU)
    turned = np.asarray(flow.va_degree) - cases.va_degree
    np.testing.assert_allclose((turned + 180) % 360 - 180, 0, atol=VA_DEGREE)
    np.testing.assert_allclose(flow.slack_p_mw, cases.slack_mva.real, rtol=0, atol=POWER_MVA)
    np.testing.assert_allclose(flow.slack_q_mvar, cases.slack_mva.imag, rtol=0, atol=POWER_MVA)
    shunts = cases.feeder.shunts
    by_shunts = 0.0 if shunts is None else np.asarray(flow.vm_pu) ** 2 @ shunts.p_mw
    np.testing.assert_allclose(flow.loss_mw + by_shunts, cases.loss_mw, rtol=0, atol=POWER_MVA)
    assert float(flow.residual_mva.max()) < POWER_MVA


SLOW = [pytest.param(name, SLOW_DRAWS, marks=pytest.mark.slow, id=f"{name}-all") for name in QUICK + REST]


@pytest.mark.parametrize(("name", "n_draws"), [pytest.param(name, QUICK_DRAWS, id=name) for name in QUICK] + SLOW)
def test_ac_has_the_voltages_of_pandapower(name: str, n_draws: int) -> None:
    cases = solve_by_pandapower(name, n_draws)
    both = cases.feeder.topology.is_radial and (n_draws == SLOW_DRAWS or name == TREE_TOO)
    for network in ("dense", "tree", "sweep") if both else ("dense",):
        solver = bind(cases.feeder, "ac", network=network)
        assert_same_as_pandapower(cases, nf.power_flow(cases.feeder, cases.p_mw, cases.q_mvar, method=solver))


@pytest.mark.parametrize("name", ["cigre_mv_pv_wind", "voltage_control_rural_1"])
def test_newton_has_the_voltages_of_pandapower(name: str) -> None:
    cases = solve_by_pandapower(name, QUICK_DRAWS)
    assert_same_as_pandapower(cases, nf.power_flow(cases.feeder, cases.p_mw, cases.q_mvar, method="newton"))


@pytest.mark.parametrize(("name", "method"), [("cigre_mv_pv_wind", "ac"), ("voltage_control_rural_1", "newton")])
def test_single_precision_is_near_to_double(name: str, method: str) -> None:
    cases = solve_by_pandapower(name, QUICK_DRAWS)
    with jax.enable_x64(False):
        flow = nf.power_flow(cases.feeder, cases.p_mw, cases.q_mvar, method=method)
        assert flow.vm_pu.dtype == np.float32
        assert bool(flow.converged.all())
    np.testing.assert_allclose(np.asarray(flow.vm_pu, np.float64), cases.vm_pu, rtol=0, atol=FLOAT32_VM_PU)


def test_some_of_the_networks_have_what_makes_one_hard() -> None:
    """So that a quick run that lost its variety would show."""
    feeders = [solve_by_pandapower(name, QUICK_DRAWS).feeder for name in QUICK]
    assert any(feeder.charging is not None for feeder in feeders)
    assert any(feeder.transformers is not None and feeder.transformers.shift_degree.any() for feeder in feeders)
    assert any(feeder.transformers is not None and (feeder.transformers.ratio != 1).any() for feeder in feeders)
    assert any(np.unique(feeder.vn_kv).size > 1 for feeder in feeders)
    assert any(feeder.load_p_mw.min() < 0 for feeder in feeders)
