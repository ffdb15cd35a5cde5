"""The tree form's parts: its pieces, its sums along and below, and the pieces' impedances."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from radial_trees import SHAPES, Shape, any_tree, paths, radial_feeder, shuffled

from neomflex_jax.powerflow import bind
from neomflex_jax.powerflow.network import tree as tree_module
from neomflex_jax.powerflow.network.clusters import cluster_tree
from neomflex_jax.powerflow.network.tree import Links, TreeNetwork, pieces_with_hooks
from neomflex_jax.powerflow.network.tree_sums import SIZE, TreeSums, tree_sums


@settings(max_examples=150)
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


@settings(max_examples=60)
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
