"""The iteration on loads' branches in machine code: answers, counts and derivatives of the array program's."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.powerflow.network.branch_arrays import CURRENT, CUT_OFF, LIMITED, MIXED, OUTSIDE, P_EXPONENT
from neomflex_jax.powerflow.sweeps.door import can_iterate
from neomflex_jax.powerflow.unbalanced import bind_unbalanced
from neomflex_jax.powerflow.unbalanced.branch_table import branch_table
from neomflex_jax.powerflow.unbalanced.sums import NO_SUMS

CIRCUITS = Path(__file__).parent / "circuits"
LANES = 8  # cases of a vector in float64: within one, both decide together when to stop
FIELDS = ("vm_pu", "va_degree", "loss_mw", "slack_q_mvar", "residual_mva")


def by_arrays(solver: nf.UnbalancedPowerFlow) -> nf.UnbalancedPowerFlow:
    return replace(solver, network=replace(solver.network, sums=NO_SUMS))


def cases(feeder: nf.UnbalancedFeeder, high: float = 1.3) -> tuple[np.ndarray, np.ndarray]:
    factors = np.random.default_rng(4).uniform(0.2, high, (2, LANES, feeder.n_load))
    return factors[0] * np.asarray(feeder.load_p_mw), factors[1] * np.asarray(feeder.load_q_mvar)


def same(solver: nf.UnbalancedPowerFlow, *loads: np.ndarray, **given: object) -> nf.PowerFlowResult:
    """Compare both, and return the kernel's."""
    assert can_iterate(np.float64)
    found, expected = (each.solve(*loads, **given) for each in (solver, by_arrays(solver)))
    np.testing.assert_array_equal(found.converged, expected.converged)
    np.testing.assert_array_equal(found.iterations, expected.iterations)
    for field in FIELDS:
        np.testing.assert_allclose(getattr(found, field), getattr(expected, field), rtol=1e-10, atol=1e-11)
    return found


@pytest.mark.parametrize("name", ["load_models", pytest.param("generation", marks=pytest.mark.slow)])
def test_every_model_is_that_of_the_array_program(name: str) -> None:
    """Models 1 to 8 in all ranges of their voltages, exponents, ZIP loads with a cut-off, what feeds in."""
    pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")
    with jax.enable_x64(True):
        feeder = nf.Feeder.from_opendss(CIRCUITS / f"{name}.dss")
        solver = nf.bind(feeder)
        flags = np.bitwise_or.reduce(branch_table(solver.network, solver.branches, feeder.n_load, 0).flags)
        if name == "load_models":
            assert all(flags & each for each in (LIMITED, CURRENT, MIXED, OUTSIDE, P_EXPONENT, CUT_OFF))
        assert same(solver, *cases(feeder)).converged.all()
        far = same(solver, *cases(feeder, high=3.0))
        assert far.iterations.max() > 5  # some with slopes anew


def test_devices_and_failures_are_those_of_the_array_program() -> None:
    feeder = nf.load_feeder("ieee13")
    with jax.enable_x64(True):
        nodes = [feeder.node_labels[10], feeder.node_labels[-1]]
        solver = bind_unbalanced(feeder, nf.AcConfig(max_iterations=12), device_nodes=nodes)
        p, q = cases(feeder)
        fed = np.random.default_rng(5).uniform(-0.2, 0.3, (2, LANES, 2))
        assert same(solver, p, q, p_injection_mw=fed[0], q_injection_mvar=fed[1]).converged.all()
        p[2] *= 40.0  # no power flow
        p[4] = np.nan
        found, expected = (
            each.solve(p, q, ("vm_pu", "converged", "iterations")) for each in (solver, by_arrays(solver))
        )
        np.testing.assert_array_equal(found.converged, expected.converged)
        np.testing.assert_array_equal(found.iterations, expected.iterations)
        assert np.flatnonzero(~np.asarray(found.converged)).tolist() == [2, 4]
        few = replace(solver, config=nf.AcConfig(max_iterations=2))
        assert not same(few, p[:2], q[:2]).converged.any()


@pytest.mark.parametrize("n_cases", [1, 17])
def test_answers_do_not_depend_on_how_many_there_are(n_cases: int) -> None:
    feeder = nf.load_feeder("ieee13")
    p, q = (np.tile(part, (3, 1))[:n_cases].astype(np.float32) for part in cases(feeder))
    solver = nf.bind(feeder)
    found, expected = (np.asarray(each.solve(p, q).vm_pu) for each in (solver, by_arrays(solver)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_derivatives_are_those_of_finite_differences() -> None:
    feeder = nf.load_feeder("ieee13")
    with jax.enable_x64(True):
        solver = nf.bind(feeder)
        p, q = (jnp.asarray(part[0]) for part in cases(feeder))

        @jax.jit
        def worth(p: jax.Array) -> jax.Array:
            flow = solver(p, q)
            return jnp.sum(flow.vm_pu**2) + flow.loss_mw

        along = jnp.asarray(np.random.default_rng(6).normal(size=p.shape)) * p
        step = 1e-4
        difference = (worth(p + step * along) - worth(p - step * along)) / (2 * step)
        np.testing.assert_allclose(jax.grad(worth)(p) @ along, difference, rtol=1e-6)
        np.testing.assert_allclose(jax.jvp(worth, (p,), (along,))[1], difference, rtol=1e-6)


def test_taps_and_capacitors_of_a_case_are_those_of_the_array_program() -> None:
    feeder = nf.load_feeder("ieee13")
    windings = [(name, winding) for name, winding in feeder.taps if ".reg" in name and winding == 2]
    banks = [element.name for element in feeder.elements if element.kind == "capacitor"]
    draws = np.random.default_rng(7)
    with jax.enable_x64(True):
        solver = bind_unbalanced(feeder, taps=windings, capacitors=banks)
        setting = nf.Setting(
            tap_ratio=draws.uniform(0.9, 1.1, (LANES, len(windings))),
            capacitor_share=draws.integers(0, 2, (LANES, len(banks))).astype(float),
        )
        assert can_iterate(np.float64, with_settings=True)
        assert same(solver, *cases(feeder), setting=setting).converged.all()
