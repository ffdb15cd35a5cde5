"""The tree form equals the dense form, is taken where it is the faster, and its cost is linear in the buses."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr
from radial_trees import SHAPES, Shape, any_tree, chain, radial_feeder
from result_fields import FIELDS

import neomflex_jax as nf
from neomflex_jax.grid.build import build_feeder
from neomflex_jax.powerflow import bind
from neomflex_jax.powerflow.network.dense import DenseNetwork
from neomflex_jax.powerflow.network.form import TREE_FROM_BUSES
from neomflex_jax.powerflow.network.tree import TreeNetwork

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from synthetic_feeder import benchmark_feeder


def assert_tree_equals_dense(feeder: nf.Feeder) -> None:
    factors = np.random.default_rng(1).uniform(-1.0, 1.5, (2, 3, feeder.n_bus))
    p, q = -factors[0] * feeder.load_p_mw, -factors[1] * feeder.load_q_mvar
    answers = [nf.power_flow(feeder, p, q, method=bind(feeder, "ac", network=form)) for form in ("dense", "tree")]
    assert bool(answers[0].converged.all())
    assert float(answers[1].residual_mva.max()) < 1e-8
    for name in FIELDS:
        dense, tree = (np.asarray(getattr(flow, name)) for flow in answers)
        np.testing.assert_allclose(tree, dense, rtol=1e-9, atol=1e-8, err_msg=name)


@pytest.mark.parametrize("name", ["case69", "case141"])
def test_published_feeders_have_the_same_flow_in_both_forms(name: str, float64: None) -> None:
    assert_tree_equals_dense(nf.load_feeder(name))


@pytest.mark.parametrize(("shape", "n"), [(chain, 1), (any_tree, 150)])
def test_drawn_feeders_have_the_same_flow_in_both_forms(shape: Shape, n: int, float64: None) -> None:
    assert_tree_equals_dense(radial_feeder(shape(n, np.random.default_rng(n)), seed=n))


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [2, 31, 32, 33, 64, 65, 500])
def test_feeders_of_any_shape_and_size_have_the_same_flow_in_both_forms(shape: Shape, n: int, float64: None) -> None:
    assert_tree_equals_dense(radial_feeder(shape(n, np.random.default_rng(n)), seed=n))


@pytest.mark.parametrize("method", ["lindistflow", "dc"])
def test_linear_methods_have_the_same_flow_in_both_forms(method: str, float64: None) -> None:
    feeder = nf.load_feeder("case69")
    p, q = -feeder.load_p_mw, -feeder.load_q_mvar
    dense, tree = (nf.power_flow(feeder, p, q, method=bind(feeder, method, network=form)) for form in ("dense", "tree"))
    for name in FIELDS:
        np.testing.assert_allclose(getattr(tree, name), getattr(dense, name), rtol=1e-9, atol=1e-9, err_msg=name)


# ---- which form ----


def test_auto_takes_the_tree_for_big_radial_feeders_alone() -> None:
    def drawn(n_bus: int) -> nf.Feeder:
        return radial_feeder(any_tree(n_bus - 1, np.random.default_rng(0)), seed=0)

    small, big = drawn(TREE_FROM_BUSES - 1), drawn(TREE_FROM_BUSES)
    assert isinstance(bind(small).grid.network, DenseNetwork)
    assert isinstance(bind(big).grid.network, TreeNetwork)
    assert isinstance(bind(small, network="tree").grid.network, TreeNetwork)
    assert isinstance(bind(big, network="dense").grid.network, DenseNetwork)
    assert isinstance(bind(meshed(big)).grid.network, DenseNetwork)
    for method in ("newton", "lindistflow", "dc"):
        assert isinstance(bind(big, method).grid.network, TreeNetwork)


def meshed(feeder: nf.Feeder) -> nf.Feeder:
    """Close one loop, by a line between the first bus and the last."""
    labels, topology = feeder.bus_labels, feeder.topology
    ends = zip(topology.from_bus, topology.to_bus, strict=True)
    return build_feeder(
        name="ring",
        bus_labels=labels,
        vn_kv=feeder.vn_kv,
        load_p_mw=feeder.load_p_mw,
        load_q_mvar=feeder.load_q_mvar,
        branches=[*((labels[a], labels[b]) for a, b in ends), (labels[0], labels[-1])],
        r_ohm=[*feeder.r_ohm, 1.0],
        x_ohm=[*feeder.x_ohm, 1.0],
        slack_bus=labels[topology.slack],
    )


@pytest.mark.parametrize("method", ["ac", "newton", "lindistflow"])
def test_a_tree_of_a_meshed_feeder_is_refused_naming_the_branch(method: str) -> None:
    ring = meshed(radial_feeder(chain(2, np.random.default_rng(0)), seed=0))  # three buses, three lines
    with pytest.raises(nf.InputError, match=r"'ring' is not radial: branch \d+-\d+ closes a loop.*'dense'") as error:
        bind(ring, method, network="tree")
    ends = zip(ring.topology.from_bus, ring.topology.to_bus, strict=True)
    assert any(f"branch {ring.bus_labels[a]}-{ring.bus_labels[b]} " in str(error.value) for a, b in ends)


def test_an_unknown_form_lists_the_known_ones(case33bw: nf.Feeder) -> None:
    with pytest.raises(nf.InputError, match="network = 'sparse' must be one of auto, sweep, dense, tree"):
        bind(case33bw, "ac", network="sparse")


# ---- cost ----

N_CASES = 4
ELEMENTS_A_BUS = 64  # more than any array of bus values needs, two orders of magnitude below n_bus


def jaxpr_of(feeder: nf.Feeder, method: str = "ac") -> ClosedJaxpr:
    solver = bind(feeder, method)
    assert isinstance(solver.grid.network, TreeNetwork)
    nothing = jnp.zeros((N_CASES, feeder.n_bus))
    return jax.make_jaxpr(jax.vmap(solver))(nothing, nothing)


def equations(jaxpr: Jaxpr) -> Iterator[Any]:
    """All operations, those inside loops and calls included."""
    for equation in jaxpr.eqns:
        yield equation
        inner = jax.tree.leaves(equation.params, is_leaf=lambda value: isinstance(value, Jaxpr | ClosedJaxpr))
        for value in inner:
            if isinstance(value, Jaxpr | ClosedJaxpr):
                yield from equations(value.jaxpr if isinstance(value, ClosedJaxpr) else value)


@pytest.mark.parametrize("method", ["ac", "lindistflow"])
def test_no_array_of_a_big_radial_feeder_grows_with_its_square(method: str) -> None:
    feeder = benchmark_feeder(2000)
    leaves = jax.tree.leaves(bind(feeder, method))
    assert max(leaf.size for leaf in leaves) <= ELEMENTS_A_BUS * feeder.n_bus
    traced = jaxpr_of(feeder, method)
    sizes = [variable.aval.size for equation in equations(traced.jaxpr) for variable in equation.outvars]
    assert len(sizes) > 100
    assert max(sizes) <= ELEMENTS_A_BUS * feeder.n_bus * N_CASES


def test_the_walk_would_notice_a_square_array() -> None:
    feeder = benchmark_feeder(2000)
    solver = bind(feeder, "lindistflow", network="dense")
    assert max(leaf.size for leaf in jax.tree.leaves(solver)) > ELEMENTS_A_BUS * feeder.n_bus


def multiply_adds(jaxpr: Jaxpr) -> int:
    """Of all dense products, a loop's body counted once."""
    total = 0
    for equation in equations(jaxpr):
        if equation.primitive.name == "dot_general":
            contracted = equation.params["dimension_numbers"][0][0]
            left = equation.invars[0].aval.shape
            total += equation.outvars[0].aval.size * int(np.prod([left[axis] for axis in contracted]))
    return total


def test_work_grows_linearly_with_the_buses() -> None:
    few, many = (multiply_adds(jaxpr_of(benchmark_feeder(n_bus)).jaxpr) for n_bus in (2000, 10_000))
    assert few > 2000 * N_CASES
    assert many <= few * 5**1.15
