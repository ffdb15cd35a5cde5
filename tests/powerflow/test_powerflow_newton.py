"""Newton's method where the fixed point gives up: next to voltage collapse, at it, and beyond it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference_flow import solve_reference

import neomflex_jax as nf
from neomflex_jax.powerflow import PowerFlow, bind

COLLAPSE = 3.62218413  # times case33bw's nominal load; `test_the_collapse_is_where_we_say` finds it again
FORMS = ("dense", "tree")
VM_PU = 1e-9


@pytest.fixture(scope="module")
def solvers(case33bw: nf.Feeder) -> Callable[..., PowerFlow]:
    """Bind once for each method, form and precision, so that each is compiled once."""
    made: dict[tuple[str, str, bool], PowerFlow] = {}

    def solver(method: str, network: str = "dense", double: bool = True) -> PowerFlow:
        key = (method, network, double)
        if key not in made:
            with jax.enable_x64(double):
                made[key] = bind(case33bw, method, network=network)
        return made[key]

    return solver


def loads(feeder: nf.Feeder, *multiples: float) -> tuple[np.ndarray, np.ndarray]:
    """Injections of the nominal loads times each of the multiples."""
    factor = np.array(multiples)[:, None]
    return -factor * feeder.load_p_mw, -factor * feeder.load_q_mvar


def reference_converges(feeder: nf.Feeder, multiple: float) -> bool:
    (p,), (q,) = loads(feeder, multiple)
    try:
        flow = solve_reference(feeder, p, q)
    except np.linalg.LinAlgError:
        return False
    return flow.residual_mva < 1e-8 and bool(flow.vm_pu.min() > 0.3)  # the other solution is at lower voltage


def test_the_collapse_is_where_we_say(case33bw: nf.Feeder) -> None:
    low, high = 3.0, 4.5
    with np.errstate(all="ignore"):
        while high - low > 1e-7:
            middle = (low + high) / 2
            low, high = (middle, high) if reference_converges(case33bw, middle) else (low, middle)
    assert low == pytest.approx(COLLAPSE, abs=1e-6)


@pytest.mark.parametrize("network", FORMS)
@pytest.mark.parametrize("multiple", [1.0, 3.4, 0.99 * COLLAPSE, 0.999 * COLLAPSE, 0.9999 * COLLAPSE])
def test_newton_equals_the_reference_up_to_the_collapse(
    case33bw: nf.Feeder, solvers: Callable[..., PowerFlow], network: str, multiple: float, float64: None
) -> None:
    (p,), (q,) = loads(case33bw, multiple)
    flow, reference = nf.power_flow(case33bw, p, q, method=solvers("newton", network)), solve_reference(case33bw, p, q)
    assert reference.residual_mva < 1e-10
    assert bool(flow.converged)
    assert float(flow.residual_mva) < 1e-10
    # a voltage answers to the mismatch by 1 / sqrt(distance to collapse)
    np.testing.assert_allclose(flow.vm_pu, reference.vm_pu, rtol=0, atol=VM_PU)
    np.testing.assert_allclose(flow.va_degree, reference.va_degree, rtol=0, atol=100 * VM_PU)
    assert float(flow.loss_mw) == pytest.approx(reference.loss_mw, abs=1e-7)
    assert float(flow.slack_q_mvar) == pytest.approx(reference.slack_q_mvar, abs=1e-7)


@pytest.mark.parametrize("network", FORMS)
def test_newton_finds_what_the_fixed_point_does_not(
    case33bw: nf.Feeder, solvers: Callable[..., PowerFlow], network: str, float64: None
) -> None:
    """By default `ac` reaches 0.99 of the collapse, in 78 evaluations; half as far away from it again, it gives up."""
    p, q = loads(case33bw, 0.99 * COLLAPSE, 0.995 * COLLAPSE, 0.999 * COLLAPSE)
    fixed_point = nf.power_flow(case33bw, p, q, method=solvers("ac", network))
    newton = nf.power_flow(case33bw, p, q, method=solvers("newton", network))
    np.testing.assert_array_equal(fixed_point.converged, [True, False, False])
    np.testing.assert_array_equal(newton.converged, [True, True, True])
    np.testing.assert_allclose(newton.vm_pu[0], fixed_point.vm_pu[0], rtol=0, atol=1e-9)
    assert int(newton.iterations.max()) < 20


@pytest.mark.parametrize("double", [True, False], ids=["float64", "float32"])
@pytest.mark.parametrize("method", ["ac", "newton"])
@pytest.mark.parametrize("network", FORMS)
def test_beyond_the_collapse_a_case_is_flagged_and_the_rest_of_the_batch_is_unharmed(
    case33bw: nf.Feeder, solvers: Callable[..., PowerFlow], network: str, method: str, double: bool
) -> None:
    multiples = (1.0, 4.0, 2.0, 1.01 * COLLAPSE, 3.3, 30.0, 0.0)
    with jax.enable_x64(double):
        p, q = loads(case33bw, *multiples)
        flow = nf.power_flow(case33bw, p, q, method=solvers(method, network, double))
        np.testing.assert_array_equal(flow.converged, [True, False, True, False, True, False, True])
        fine = np.flatnonzero(np.asarray(flow.converged))
        for case in fine:
            reference = solve_reference(case33bw, p[case], q[case])
            np.testing.assert_allclose(
                np.asarray(flow.vm_pu[case], np.float64), reference.vm_pu, rtol=0, atol=VM_PU if double else 2e-5
            )
        assert float(flow.residual_mva[fine].max()) < (1e-9 if double else 1e-4)
        assert (np.asarray(flow.residual_mva)[[1, 3]] > 1e-3).all()


def limited(feeder: nf.Feeder, network: str, most: int) -> nf.PowerFlowResult:
    """Solve next to the collapse, where it takes some 13 iterations, with a limit on them."""
    (p,), (q,) = loads(feeder, 0.999 * COLLAPSE)
    return nf.power_flow(feeder, p, q, method=bind(feeder, "newton", nf.AcConfig(max_iterations=most), network=network))


@pytest.mark.parametrize("network", ["dense", pytest.param("tree", marks=pytest.mark.slow)])
def test_too_few_iterations_are_flagged_and_the_residual_says_how_far_off(
    case33bw: nf.Feeder, network: str, float64: None
) -> None:
    flows = [limited(case33bw, network, most) for most in (9, 10, 100)]
    np.testing.assert_array_equal([bool(flow.converged) for flow in flows], [False, False, True])
    residuals = [float(flow.residual_mva) for flow in flows]
    assert residuals[0] > 2 * residuals[1] > 4 * residuals[2]
    assert residuals[1] > 1e-9


@pytest.mark.parametrize("most", [1, 9])
def test_newton_keeps_to_any_iteration_limit(case33bw: nf.Feeder, most: int, float64: None) -> None:
    flow = limited(case33bw, "dense", most)
    assert not bool(flow.converged)
    assert int(flow.iterations) == most


def test_no_load_is_solved_at_once(case33bw: nf.Feeder, solvers: Callable[..., PowerFlow], float64: None) -> None:
    flow = nf.power_flow(case33bw, *loads(case33bw, 0.0), method=solvers("newton"))
    assert bool(flow.converged.all())
    assert int(flow.iterations[0]) <= 4
    np.testing.assert_array_equal(flow.vm_pu, 1.0)


# ---- derivatives ----


def summary(solver: PowerFlow, feeder: nf.Feeder) -> Callable[[jax.Array], jax.Array]:
    """Lowest bus's voltage and the losses, by the multiple of the nominal load at every bus, active and reactive."""

    def at(multiple: jax.Array) -> jax.Array:
        flow = solver(-multiple[0] * feeder.load_p_mw, -multiple[1] * feeder.load_q_mvar)
        return jnp.stack([flow.vm_pu[17], flow.loss_mw])

    return at


@pytest.mark.slow
@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev], ids=["forward", "reverse"])
@pytest.mark.parametrize("network", FORMS)
def test_derivatives_next_to_the_collapse_equal_finite_differences(
    case33bw: nf.Feeder,
    solvers: Callable[..., PowerFlow],
    network: str,
    mode: Callable[..., Callable[[jax.Array], jax.Array]],
    float64: None,
) -> None:
    close = 0.999 * COLLAPSE * np.ones((2, 33))
    at = summary(solvers("newton", network), case33bw)
    found = jax.jit(mode(at))(close)  # (2, 2, 33)
    random = np.random.default_rng(3)
    directions, step = random.normal(size=(3, 2, 33)), 1e-5
    shifted = jax.jit(jax.vmap(at))(np.concatenate([close + step * directions, close - step * directions]))
    expected = (shifted[:3] - shifted[3:]) / (2 * step)
    along = np.einsum("oij,dij->do", found, directions)
    np.testing.assert_allclose(along, expected, rtol=1e-4)
    steepness = np.asarray(found).sum((1, 2))[0]
    assert steepness < -1.0  # at nominal load it is -0.1: the test is where it says it is
