"""Machine code for ratios and shunts of each case's own equals the products that it stands for, derivatives too."""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from radial_trees import SHAPES_AND_SIZES, Shape, any_tree, radial_feeder
from random_feeders import RADIAL, TIGHT, build, structure

import neomflex_jax as nf
from neomflex_jax.powerflow import PowerFlow, bind
from neomflex_jax.powerflow.stopping import AcConfig
from neomflex_jax.powerflow.sweeps import ac_sweep, setting_sweep

TAPS = ((0, 1), (5, 6), (2, 22))
Cases = tuple[np.ndarray, np.ndarray, nf.Setting]  # p, q and what each sets
Answers = dict[str, jax.Array]
TREES = [pytest.param(any_tree, 40), *(pytest.param(*each, marks=pytest.mark.slow) for each in SHAPES_AND_SIZES)]


def drawn(feeder: nf.Feeder, n_cases: int, n_tap: int = len(TAPS)) -> Cases:
    """Injections from feed-in to overload, ratios, and shunts at a third of the buses."""
    random = np.random.default_rng(n_cases)
    factors = random.uniform(-1.0, 1.5, (2, n_cases, feeder.n_bus))
    most = 0.3 * np.abs(feeder.load_q_mvar).max()
    shunt = random.uniform(0.0, most, (n_cases, feeder.n_bus)) * (random.random(feeder.n_bus) < 0.3)
    setting = nf.Setting(jnp.asarray(random.uniform(0.9, 1.1, (n_cases, n_tap))), jnp.asarray(shunt))
    return -factors[0] * feeder.load_p_mw, -factors[1] * feeder.load_q_mvar, setting


def some_taps(feeder: nf.Feeder) -> list[tuple[int, int]]:
    """Every fifth closed branch, by the labels of its ends."""
    topology, labels = feeder.topology, feeder.bus_labels
    ends = zip(topology.from_bus, topology.to_bus, topology.in_service, strict=True)
    pairs = [(labels[start], labels[end]) for start, end, closed in ends if closed]
    return [pair for pair in pairs[::5] if pairs.count(pair) == 1]


def flow_of(solver: PowerFlow, *fields: str) -> Callable[..., Answers]:
    """What a batch has of the fields; less to compile than all of them."""

    def solve(*case: object) -> Answers:
        flow = solver(*case)
        return {name: getattr(flow, name) for name in fields or ("vm_pu", "va_degree", "loss_mw", "slack_q_mvar")}

    return jax.jit(jax.vmap(solve))


def assert_same(solver: PowerFlow, cases: Cases, atol: float) -> None:
    """Tell sweeps from products; of a tight tolerance, for the latter go on until the last of a batch stops."""
    found, wanted = (flow_of(each)(*cases) for each in (solver, solver.by_products()))
    for name, values in found.items():
        np.testing.assert_allclose(values, wanted[name], rtol=10 * atol, atol=atol, err_msg=name)


@pytest.mark.parametrize("n_cases", [1, 4097])
def test_few_cases_and_many_have_the_flow_of_the_products(case33bw: nf.Feeder, n_cases: int, float64: None) -> None:
    assert_same(bind(case33bw, "ac", TIGHT, taps=TAPS), drawn(case33bw, n_cases), atol=1e-12)


def test_voltages_are_the_products_in_single_precision_too(case33bw: nf.Feeder) -> None:
    cases, solver = drawn(case33bw, 4097), bind(case33bw, taps=TAPS)
    found, wanted = (flow_of(each, "vm_pu")(*cases)["vm_pu"] for each in (solver, solver.by_products()))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2.4e-7)  # two units in the last place above 1 pu


@pytest.mark.parametrize(("shape", "n"), TREES)
def test_trees_of_any_shape_and_size_have_the_flow_of_the_products(shape: Shape, n: int, float64: None) -> None:
    feeder = radial_feeder(shape(n, np.random.default_rng(n)), seed=n)
    taps = some_taps(feeder)
    assert_same(bind(feeder, "ac", TIGHT, taps=taps), drawn(feeder, 3, len(taps)), atol=1e-11)


@pytest.mark.parametrize("kind", [RADIAL[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in RADIAL[1:])])
def test_transformers_shunts_and_charging_have_the_flow_of_the_products(kind: int, float64: None) -> None:
    feeder = build(structure(kind), 0)
    taps = some_taps(feeder)
    assert_same(bind(feeder, "ac", TIGHT, taps=taps), drawn(feeder, 9, len(taps)), atol=1e-11)


@pytest.mark.parametrize("left_out", ["tap_ratio", "shunt_mvar"])
def test_ratios_or_shunts_alone_have_the_flow_of_the_products(
    case33bw: nf.Feeder, left_out: str, float64: None
) -> None:
    p, q, setting = drawn(case33bw, 20)
    assert_same(bind(case33bw, "ac", TIGHT, taps=TAPS), (p, q, replace(setting, **{left_out: None})), atol=1e-12)


@pytest.mark.parametrize("outer", [True, False])
def test_two_maps_of_which_one_alone_has_ratios_are_one_call(case33bw: nf.Feeder, outer: bool, float64: None) -> None:
    """What all cases share, or those of one map, is the same as each case's own."""
    p, q, setting = drawn(case33bw, 12)
    p, q, shunt = p.reshape(3, 4, -1), q.reshape(3, 4, -1), setting.shunt_mvar[0]
    ratio = setting.tap_ratio[: 3 if outer else 4]
    solver = bind(case33bw, taps=TAPS)

    def solve(p: jax.Array, q: jax.Array, ratio: jax.Array, shunt: jax.Array) -> jax.Array:
        return solver(p, q, nf.Setting(ratio, shunt)).vm_pu

    axes = (0, 0, None, None), (0, 0, 0, None)
    nested = jax.vmap(jax.vmap(solve, in_axes=axes[not outer]), in_axes=axes[outer])
    assert str(jax.make_jaxpr(nested)(p, q, ratio, shunt)).count("ffi_call[") == 1
    each = jnp.broadcast_to(ratio[:, None] if outer else ratio, (3, 4, len(TAPS)))
    wanted = jax.jit(jax.vmap(jax.vmap(solve)))(p, q, each, jnp.broadcast_to(shunt, p.shape))
    np.testing.assert_allclose(jax.jit(nested)(p, q, ratio, shunt), wanted, rtol=0, atol=1e-14)


@pytest.mark.parametrize("most", [1, 4])
def test_it_stops_where_the_products_stop(case33bw: nf.Feeder, most: int, float64: None) -> None:
    cases, solver = drawn(case33bw, 9), bind(case33bw, "ac", AcConfig(max_iterations=most), taps=TAPS)
    fields = ("vm_pu", "converged", "iterations")
    found, wanted = (flow_of(each, *fields)(*cases) for each in (solver, solver.by_products()))
    for name in fields:
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=1e-12)


def test_a_case_without_a_solution_harms_no_other_of_its_vector(case33bw: nf.Feeder, float64: None) -> None:
    p, q, setting = drawn(case33bw, 20)
    solve, others = flow_of(bind(case33bw, taps=TAPS), "vm_pu", "converged"), np.arange(20) != 5
    alone = solve(p, q, setting)
    for bad in (60.0, 1e200, np.nan):
        worse = [np.where(others[:, None], part, bad * part) for part in (p, q)]
        flow = solve(*worse, setting)
        np.testing.assert_array_equal(flow["converged"], others)
        np.testing.assert_allclose(flow["vm_pu"][others], alone["vm_pu"][others], rtol=0, atol=1e-11)


def test_derivatives_by_all_that_is_set_are_the_products(case33bw: nf.Feeder, float64: None) -> None:
    cases = drawn(case33bw, 5)

    def slopes(solver: PowerFlow) -> tuple[jax.Array, jax.Array, nf.Setting]:
        def cost(p: jax.Array, q: jax.Array, setting: nf.Setting) -> jax.Array:
            flow = jax.vmap(solver)(p, q, setting)
            return jnp.sum(flow.vm_pu**2) + jnp.sum(flow.loss_mw)

        return jax.jit(jax.grad(cost, argnums=(0, 1, 2)))(*cases)

    solver = bind(case33bw, "ac", TIGHT, taps=TAPS)
    for own, other in zip(*(jax.tree.leaves(slopes(each)) for each in (solver, solver.by_products())), strict=True):
        assert float(jnp.abs(other).max()) > 1e-3
        np.testing.assert_allclose(own, other, rtol=1e-9, atol=1e-11)


def test_each_kind_of_case_has_its_kernel(case33bw: nf.Feeder) -> None:
    p, q, setting = drawn(case33bw, 3)
    solver = bind(case33bw, taps=TAPS)
    for own, kernel in ((None, ac_sweep.KERNEL), (nf.Setting(), ac_sweep.KERNEL), (setting, setting_sweep.KERNEL)):
        program = jax.jit(jax.vmap(solver)).lower(p, q, own).as_text()
        called = [each.KERNEL.name for each in (ac_sweep, setting_sweep) if f"@{each.KERNEL.name}_float32" in program]
        assert called == [kernel.name]
