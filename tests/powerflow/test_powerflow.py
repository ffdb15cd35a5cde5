"""The power flow's contract: inputs, batches, transformations, and that names and bases of a feeder do not matter."""

import dataclasses
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from result_fields import FIELDS

import neomflex_jax as nf
from neomflex_jax.grid.build import build_feeder
from neomflex_jax.grid.topology import path_matrix
from neomflex_jax.powerflow import METHODS, PowerFlow, bind
from neomflex_jax.powerflow.batch import _solve_at_once

pytestmark = pytest.mark.usefixtures("float64")
Injections = tuple[np.ndarray, np.ndarray]


def injections(feeder: nf.Feeder, n_cases: int, seed: int = 0) -> Injections:
    """Draw loads 0 to 2 times nominal with generation on top."""
    random = np.random.default_rng(seed)
    size = (n_cases, feeder.n_bus)
    p = random.uniform(0.0, 0.2, size) - random.uniform(0.0, 2.0, size) * feeder.load_p_mw
    return p, -random.uniform(-1.0, 2.0, size) * feeder.load_q_mvar


@pytest.fixture(scope="module")
def solvers(case33bw: nf.Feeder) -> dict[str, PowerFlow]:
    """Bind every method to case33bw."""
    with jax.enable_x64(True):
        return {method: bind(case33bw, method) for method in METHODS}


# ---- shapes and batches ----


@pytest.mark.parametrize("method", METHODS)
def test_every_field_takes_the_leading_axes_of_the_injections(
    case33bw: nf.Feeder, solvers: dict[str, PowerFlow], method: str
) -> None:
    p, q = injections(case33bw, 4)
    flow = nf.power_flow(case33bw, p.reshape(2, 2, 33), q.reshape(2, 2, 33), method=solvers[method])
    chex.assert_shape([flow.vm_pu, flow.va_degree], (2, 2, 33))
    chex.assert_shape([flow.branch_i_ka, flow.branch_loading_percent], (2, 2, 37))
    scalars = [flow.loss_mw, flow.slack_p_mw, flow.slack_q_mvar, flow.residual_mva, flow.converged, flow.iterations]
    chex.assert_shape(scalars, (2, 2))
    assert flow.converged.dtype == bool
    assert flow.iterations.dtype == np.int32
    assert bool(flow.converged.all())


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_is_the_same_as_one_at_a_time(case33bw: nf.Feeder, solvers: dict[str, PowerFlow], method: str) -> None:
    p, q = injections(case33bw, 4)
    batch = nf.power_flow(case33bw, p, q, method=solvers[method])
    for index in range(4):
        alone = nf.power_flow(case33bw, p[index], q[index], method=solvers[method])
        for name in FIELDS:
            np.testing.assert_allclose(getattr(batch, name)[index], getattr(alone, name), rtol=1e-9, atol=1e-9)


def test_one_of_the_injections_broadcasts_to_the_other(case33bw: nf.Feeder) -> None:
    p, _ = injections(case33bw, 4)
    assert nf.power_flow(case33bw, p, 0.0, method="lindistflow").vm_pu.shape == (4, 33)


def test_an_empty_batch_has_an_empty_answer(case33bw: nf.Feeder) -> None:
    assert nf.power_flow(case33bw, np.zeros((0, 33)), np.zeros((0, 33)), method="dc").vm_pu.shape == (0, 33)


def test_integers_are_fine_as_injections(case33bw: nf.Feeder) -> None:
    assert float(nf.power_flow(case33bw, np.zeros(33, int), np.zeros(33, int), method="lindistflow").loss_mw) == 0.0


# ---- transformations ----


@pytest.mark.parametrize("method", ["ac", "lindistflow"])
def test_jit_and_eager_agree(case33bw: nf.Feeder, solvers: dict[str, PowerFlow], method: str) -> None:
    p, q = injections(case33bw, 1)
    eager = solvers[method](jnp.asarray(p[0]), jnp.asarray(q[0]))
    compiled = jax.jit(solvers[method].__call__)(p[0], q[0])
    for name in FIELDS:
        np.testing.assert_allclose(getattr(compiled, name), getattr(eager, name), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_methods_by_name_work_inside_jit(case33bw: nf.Feeder, solvers: dict[str, PowerFlow], method: str) -> None:
    p, q = injections(case33bw, 4)
    inside = jax.jit(lambda p, q: nf.power_flow(case33bw, p, q, method=method).vm_pu)(p, q)
    outside = nf.power_flow(case33bw, p, q, method=solvers[method]).vm_pu
    np.testing.assert_allclose(inside, outside, atol=1e-9)


def test_vmap_outside_equals_the_batch_inside(case33bw: nf.Feeder) -> None:
    p, q = injections(case33bw, 4)
    outside = jax.vmap(lambda p, q: nf.power_flow(case33bw, p, q))(p, q)
    inside = nf.power_flow(case33bw, p, q)
    for name in FIELDS:
        np.testing.assert_allclose(getattr(outside, name), getattr(inside, name), atol=1e-9, err_msg=name)


@pytest.mark.parametrize("method", METHODS)
def test_derivatives_equal_finite_differences_in_both_modes(
    case33bw: nf.Feeder, solvers: dict[str, PowerFlow], method: str
) -> None:
    weights = np.random.default_rng(2).normal(size=33)

    @jax.jit
    def summary(p: jax.Array, q: jax.Array) -> jax.Array:
        flow = solvers[method](p, q)
        parts = [weights @ flow.vm_pu, weights @ flow.va_degree, 10 * flow.loss_mw, flow.slack_p_mw, flow.slack_q_mvar]
        return jnp.stack(parts)

    p, q = injections(case33bw, 1, seed=5)
    check_grads(summary, (p[0], q[0]), order=1, modes=("fwd", "rev"), rtol=1e-5, atol=1e-6)


def test_losses_can_be_differentiated_by_the_impedances(case33bw: nf.Feeder) -> None:
    p, q = -case33bw.load_p_mw, -case33bw.load_q_mvar

    @jax.jit
    def loss(r_ohm: jax.Array) -> jax.Array:
        return nf.power_flow(dataclasses.replace(case33bw, r_ohm=r_ohm), p, q).loss_mw

    check_grads(loss, (jnp.asarray(case33bw.r_ohm),), order=1, modes=("rev",), rtol=1e-5)


@pytest.mark.parametrize("method", ["ac", "lindistflow"])
def test_gradients_through_the_branch_currents_are_finite_with_open_branches(
    case33bw: nf.Feeder, solvers: dict[str, PowerFlow], method: str
) -> None:
    p, q = injections(case33bw, 1)
    gradient = jax.jit(jax.grad(lambda p: solvers[method](p, q[0]).branch_i_ka.sum()))(p[0])
    assert np.isfinite(gradient).all()


def test_other_values_cause_no_new_trace(case33bw: nf.Feeder) -> None:
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def solve(feeder: nf.Feeder, p: jax.Array, q: jax.Array) -> jax.Array:
        return nf.power_flow(feeder, p, q).vm_pu

    thicker = dataclasses.replace(case33bw, r_ohm=case33bw.r_ohm / 2, load_p_mw=case33bw.load_p_mw * 3)
    for seed, feeder in enumerate((case33bw, thicker, nf.load_feeder("case33bw"))):
        solve(feeder, *injections(case33bw, 4, seed))


def test_a_feeder_used_in_single_precision_still_works_in_double() -> None:
    path_matrix.cache_clear()
    feeder = nf.load_feeder("case33bw")
    with jax.enable_x64(False):
        solver = bind(feeder, "lindistflow")
        held = jax.jit(lambda p: solver(p, p).vm_pu)  # JAX keeps the matrices as constants as long as this lives
        assert held(jnp.zeros(33)).dtype == np.float32
    nothing = np.zeros((9, 33))  # a shape of its own: what is compiled already would not notice
    again = nf.load_feeder("case33bw")
    assert nf.power_flow(again, nothing, nothing, method="lindistflow").vm_pu.dtype == np.float64
    del held


def test_solving_again_compiles_nothing_new(case33bw: nf.Feeder) -> None:
    nf.power_flow(case33bw, *injections(case33bw, 4), method="lindistflow")
    before = _solve_at_once._cache_size()
    nf.power_flow(nf.load_feeder("case33bw"), *injections(case33bw, 4, seed=1), method="lindistflow")
    assert _solve_at_once._cache_size() == before


# ---- names, order and bases ----


def renumbered(feeder: nf.Feeder, order: np.ndarray, flipped: np.ndarray) -> nf.Feeder:
    """Give the buses in another order and with labels that are no positions, some branches listed from the far end."""
    labels = [1000 + 7 * int(bus) for bus in order]
    ends = zip(feeder.topology.from_bus, feeder.topology.to_bus, flipped, strict=True)
    return build_feeder(
        name="renumbered",
        bus_labels=labels,
        vn_kv=feeder.vn_kv[order],
        load_p_mw=feeder.load_p_mw[order].tolist(),
        load_q_mvar=feeder.load_q_mvar[order].tolist(),
        branches=[(1000 + 7 * b, 1000 + 7 * a) if flip else (1000 + 7 * a, 1000 + 7 * b) for a, b, flip in ends],
        r_ohm=feeder.r_ohm.tolist(),
        x_ohm=feeder.x_ohm.tolist(),
        in_service=feeder.topology.in_service,
        slack_bus=1000 + 7 * feeder.topology.slack,
    )


@pytest.mark.parametrize("method", METHODS)
def test_the_order_and_names_of_buses_do_not_matter(case33bw: nf.Feeder, method: str) -> None:
    random = np.random.default_rng(4)
    order = random.permutation(33)
    shuffled = renumbered(case33bw, order, random.random(37) < 0.5)
    assert shuffled.topology.slack not in (0, 32)
    p, q = injections(case33bw, 300)

    def solver(feeder: nf.Feeder, order: np.ndarray) -> PowerFlow:
        fitted = method == "calibrated"
        return nf.calibrate(feeder, p[:, order], q[:, order]) if fitted else bind(feeder, method)

    expected = nf.power_flow(case33bw, p[:4], q[:4], method=solver(case33bw, np.arange(33)))
    found = nf.power_flow(shuffled, p[:4, order], q[:4, order], method=solver(shuffled, order))
    np.testing.assert_allclose(found.vm_pu, expected.vm_pu[:, order], atol=1e-9)
    np.testing.assert_allclose(found.va_degree, expected.va_degree[:, order], atol=1e-7)
    for name in ("loss_mw", "slack_p_mw", "slack_q_mvar", "branch_i_ka"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-9, err_msg=name)
    assert shuffled.bus_position(1000 + 7 * 17) == int(np.flatnonzero(order == 17)[0])


@pytest.mark.parametrize("method", METHODS)
def test_the_base_power_does_not_matter(case33bw: nf.Feeder, method: str) -> None:
    p, q = injections(case33bw, 300)
    answers = []
    for feeder in (case33bw, dataclasses.replace(case33bw, s_base_mva=100.0)):
        solver = nf.calibrate(feeder, p, q) if method == "calibrated" else bind(feeder, method)
        answers.append(nf.power_flow(feeder, p[:4], q[:4], method=solver))
    for name in FIELDS:
        np.testing.assert_allclose(
            getattr(answers[1], name), getattr(answers[0], name), rtol=1e-6, atol=1e-9, err_msg=name
        )


# ---- bad input ----


@pytest.mark.parametrize(("bad", "shown"), [(np.nan, "nan"), (np.inf, "inf")])
def test_an_injection_that_is_not_finite_is_named(case33bw: nf.Feeder, bad: float, shown: str) -> None:
    p, q = injections(case33bw, 3)
    q[1, 4] = bad
    with pytest.raises(nf.InputError, match=rf"q_injection_mvar\[1, 4\] is {shown}"):
        nf.power_flow(case33bw, p, q)


def test_a_last_axis_of_another_length_is_refused(case33bw: nf.Feeder) -> None:
    with pytest.raises(nf.InputError, match=r"\(32,\); the last axis must be n_bus = 33"):
        nf.power_flow(case33bw, np.zeros(32), np.zeros(32))
    with pytest.raises(nf.InputError, match="n_bus = 33"):
        nf.power_flow(case33bw, 0.0, 0.0)


def test_injections_whose_shapes_do_not_fit_together_are_refused(case33bw: nf.Feeder) -> None:
    with pytest.raises(nf.InputError, match=r"\(2, 33\).*\(3, 33\)"):
        nf.power_flow(case33bw, np.zeros((2, 33)), np.zeros((3, 33)))


def test_an_unknown_method_lists_the_known_ones(case33bw: nf.Feeder) -> None:
    with pytest.raises(nf.InputError, match=r"'gauss'; known: ac, calibrated, dc, lindistflow, newton"):
        nf.power_flow(case33bw, np.zeros(33), np.zeros(33), method="gauss")


def test_a_method_bound_to_another_feeder_is_refused(case33bw: nf.Feeder, solvers: dict[str, PowerFlow]) -> None:
    other = renumbered(case33bw, np.random.default_rng(0).permutation(33), np.zeros(37, bool))
    with pytest.raises(nf.InputError, match="another feeder"):
        nf.power_flow(other, *injections(case33bw, 1), method=solvers["lindistflow"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda p, q: (p[:, :5], q[:, :5]), r"p_samples_mw has shape \(8, 5\); expected \(n_samples, 33\)"),
        (lambda p, q: (p, q[:4]), r"q_samples_mvar has shape \(4, 33\)"),
        (lambda p, q: (p[0], q[0]), r"p_samples_mw has shape \(33,\)"),
        (lambda p, q: (p, q * np.nan), "q_samples_mvar holds NaN"),
        (lambda p, q: (p[:0], q[:0]), "sample"),
        (lambda p, q: (100 * p - 50, q), "sample"),
    ],
    ids=["buses", "cases", "one case", "NaN", "none", "none converges"],
)
def test_samples_that_no_fit_can_be_made_from_are_refused(
    case33bw: nf.Feeder, change: Callable[..., Injections], says: str
) -> None:
    with pytest.raises(nf.InputError, match=says):
        nf.calibrate(case33bw, *change(*injections(case33bw, 8)))
