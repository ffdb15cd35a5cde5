"""Faults that the power flow once had, each by a test named for it."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.grid.build import build_feeder
from neomflex_jax.powerflow import bind

pytestmark = pytest.mark.usefixtures("float64")


def cases(feeder: nf.Feeder, n_cases: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw loads from 0 to 2 times nominal."""
    factors = np.random.default_rng(0).uniform(0.0, 2.0, (2, n_cases, feeder.n_bus))
    return -factors[0] * feeder.load_p_mw, -factors[1] * feeder.load_q_mvar


def two_buses(**branches: Any) -> nf.Feeder:
    """Build a feeder of two unloaded buses, 20 kV, with the branches given by their columns."""
    n_branch = len(branches["x_ohm"])
    defaults = {"r_ohm": [0.0] * n_branch, "vn_kv": [20.0, 20.0], "load_p_mw": [0.0] * 2, "load_q_mvar": [0.0] * 2}
    return build_feeder(name="two", bus_labels=[1, 2], branches=[(1, 2)] * n_branch, **(defaults | branches))


def test_device_arrays_closed_over_inside_jit_are_no_input_to_check(case33bw: nf.Feeder) -> None:
    p, q = (jnp.asarray(values) for values in cases(case33bw, 3))
    inside = jax.jit(lambda scale: nf.power_flow(case33bw, scale * p, q).loss_mw)(1.0)
    np.testing.assert_allclose(inside, nf.power_flow(case33bw, p, q).loss_mw, rtol=1e-9)


def test_a_traced_feeder_with_a_batch_of_many_chunks_stays_in_its_trace(case33bw: nf.Feeder) -> None:
    p, q = cases(case33bw, 2 * bind(case33bw).piece_sizes().chunk_cases + 3)

    def total_loss(r_ohm: jax.Array) -> jax.Array:
        return nf.power_flow(replace(case33bw, r_ohm=r_ohm), p, q, "lindistflow").loss_mw.sum()

    r_ohm, step = jnp.asarray(case33bw.r_ohm), 1e-4
    slope = (total_loss(r_ohm.at[3].add(step)) - total_loss(r_ohm.at[3].add(-step))) / (2 * step)
    assert float(jax.grad(total_loss)(r_ohm)[3]) == pytest.approx(float(slope), rel=1e-6)
    assert float(jax.jit(lambda: nf.power_flow(case33bw, p, q, "lindistflow").loss_mw.sum())()) == pytest.approx(
        float(total_loss(r_ohm)), rel=1e-9
    )


@pytest.mark.parametrize("method", ["ac", "newton"])
def test_the_slacks_voltage_has_a_reverse_derivative(case33bw: nf.Feeder, method: str) -> None:
    p, q = -case33bw.load_p_mw, -case33bw.load_q_mvar

    def loss(slack_vm_pu: Any) -> jax.Array:
        return nf.power_flow(replace(case33bw, slack_vm_pu=slack_vm_pu), p, q, method).loss_mw

    slope = (loss(np.float64(1.001)) - loss(np.float64(0.999))) / 0.002
    assert float(jax.grad(loss)(1.0)) == pytest.approx(float(slope), rel=1e-4)


def test_a_current_that_circulates_is_not_scaled_by_the_slacks_voltage() -> None:
    pair = two_buses(x_ohm=[2.0, 2.0], ratio=[1.0, 1.05], slack_vm_pu=1.1)
    exact, linear = (nf.power_flow(pair, np.zeros(2), np.zeros(2), method) for method in ("ac", "lindistflow"))
    np.testing.assert_allclose(linear.branch_i_ka, exact.branch_i_ka, rtol=1e-9)


def test_dc_sees_the_angle_that_a_phase_shift_in_a_loop_makes() -> None:
    pair = two_buses(x_ohm=[2.0, 2.0], ratio=[1.0, 1.0], shift_degree=[0.0, 4.0])
    assert float(nf.power_flow(pair, np.zeros(2), np.zeros(2), "dc").va_degree[1]) == pytest.approx(-2.0)


def test_a_shift_can_be_differentiated_beside_a_ratio_that_is_not_traced() -> None:
    pair = two_buses(x_ohm=[2.0, 2.0], ratio=[1.0, 1.0], shift_degree=[0.0, 4.0])

    def angle(shift: jax.Array) -> jax.Array:
        turned = replace(pair, transformers=replace(pair.transformers, shift_degree=shift))
        return nf.power_flow(turned, np.zeros(2), np.zeros(2)).va_degree[1]

    np.testing.assert_allclose(jax.jit(jax.grad(angle))(jnp.array([0.0, 4.0])), [-0.5, -0.5], atol=1e-6)


def test_the_residual_of_dc_is_finite_on_a_line_without_reactance() -> None:
    line = two_buses(r_ohm=[1.0], x_ohm=[0.0])
    assert np.isfinite(float(nf.power_flow(line, np.array([0.0, -1.0]), np.zeros(2), "dc").residual_mva))


def test_dc_refuses_a_loop_without_reactance() -> None:
    with pytest.raises(nf.InputError, match=r"branch 1-2 closes a loop with x_ohm = 0"):
        nf.power_flow(two_buses(r_ohm=[1.0, 1.0], x_ohm=[0.0, 0.0]), np.zeros(2), np.zeros(2), "dc")


def test_half_precision_and_complex_injections(case33bw: nf.Feeder) -> None:
    assert nf.power_flow(case33bw, jnp.zeros(33, jnp.float16), jnp.zeros(33, jnp.float16)).vm_pu.dtype != jnp.float16
    with pytest.raises(nf.InputError, match="p_injection_mw is complex"):
        nf.power_flow(case33bw, np.zeros(33, complex), np.zeros(33))


def test_one_field_may_be_a_bare_name(case33bw: nf.Feeder) -> None:
    flow = nf.power_flow(case33bw, np.zeros(33), np.zeros(33), fields="vm_pu")
    assert flow.vm_pu.shape == (33,)
    assert flow.loss_mw is None


def test_calibrated_inside_a_trace_is_refused_in_a_sentence(case33bw: nf.Feeder) -> None:
    with pytest.raises(nf.InputError, match="fitted outside jit"):
        jax.jit(lambda p: nf.calibrate(case33bw, p, p))(jnp.zeros((8, 33)))


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"max_i_ka": [np.inf]}, "max_i_ka = inf"),
        ({"g_us": [-10.0]}, "g_us = -10"),
        ({"in_service": ["0"]}, "in_service = '0'"),
        ({"in_service": [np.nan]}, "in_service = nan"),
    ],
)
def test_unusable_columns_are_refused(columns: dict[str, Any], says: str) -> None:
    with pytest.raises(nf.InputError, match=says):
        two_buses(x_ohm=[1.0], **columns)


def test_a_bus_label_that_is_no_whole_number_is_refused() -> None:
    with pytest.raises(nf.InputError, match=r"1\.2"):
        build_feeder(
            name="t",
            bus_labels=[1.2, 2],  # type: ignore[list-item]
            vn_kv=[1, 1],
            load_p_mw=[0, 0],
            load_q_mvar=[0, 0],
            branches=[],
            r_ohm=[],
            x_ohm=[],
        )


def test_what_is_not_differentiated_is_checked_too(case33bw: nf.Feeder) -> None:
    p, q = (jnp.asarray(part[0]) for part in cases(case33bw, 1))
    with pytest.raises(nf.InputError, match=r"q_injection_mvar\[3\] is nan"):
        jax.grad(lambda p: nf.power_flow(case33bw, p, q.at[3].set(jnp.nan)).loss_mw)(p)
