"""Sweeps in machine code equal the products that they stand for, whatever the tree, the batch and the precision."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Lock, Semaphore
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from radial_trees import SHAPES, TREES, Shape, radial_feeder
from random_feeders import MESHED, build, structure

import neomflex_jax as nf
from neomflex_jax.native import xla_call
from neomflex_jax.powerflow import PowerFlow, bind
from neomflex_jax.powerflow.stopping import AcConfig
from neomflex_jax.powerflow.sweeps import ac_sweep as sweep_module

EXACT = ("vm_pu", "va_degree", "loss_mw", "slack_p_mw", "slack_q_mvar", "branch_i_ka")


def drawn(feeder: nf.Feeder, n_cases: int, most: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    factors = np.random.default_rng(1).uniform(-1.0, most, (2, n_cases, feeder.n_bus))
    return -factors[0] * feeder.load_p_mw, -factors[1] * feeder.load_q_mvar


def both(feeder: nf.Feeder, config: AcConfig = AcConfig()) -> tuple[PowerFlow, PowerFlow]:
    return bind(feeder, "ac", config, network="sweep"), bind(feeder, "ac", config, network="dense")


def assert_equal(feeder: nf.Feeder, p: np.ndarray, q: np.ndarray, atol: float) -> None:
    swept, dense = (nf.power_flow(feeder, p, q, method=solver) for solver in both(feeder))
    assert bool(swept.converged.all() & dense.converged.all())
    for name in EXACT:
        own, other = np.asarray(getattr(swept, name)), np.asarray(getattr(dense, name))
        np.testing.assert_allclose(own, other, rtol=atol, atol=atol, err_msg=name)


@pytest.mark.parametrize("name", ["case33bw", "case69", "case85", "case141"])
def test_published_feeders_have_the_flow_of_the_dense_form(name: str, float64: None) -> None:
    feeder = nf.load_feeder(name)
    assert_equal(feeder, *drawn(feeder, 11), atol=1e-9)


@pytest.mark.parametrize(("shape", "n"), TREES)
def test_trees_of_any_shape_and_size_have_the_flow_of_the_dense_form(shape: Shape, n: int, float64: None) -> None:
    feeder = radial_feeder(shape(n, np.random.default_rng(n)), seed=n)
    assert_equal(feeder, *drawn(feeder, 3), atol=1e-9)


def test_single_precision_is_near_to_double(case33bw: nf.Feeder) -> None:
    p, q = drawn(case33bw, 500, most=2.0)
    single = nf.power_flow(case33bw, p, q, method=bind(case33bw, network="sweep"))
    with jax.enable_x64(True):
        double = nf.power_flow(case33bw, p, q, method=bind(case33bw, network="dense"))
    assert single.vm_pu.dtype == np.float32
    np.testing.assert_allclose(single.vm_pu, double.vm_pu, rtol=0, atol=1e-6)
    np.testing.assert_allclose(single.loss_mw, double.loss_mw, rtol=1e-4)


@pytest.mark.parametrize("n", [1, 15, 16, 17, 40])  # a vector has 16 places
def test_buses_left_over_are_solved_in_single_precision_too(n: int) -> None:
    feeder = radial_feeder(SHAPES[-1](n, np.random.default_rng(n)), seed=n)
    p, q = drawn(feeder, 3)
    swept, dense = (nf.power_flow(feeder, p, q, method=solver, fields=("vm_pu",)) for solver in both(feeder))
    assert swept.vm_pu.dtype == np.float32
    np.testing.assert_allclose(swept.vm_pu, dense.vm_pu, rtol=0, atol=2e-6)


@pytest.mark.parametrize("kinds", [("float16", "float16"), ("float32", "float64"), ("float64", "float32")])
def test_injections_of_any_precision_are_solved_in_the_grids(
    case33bw: nf.Feeder, kinds: tuple[str, str], float64: None
) -> None:
    p, q = (part.astype(kind) for part, kind in zip(drawn(case33bw, 17), kinds, strict=True))
    swept, dense = (jax.jit(jax.vmap(solver))(p, q).vm_pu for solver in both(case33bw))
    assert swept.dtype == dense.dtype == np.float64
    np.testing.assert_allclose(swept, dense, rtol=0, atol=1e-9)


@pytest.mark.parametrize("axes", [(0, None), (None, 0)])
def test_one_p_or_q_may_serve_all_cases(
    case33bw: nf.Feeder, axes: tuple[int | None, int | None], float64: None
) -> None:
    p, q = drawn(case33bw, 3)
    chosen = [part if axis == 0 else part[0] for part, axis in zip((p, q), axes, strict=True)]
    solver = bind(case33bw, network="sweep")
    mapped, alone = jax.jit(jax.vmap(solver, in_axes=axes))(*chosen).vm_pu, jax.jit(solver)
    loop = [alone(p[case if axes[0] == 0 else 0], q[case if axes[1] == 0 else 0]).vm_pu for case in range(3)]
    np.testing.assert_allclose(mapped, loop, rtol=0, atol=1e-11)


@pytest.mark.parametrize("n_cases", [0, 1, 7, 8, 9, 16, 17, 40])
def test_a_batch_of_any_length_is_the_same_as_one_by_one(case33bw: nf.Feeder, n_cases: int, float64: None) -> None:
    solver = bind(case33bw, network="sweep")
    p, q = drawn(case33bw, 40)
    flow = jax.jit(jax.vmap(solver))(p[:n_cases], q[:n_cases])
    one = jax.jit(solver)
    for case in range(n_cases):
        alone = one(p[case], q[case])
        np.testing.assert_allclose(flow.vm_pu[case], alone.vm_pu, rtol=0, atol=1e-11)
        np.testing.assert_allclose(flow.loss_mw[case], alone.loss_mw, rtol=1e-9)
    assert flow.vm_pu.shape == (n_cases, case33bw.n_bus)


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 100])
def test_it_stops_where_the_products_stop(case33bw: nf.Feeder, most: int, float64: None) -> None:
    p, q = -case33bw.load_p_mw, -case33bw.load_q_mvar
    swept, dense = (jax.jit(solver)(p, q) for solver in both(case33bw, AcConfig(max_iterations=most)))
    assert bool(swept.converged) == bool(dense.converged) == (most == 100)
    assert int(swept.iterations) == int(dense.iterations)
    np.testing.assert_allclose(swept.vm_pu, dense.vm_pu, rtol=0, atol=1e-13)


def test_a_case_without_a_solution_harms_no_other_of_its_vector(case33bw: nf.Feeder, float64: None) -> None:
    p, q = drawn(case33bw, 20)
    alone = nf.power_flow(case33bw, p, q, method=bind(case33bw, network="sweep"))
    for bad in (60.0, 1e200, np.nan):
        worse = [np.where(np.arange(20)[:, None] == 5, bad * part, part) for part in (p, q)]
        flow = jax.jit(jax.vmap(bind(case33bw, network="sweep")))(*worse)
        np.testing.assert_array_equal(flow.converged, np.arange(20) != 5)
        others = np.arange(20) != 5
        np.testing.assert_allclose(np.asarray(flow.vm_pu)[others], np.asarray(alone.vm_pu)[others], atol=1e-11)


def test_radial_feeders_are_swept_and_meshed_ones_are_not(case33bw: nf.Feeder) -> None:
    ring = build(structure(MESHED[0]), 0)
    for feeder, network, swept in (
        (case33bw, "auto", True),
        (case33bw, "sweep", True),
        (case33bw, "dense", False),
        (case33bw, "tree", False),
        (ring, "auto", False),
    ):
        program = jax.jit(jax.vmap(bind(feeder, network=network))).lower(*jnp.zeros((2, 3, feeder.n_bus))).as_text()
        assert ("neomflex_sweep" in program, "stablehlo.while" in program) == (swept, not swept)
    with pytest.raises(nf.InputError, match="closes a loop, and 'sweep' needs a tree"):
        bind(ring, network="sweep")


def test_impedances_of_their_own_for_every_case_are_solved_without_sweeps(case33bw: nf.Feeder, float64: None) -> None:
    scale = np.array([0.8, 1.0, 1.3])
    p, q = -case33bw.load_p_mw, -case33bw.load_q_mvar

    def lowest(factor: Any, network: str) -> jax.Array:
        feeder = replace(case33bw, r_ohm=case33bw.r_ohm * factor)
        return bind(feeder, "ac", network=network)(p, q).vm_pu.min()

    def mapped(scale: np.ndarray) -> jax.Array:
        return jax.vmap(lambda factor: lowest(factor, "sweep"))(scale)

    one = jax.jit(lambda factor: lowest(factor, "sweep"))
    assert sweep_module.KERNEL.name not in jax.jit(mapped).lower(scale).as_text()  # a jaxpr of JAX 0.11 keeps it
    assert sweep_module.KERNEL.name in one.lower(1.0).as_text()
    np.testing.assert_allclose(jax.jit(mapped)(scale), [one(factor) for factor in scale], rtol=0, atol=1e-11)


def test_two_maps_make_one_call(case33bw: nf.Feeder, float64: None) -> None:
    p, q = (part.reshape(4, 5, -1) for part in drawn(case33bw, 20))
    solver = bind(case33bw, network="sweep")
    nested = jax.vmap(jax.vmap(solver))
    assert str(jax.make_jaxpr(nested)(p, q)).count("ffi_call[") == 1
    flat = jax.jit(jax.vmap(solver))(p.reshape(20, -1), q.reshape(20, -1))
    np.testing.assert_allclose(np.asarray(jax.jit(nested)(p, q).vm_pu).reshape(20, -1), flat.vm_pu, rtol=0, atol=1e-11)


def test_threads_do_not_share_their_scratch_memory(case33bw: nf.Feeder) -> None:
    solver = jax.jit(jax.vmap(bind(case33bw, network="sweep")))
    injections = np.stack(drawn(case33bw, 64))
    expected = np.asarray(solver(*injections).vm_pu)

    def voltages(turn: int) -> np.ndarray:
        return np.asarray(solver(*np.roll(injections, 16 * turn, axis=1)).vm_pu)  # whole vectors, which stay together

    with ThreadPoolExecutor(8) as pool:
        for turn, found in enumerate(pool.map(voltages, range(64))):
            np.testing.assert_array_equal(found, np.roll(expected, 16 * turn, axis=0))


class CountedLock:
    """A lock that tells how many threads have asked for it."""

    def __init__(self) -> None:
        self.asked = Semaphore(0)
        self._lock = Lock()

    def __enter__(self) -> None:
        self.asked.release()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_threads_that_ask_first_at_the_same_time_register_one_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[str] = []
    lock, n_threads = CountedLock(), 8

    def register_once_all_wait(name: str, *_: Any) -> None:
        assert all(lock.asked.acquire(timeout=60) for _ in range(n_threads))
        registered.append(name)

    monkeypatch.setattr(xla_call, "register", register_once_all_wait)
    monkeypatch.setattr(xla_call, "_names", {})
    monkeypatch.setattr(xla_call, "_one_at_a_time", lock)
    with ThreadPoolExecutor(n_threads) as pool:
        ask = partial(xla_call.registered, sweep_module.KERNEL, np.dtype(np.float32))
        names = {future.result() for future in [pool.submit(ask) for _ in range(n_threads)]}
    assert names == set(registered)
    assert len(registered) == 1


def test_other_platforms_take_the_products(case33bw: nf.Feeder) -> None:
    traced = jax.jit(jax.vmap(bind(case33bw))).trace(*jnp.zeros((2, 3, case33bw.n_bus)))
    for platform, swept in (("cpu", True), ("cuda", False), ("tpu", False)):
        assert ("neomflex_sweep" in traced.lower(lowering_platforms=(platform,)).as_text()) == swept
