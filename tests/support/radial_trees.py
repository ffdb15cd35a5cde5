"""Trees of every shape, as each node's parent (an earlier node, or -1 at a root), and radial feeders of them."""

from collections.abc import Callable

import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.grid.build import build_feeder

Shape = Callable[[int, np.random.Generator], np.ndarray]


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
SIZES = (1, 7, 8, 9, 40)  # a vector has 8 places: squares of buses, and what is left over
SHAPES_AND_SIZES = [(shape, n) for shape in SHAPES for n in SIZES]
TREES = [  # trees of no shape in all sizes and every shape in one are enough for every day
    pytest.param(shape, n, marks=[] if n == 40 or shape is any_tree else pytest.mark.slow)
    for shape, n in SHAPES_AND_SIZES
]


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
