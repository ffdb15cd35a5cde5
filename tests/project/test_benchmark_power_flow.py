"""The power-flow benchmark on tiny sizes: its feeders, its reference, the other solvers' agreement, its report."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import neomflex_jax as nf

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import power_flow as benchmark
import power_flow_report as report
from other_solvers import PACKAGE_OF, SOLVER_NAMES, other_solver
from sparse_reference import solve_reference
from synthetic_feeder import LOWEST_VM_PU, benchmark_feeder, synthetic_feeder


def test_reference_knows_the_published_case33bw():
    feeder = nf.load_feeder("case33bw")
    vm_pu = solve_reference(feeder, -feeder.load_p_mw[None], -feeder.load_q_mvar[None])
    assert vm_pu.min() == pytest.approx(0.91309, abs=1e-5)
    assert vm_pu[0, feeder.topology.slack] == 1.0


def test_reference_says_when_a_case_has_no_solution():
    feeder = nf.load_feeder("case33bw")
    p_mw = np.stack([-feeder.load_p_mw, -20.0 * feeder.load_p_mw])
    vm_pu = solve_reference(feeder, p_mw, 0.0 * p_mw, must_converge=False)
    assert np.isfinite(vm_pu[0]).all() and np.isnan(vm_pu[1]).all()
    with pytest.raises(RuntimeError, match="case33bw"):
        solve_reference(feeder, p_mw, 0.0 * p_mw)


@pytest.mark.parametrize("n_bus", [3, 50, 400])
def test_synthetic_feeders_have_the_wanted_lowest_voltage(n_bus):
    feeder = synthetic_feeder(n_bus)
    vm_pu = solve_reference(feeder, -feeder.load_p_mw[None], -feeder.load_q_mvar[None])
    assert feeder.n_bus == n_bus
    assert vm_pu.min() == pytest.approx(LOWEST_VM_PU, abs=1e-4)


def test_a_synthetic_feeder_depends_on_the_seed_alone():
    first, again, other = synthetic_feeder(40), synthetic_feeder(40), synthetic_feeder(40, seed=1)
    assert first.topology == again.topology
    np.testing.assert_array_equal(first.r_ohm, again.r_ohm)
    assert first.topology != other.topology


@pytest.mark.parametrize("name", SOLVER_NAMES)
@pytest.mark.parametrize("n_bus", [33, 20])  # packaged, with open branches; synthetic, with unloaded buses
def test_other_solvers_agree_with_the_reference(name, n_bus):
    pytest.importorskip(PACKAGE_OF[name.partition("_")[0]])
    cases = benchmark.make_cases(benchmark_feeder(n_bus), n_cases=4)
    solver = other_solver(name, cases.feeder)
    benchmark.choose_tolerance(solver, cases)
    answer = solver.prepare(cases.p_injection_mw, cases.q_injection_mvar)()
    assert np.all(answer.converged)
    assert cases.error_pu(answer) <= benchmark.AGREES_PU


@pytest.mark.parametrize("name", [name for name in SOLVER_NAMES if name.partition("_")[0] in ("pgm", "lightsim2grid")])
def test_a_case_without_solution_is_flagged_and_harms_no_other(name):
    pytest.importorskip(PACKAGE_OF[name.partition("_")[0]])
    cases = benchmark.make_cases(benchmark_feeder(20), n_cases=4)
    cases.p_injection_mw[3] *= 100.0
    answer = other_solver(name, cases.feeder).prepare(cases.p_injection_mw, cases.q_injection_mvar)()
    assert np.asarray(answer.converged).tolist() == [True, True, True, False]
    np.testing.assert_allclose(np.asarray(answer.vm_pu)[:3], cases.vm_pu[:3], atol=benchmark.AGREES_PU)


def test_rows_and_files(tmp_path):
    options = benchmark.Options(methods=("ac", "lindistflow"), batch_sizes=(2, 8, 10**6), seconds_per_row=0.01)
    skipped: list[str] = []
    rows = benchmark.measure_feeder(33, options, 10.0, skipped)
    assert [(row.solver, row.batch, row.agrees) for row in rows] == [
        ("ac", 2, True),
        ("lindistflow", 2, None),
        ("ac", 8, True),
        ("lindistflow", 8, None),
    ]
    assert all(row.flows_per_second > 0 and row.converged_share == 1.0 for row in rows)
    assert skipped == ["batch 1000000 at 33 buses: more than 12,000,000 buses x cases"]
    report.write_report(tmp_path / "new", rows, skipped, 10.0, {"buses": (33,)})
    written = json.loads((tmp_path / "new" / "power_flow.json").read_text(encoding="utf-8"))
    assert len(written["rows"]) == 4 and written["ratios_to_power_grid_model"] == {}
    assert (tmp_path / "new" / "power_flow.png").stat().st_size > 1000


def test_ratios_are_to_the_best_agreeing_power_grid_model_row():
    def row(solver, rate, agrees):
        return report.Row(33, "f", solver, 8, 8, None, 0.0, 8, 1.0, agrees, None, 0.0, None, 1.0, 1.0, rate)

    rows = [row("pgm_a", 10.0, True), row("pgm_b", 20.0, True), row("ac", 50.0, True), row("ac", 90.0, False)]
    assert report.ratios_to_baseline(rows) == {33: {"pgm_a": 0.5, "pgm_b": 1.0, "ac": 2.5}}
