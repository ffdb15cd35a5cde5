"""The tree form: its pieces, its sums, that it equals the dense form, and that its cost is linear in the buses."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.extend.core import ClosedJaxpr, Jaxpr

import neomflex_jax as nf
from neomflex_jax.grid.build import build_feeder
from neomflex_jax.powerflow import bind
from neomflex_jax.powerflow import tree as tree_module
from neomflex_jax.powerflow.clusters import cluster_tree
from neomflex_jax.powerflow.dense import DenseNetwork
from neomflex_jax.powerflow.per_unit import TREE_FROM_BUSES, TREE_FROM_BUSES_OTHERWISE
from neomflex_jax.powerflow.tree import Links, TreeNetwork, pieces_with_hooks
from neomflex_jax.powerflow.tree_sums import SIZE, TreeSums, tree_sums

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

from synthetic_feeder import benchmark_feeder

Shape = Callable[[int, np.random.Generator], np.ndarray]


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Iterator[None]:
    """Have XLA leave most of its optimizations out: here compiling takes all the time, and running none."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


# ---- trees, as each node's parent, an earlier node or -1 at a root ----


def chain(n: int, random: np.random.Generator) -> np.ndarray:
    return np.arange(n) - 1


def star(n: int, random: np.random.Generator) -> np.ndarray:
    return np.where(np.arange(n) == 0, -1, 0)


def all_at_the_slack(n: int, random: np.random.Generator) -> np.ndarray:
    return np.full(n, -1)


def caterpillar(n: int, random: np.random.Generator) -> np.ndarray:
    """A line with one leaf on each of its nodes."""
    return np.where(np.arange(n) % 2 == 1, np.arange(n) - 1, np.arange(n) - 2).clip(-1)


def binary(n: int, random: np.random.Generator) -> np.ndarray:
    return (np.arange(n) + 1) // 2 - 1


def broom(n: int, random: np.random.Generator) -> np.ndarray:
    """A line that ends in a star."""
    return np.minimum(np.arange(n) - 1, n // 2)


def any_tree(n: int, random: np.random.Generator) -> np.ndarray:
    return np.array([random.integers(-1, node) if node else -1 for node in range(n)])


SHAPES = (chain, star, all_at_the_slack, caterpillar, binary, broom, any_tree)


def shuffled(parent: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Give the nodes other numbers; the second array lists them, parents first."""
    new = random.permutation(len(parent))
    renamed = np.empty_like(parent)
    renamed[new] = np.where(parent < 0, -1, new[parent])
    return renamed, new


def paths(parent: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Matrix with 1 where the column's node lies on the way from the root to the row's, itself included."""
    found = np.eye(len(parent))
    for node in order:
        if parent[node] >= 0:
            found[node] += found[parent[node]]
    return found


@settings(max_examples=150, deadline=None, derandomize=True)
@given(shape=st.sampled_from(SHAPES), n=st.integers(1, 500), size=st.integers(2, SIZE), seed=st.integers(0, 2**32 - 1))
def test_every_node_is_in_one_slot_of_one_piece(shape: Shape, n: int, size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    parent, order = shuffled(shape(n, random), random)
    pieces = cluster_tree(parent, order, size)
    n_piece = len(pieces.nodes)
    assert pieces.nodes.shape == (n_piece, size)
    np.testing.assert_array_equal(np.sort(pieces.nodes[pieces.nodes < n]), np.arange(n))
    assert (pieces.nodes[pieces.nodes >= n] == n).all()
    np.testing.assert_array_equal(pieces.nodes.ravel()[pieces.slot], np.arange(n))
    of_node, slot = pieces.slot // size, pieces.slot % size
    above = parent >= 0
    assert (slot[parent[above]] < slot[above])[of_node[parent[above]] == of_node[above]].all()
    leaves = above & (of_node != np.where(above, of_node[parent], -1))  # nodes whose parent is in another piece
    np.testing.assert_array_equal(pieces.parent[of_node[leaves]], of_node[parent[leaves]])
    np.testing.assert_array_equal(pieces.parent_slot[of_node[leaves]], slot[parent[leaves]])
    np.testing.assert_array_equal(pieces.parent[of_node[~above]], -1)
    assert (pieces.parent < np.arange(n_piece)).all()
    on_the_way = paths(parent, order)
    for piece, nodes in enumerate(pieces.nodes):
        filled = np.flatnonzero(nodes < n)
        inside = nodes[filled]
        np.testing.assert_array_equal(
            pieces.path[piece][np.ix_(filled, filled)], on_the_way[np.ix_(inside, inside)], err_msg=str(piece)
        )
        assert pieces.path[piece].sum() == on_the_way[np.ix_(inside, inside)].sum()


def depth(sums: TreeSums) -> int:
    return 1 + (depth(sums.above) if isinstance(sums.above, TreeSums) else 0)


def assert_sums_are_right(sums: TreeSums, parent: np.ndarray, order: np.ndarray, random: np.random.Generator) -> None:
    on_the_way = paths(parent, order)
    sums = jax.tree.map(jnp.asarray, sums)
    values = random.normal(size=(len(parent), 2))

    @jax.jit
    def all_of_them(sums: TreeSums, values: jax.Array) -> tuple[jax.Array, ...]:
        inner = sums.enter(values)
        return sums.leave(inner), sums.leave(sums.below(inner)), sums.leave(sums.along(inner))

    same, below, along = all_of_them(sums, values)
    np.testing.assert_array_equal(same, values)
    np.testing.assert_allclose(below, on_the_way.T @ values, atol=1e-10)
    np.testing.assert_allclose(along, on_the_way @ values, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("size", "n"),
    [(8, 61), *(pytest.param(size, n, marks=pytest.mark.slow) for size in (2, 3, SIZE) for n in (1, 2, 61, 300))],
)
def test_sums_below_and_along_are_those_of_the_tree(shape: Shape, size: int, n: int, float64: None) -> None:
    random = np.random.default_rng(size)
    parent, order = shuffled(shape(n, random), random)
    assert_sums_are_right(tree_sums(parent, order, size), parent, order, random)


@pytest.mark.parametrize(("size", "levels"), [pytest.param(2, 4, marks=pytest.mark.slow), (4, 3), (SIZE, 1)])
def test_sums_are_right_at_every_depth_of_the_recursion(size: int, levels: int, float64: None) -> None:
    random = np.random.default_rng(size)
    parent, order = shuffled(any_tree(500, random), random)
    sums = tree_sums(parent, order, size)
    assert depth(sums) >= levels
    assert_sums_are_right(sums, parent, order, random)


# ---- the pieces' impedances ----


@settings(max_examples=60, deadline=None, derandomize=True)
@given(shape=st.sampled_from(SHAPES), n=st.integers(1, 300), size=st.integers(2, SIZE), seed=st.integers(0, 2**32 - 1))
def test_pieces_leave_room_for_a_hook_wherever_another_hangs(shape: Shape, n: int, size: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    pieces, hooked = pieces_with_hooks(*shuffled(shape(n, random), random), size)
    assert pieces.nodes.shape[1] + max(len(slots) for slots in hooked) <= size
    expected = {
        (int(a), int(b)) for a, b in zip(pieces.parent, pieces.parent_slot, strict=True) if a >= 0
    }  # where pieces hang
    assert {(piece, slot) for piece, slots in enumerate(hooked) for slot in slots} == expected
    assert sum(len(slots) for slots in hooked) == len(expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("n", "dense_links"),
    [(1, 128), (60, 128), (60, 0), *(pytest.param(700, m, marks=pytest.mark.slow) for m in (128, 0))],
)
def test_currents_make_the_rises_and_flows_of_the_dense_matrix(
    shape: Shape, n: int, dense_links: int, monkeypatch: pytest.MonkeyPatch, float64: None
) -> None:
    monkeypatch.setattr(tree_module, "DENSE_LINKS", dense_links)
    feeder = radial_feeder(shape(n, np.random.default_rng(n)), seed=n)
    dense, tree = (bind(feeder, "ac", network=form).grid.network for form in ("dense", "tree"))
    assert isinstance(tree, TreeNetwork)
    assert isinstance(tree.links, Links) == (len(tree.r) * tree.hooks > dense_links)
    current = np.random.default_rng(0).normal(size=(2, 3, n))

    def answers(network: Any) -> list[jax.Array]:
        real, imaginary = (network.enter(part) for part in current)
        rises = (*network.drop(real, imaginary), *network.linear_drop(real, imaginary))
        return [network.leave(rise) for rise in rises] + list(network.flows(real, imaginary))

    for own, other in zip(jax.jit(answers)(tree), jax.jit(answers)(dense), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-9, atol=1e-11 * float(jnp.abs(other).max()))


def test_what_lies_in_hooks_and_empty_slots_is_nobodys_current(float64: None) -> None:
    """Derivatives put numbers there."""
    feeder = radial_feeder(any_tree(60, np.random.default_rng(3)), seed=3)
    network = bind(feeder, "ac", network="tree").grid.network
    assert isinstance(network, TreeNetwork)
    assert network.hooks > 0
    current = jnp.asarray(np.random.default_rng(0).normal(size=feeder.n_bus - 1))
    inside = network.enter(current)
    strewn = inside.at[:, SIZE - network.hooks :].set(7.0)
    for clean, other in zip(network.drop(inside, -inside), network.drop(strewn, -strewn), strict=True):
        np.testing.assert_array_equal(network.leave(clean), network.leave(other))


# ---- the same answers as the dense form ----

FIELDS = tuple(nf.PowerFlowResult.__dataclass_fields__)


def radial_feeder(parent: np.ndarray, seed: int) -> nf.Feeder:
    """Lines from bus to bus, the slack listed neither first nor last, lines listed in either direction."""
    random = np.random.default_rng(seed)
    n = len(parent) + 1
    slack = n // 2
    labels = random.permutation(3 * n)[:n]
    bus = np.delete(np.arange(n), slack)
    ends = [(slack if above < 0 else bus[above], bus[node]) for node, above in enumerate(parent)]
    on_the_way = paths(parent, np.arange(n - 1))
    load = random.uniform(0.1, 1.0, n) * (random.random(n) < 0.8)
    below = on_the_way.T @ load[bus] + 0.1
    z = random.uniform(0.2, 1.0, n - 1) * 0.1 / below / on_the_way.sum(1).max()  # at most 10 % over the longest way
    flip = random.random(n - 1) < 0.5
    return build_feeder(
        name="drawn",
        bus_labels=labels.tolist(),
        vn_kv=[10.0] * n,
        load_p_mw=load,
        load_q_mvar=0.4 * load * random.uniform(-0.5, 1.0, n),
        branches=[
            (labels[b], labels[a]) if f else (labels[a], labels[b]) for (a, b), f in zip(ends, flip, strict=True)
        ],
        r_ohm=z * 100.0,
        x_ohm=z * 100.0 * random.uniform(0.3, 2.0, n - 1),
        max_i_ka=[0.3] * (n - 1),
        slack_bus=int(labels[slack]),
        slack_vm_pu=1.02,
    )


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
        assert isinstance(bind(big, method).grid.network, DenseNetwork)
        assert isinstance(bind(drawn(TREE_FROM_BUSES_OTHERWISE), method).grid.network, TreeNetwork)


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
    with pytest.raises(nf.InputError, match="network = 'sparse' must be one of auto, dense, tree"):
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
