"""`calibrated` by machine code equals the products that it stands for, and so do its derivatives."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from radial_trees import SHAPES, TREES, Shape, radial_feeder
from random_feeders import MESHED, RADIAL, build, injections, structure
from result_fields import FIELDS

import neomflex_jax as nf
from neomflex_jax.powerflow import PowerFlow, piece_sizes
from neomflex_jax.powerflow.methods.calibrated import SWEPT_FIELDS
from neomflex_jax.powerflow.sweeps.depth_first import FIRST, GATHERS, HANDS_ON, LEAF, depth_first


def drawn(feeder: nf.Feeder, n_cases: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    factors = np.random.default_rng(seed).uniform(-1.0, 1.5, (2, n_cases, feeder.n_bus))
    return -factors[0] * feeder.load_p_mw, -factors[1] * feeder.load_q_mvar


def both(feeder: nf.Feeder, network: str = "auto") -> tuple[PowerFlow, PowerFlow]:
    """Machine code and products of one fit."""
    fitted = nf.calibrate(feeder, *drawn(feeder, 60, seed=2), network=network)
    assert fitted.grid.swept
    return fitted, fitted.by_products()


def assert_equal(feeder: nf.Feeder, p: np.ndarray, q: np.ndarray, atol: float) -> None:
    swept, products = (nf.power_flow(feeder, p, q, method=method) for method in both(feeder))
    assert bool(swept.converged.all())
    for name in FIELDS:
        own, other = np.asarray(getattr(swept, name)), np.asarray(getattr(products, name))
        np.testing.assert_allclose(own, other, rtol=atol, atol=atol, err_msg=name)


@pytest.mark.parametrize("name", ["case33bw", "case69", "case85", "case141"])
def test_published_feeders_have_the_flow_of_the_products(name: str, float64: None) -> None:
    feeder = nf.load_feeder(name)
    assert_equal(feeder, *drawn(feeder, 11), atol=1e-9)


@pytest.mark.parametrize(("shape", "n"), TREES)
def test_trees_of_any_shape_and_size_have_the_flow_of_the_products(shape: Shape, n: int, float64: None) -> None:
    feeder = radial_feeder(shape(n, np.random.default_rng(n)), seed=n)
    assert_equal(feeder, *drawn(feeder, 3), atol=1e-9)


@pytest.mark.parametrize("kind", RADIAL)
def test_transformers_shunts_and_charging_have_the_flow_of_the_products(kind: int, float64: None) -> None:
    feeder = build(structure(kind), 0)
    assert_equal(feeder, *injections(feeder, 0), atol=1e-9)


def test_a_tree_too_large_for_a_matrix_has_the_same_flow(float64: None) -> None:
    feeder = radial_feeder(SHAPES[-1](250, np.random.default_rng(0)), seed=0)
    assert_equal(feeder, *drawn(feeder, 3), atol=1e-9)


def test_single_precision_is_near_to_double(case33bw: nf.Feeder) -> None:
    p, q = drawn(case33bw, 500)
    fitted, _ = both(case33bw)
    single = nf.power_flow(case33bw, p, q, method=fitted)
    assert single.vm_pu.dtype == np.float32
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, float) if leaf.dtype == np.float32 else leaf, fitted)
        double = nf.power_flow(case33bw, p, q, method=wide)
    np.testing.assert_allclose(single.vm_pu, double.vm_pu, rtol=0, atol=1e-6)
    np.testing.assert_allclose(single.loss_mw, double.loss_mw, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("n_cases", [0, 1, 7, 8, 9, 16, 17, 40])
def test_a_batch_of_any_length_is_the_same_as_one_by_one(case33bw: nf.Feeder, n_cases: int, float64: None) -> None:
    fitted, _ = both(case33bw)
    p, q = drawn(case33bw, 40)
    flow = jax.jit(jax.vmap(fitted))(p[:n_cases], q[:n_cases])
    one = jax.jit(fitted)
    assert flow.vm_pu.shape == (n_cases, case33bw.n_bus)
    for case in range(n_cases):
        np.testing.assert_allclose(flow.vm_pu[case], one(p[case], q[case]).vm_pu, rtol=0, atol=1e-13)


def test_two_maps_make_one_call_and_one_p_may_serve_all(case33bw: nf.Feeder, float64: None) -> None:
    p, q = (part.reshape(4, 5, -1) for part in drawn(case33bw, 20))
    fitted, _ = both(case33bw)
    nested = jax.vmap(jax.vmap(fitted))
    assert str(jax.make_jaxpr(nested)(p, q)).count("ffi_call[") == 1
    mapped = jax.jit(jax.vmap(fitted))
    flat = mapped(p.reshape(20, -1), q.reshape(20, -1))
    np.testing.assert_allclose(np.asarray(jax.jit(nested)(p, q).vm_pu).reshape(20, -1), flat.vm_pu, rtol=0, atol=1e-13)
    for axes, arguments in (((None, 0), (p[0, 0], q[0])), ((0, None), (p[0], q[0, 0]))):
        one_for_all = jax.jit(jax.vmap(fitted, in_axes=axes))(*arguments).vm_pu
        full = [np.broadcast_to(part, (5, case33bw.n_bus)) for part in arguments]
        np.testing.assert_allclose(one_for_all, mapped(*full).vm_pu, rtol=0, atol=1e-13)


def test_a_case_without_an_answer_harms_no_other_of_its_vector(case33bw: nf.Feeder, float64: None) -> None:
    p, q = drawn(case33bw, 20)
    fitted, products = both(case33bw)
    alone = jax.vmap(fitted)(p, q).vm_pu
    for bad in (60.0, 1e200, np.nan):
        worse = [np.where(np.arange(20)[:, None] == 5, bad * np.abs(part), part) for part in (p, q)]
        flow, expected = jax.jit(jax.vmap(fitted))(*worse), jax.jit(jax.vmap(products))(*worse)
        np.testing.assert_array_equal(flow.converged, expected.converged)
        others = np.arange(20) != 5
        np.testing.assert_array_equal(np.asarray(flow.vm_pu)[others], np.asarray(alone)[others])
        if not 0 < bad < 100:
            np.testing.assert_array_equal(flow.converged, others)


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_derivatives_are_those_of_the_products(case33bw: nf.Feeder, mode: str, float64: None) -> None:
    p, q = drawn(case33bw, 3)
    differentiate = jax.jacrev if mode == "reverse" else jax.jacfwd

    def slopes(method: PowerFlow) -> Any:
        def numbers(p: Any, q: Any) -> Any:
            flow = method(p, q)
            return flow.vm_pu, flow.loss_mw, flow.slack_q_mvar, flow.branch_i_ka

        return jax.jit(jax.vmap(differentiate(numbers, argnums=(0, 1))))(p, q)

    own, other = (slopes(method) for method in both(case33bw))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10), own, other)


def test_derivatives_are_finite_differences(case33bw: nf.Feeder, float64: None) -> None:
    p, q = (part[0] for part in drawn(case33bw, 1))
    fitted, _ = both(case33bw)
    p_direction, q_direction = np.random.default_rng(3).normal(size=(2, case33bw.n_bus))

    @jax.jit
    def total(step: Any) -> Any:
        flow = fitted(p + step * p_direction, q + step * q_direction)
        return jnp.sum(flow.vm_pu) + flow.loss_mw

    difference = (total(1e-5) - total(-1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(total)(0.0), difference, rtol=1e-7)


def test_impedances_of_their_own_for_every_case_are_solved_by_products(case33bw: nf.Feeder, float64: None) -> None:
    scale, (p, q) = np.array([0.8, 1.0, 1.3]), (part[0] for part in drawn(case33bw, 1))
    fitted, _ = both(case33bw)

    def lowest(factor: Any) -> jax.Array:
        return fitted.on(replace(case33bw, r_ohm=case33bw.r_ohm * factor))(p, q).vm_pu.min()

    assert "ffi_call[" in str(jax.make_jaxpr(lowest)(1.0))
    assert "ffi_call[" not in str(jax.make_jaxpr(jax.vmap(lowest))(scale))
    one, each = jax.jit(lowest), jax.jit(jax.vmap(lowest))
    np.testing.assert_allclose(each(scale), [one(factor) for factor in scale], rtol=0, atol=1e-12)


def test_meshed_feeders_and_other_platforms_take_the_products(case33bw: nf.Feeder) -> None:
    ring = build(structure(MESHED[0]), 0)
    meshed = nf.calibrate(ring, *injections(ring, 0))
    fitted, _ = both(case33bw)

    def calls(method: PowerFlow, feeder: nf.Feeder, platform: str) -> bool:
        traced = jax.jit(lambda p, q: method(p, q)).trace(*jnp.zeros((2, feeder.n_bus)))
        return "neomflex_calibrated" in traced.lower(lowering_platforms=(platform,)).as_text()

    assert not calls(meshed, ring, "cpu")
    assert calls(fitted, case33bw, "cpu")
    assert not calls(fitted, case33bw, "cuda")


@pytest.mark.parametrize("sweep_values", [33 * 64, piece_sizes.SWEEP_VALUES])
def test_a_large_batch_has_the_same_answers_at_once_and_in_pieces(
    case33bw: nf.Feeder, sweep_values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piece_sizes, "PIECE_VALUES", 33 * 64)
    monkeypatch.setattr(piece_sizes, "SWEEP_VALUES", sweep_values)
    p, q = drawn(case33bw, 300)  # more than four times 64
    fitted, _ = both(case33bw)
    pieces = nf.power_flow(case33bw, p, q, method=fitted)
    swept = nf.power_flow(case33bw, p, q, method=fitted, fields=tuple(SWEPT_FIELDS))
    for name in SWEPT_FIELDS:
        np.testing.assert_allclose(getattr(swept, name), getattr(pieces, name), rtol=1e-6, atol=1e-6)
    assert swept.va_degree is None


def test_rows_are_depth_first_and_flags_say_where_the_tree_forks() -> None:
    feeder = radial_feeder(np.array([-1, 0, 0, 2, -1]), seed=0)
    tree = depth_first(feeder.topology)
    np.testing.assert_array_equal(np.sort(tree.row), np.arange(6))
    assert tree.row[feeder.topology.slack] == 0
    for row in range(1, 6):
        below = np.flatnonzero(tree.above == row)
        assert bool(tree.forks[row] & LEAF) == (len(below) == 0)
        assert bool(tree.forks[row] & GATHERS) == (len(below) > 1)
        assert bool(tree.forks[row] & HANDS_ON) == (tree.above[row] != row - 1)
        siblings = np.flatnonzero(tree.above == tree.above[row])
        assert bool(tree.forks[row] & FIRST) == (tree.above[row] != row - 1 and row == siblings.max())
        if len(below):
            assert below.min() == row + 1
