"""Feeders drawn at random: radial and meshed, of several voltage levels.

A drawn feeder has a structure and values. What is compiled is compiled for a structure, so a quick run draws values
freely and structures out of a few; a slow run draws both.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

import neomflex_jax as nf
from neomflex_jax.grid.build import build_feeder
from neomflex_jax.powerflow import bind

N_CASES = 3
TIGHT = nf.AcConfig(tolerance_pu=1e-13, max_iterations=200)
LEVELS_KV = (110.0, 20.0, 0.4)
SHIFT_DEGREE = (0.0, 150.0)  # of the transformers down to each level but the first
RADIAL, MESHED = (7, 10, 11), (101, 105)  # structures of the quick run


class Structure(NamedTuple):
    """What compiling depends on; branches from parent to bus first, then ties. Buses in the order of their parents."""

    n_bus: int
    order: np.ndarray  # position of each bus in the arrays
    labels: np.ndarray  # of each bus
    parent: np.ndarray  # (n_bus,), -1 at the slack, bus 0
    level: np.ndarray  # (n_bus,), place in LEVELS_KV
    near: np.ndarray  # (n_branch,) end nearer to the slack; listed as `from` unless flipped
    far: np.ndarray
    flipped: np.ndarray
    closed: np.ndarray
    tapped: np.ndarray
    has_charging: bool
    has_taps: bool
    has_shunts: bool


@lru_cache(maxsize=64)
def structure(seed: int) -> Structure:
    """Radial below seed 100, with one to four closed ties otherwise; open ties in both."""
    random = np.random.default_rng(seed)
    meshed = seed >= 100
    n_bus = int(random.integers(5 if meshed else 2, 26))
    parent = np.array([-1] + [int(random.integers(max(0, bus - 6), bus)) for bus in range(1, n_bus)])
    level = np.zeros(n_bus, int)
    level[0] = random.integers(0, 2)
    steps_down = random.choice([0.0, 0.2])  # the chance of a transformer
    for bus in range(1, n_bus):
        level[bus] = min(level[parent[bus]] + (random.random() < steps_down), len(LEVELS_KV) - 1)
    ties = [(a, b) for a in range(n_bus) for b in range(a + 1, n_bus) if level[a] == level[b] and parent[b] != a]
    ties += [(int(parent[bus]), bus) for bus in range(1, n_bus) if level[bus] != level[parent[bus]]]  # parallel ones
    ties = [ties[index] for index in random.permutation(len(ties))[: 6 if meshed else 2]]
    closed_ties = np.arange(len(ties)) < (random.integers(1, 5) if meshed else 0)
    near = np.concatenate([parent[1:], np.array([a for a, _ in ties], int)])
    return Structure(
        n_bus=n_bus,
        order=random.permutation(n_bus),
        labels=random.permutation(4 * n_bus)[:n_bus],
        parent=parent,
        level=level,
        near=near,
        far=np.concatenate([np.arange(1, n_bus), np.array([b for _, b in ties], int)]),
        flipped=random.random(len(near)) < 0.4,
        closed=np.concatenate([np.ones(n_bus - 1, bool), closed_ties]),
        tapped=random.random(len(near)) < 0.5,
        has_charging=random.random() < 0.6,
        has_taps=random.random() < 0.6 or bool((level != level[0]).any()),
        has_shunts=random.random() < 0.6,
    )


def build(drawn: Structure, seed: int, plain: bool = False) -> nf.Feeder:
    """Give a structure values: loads, and impedances that drop some percent on the longest way; `plain` without taps,
    charging and shunts, as far as there are no two levels.
    """
    random = np.random.default_rng(seed)
    n_bus, n_branch = drawn.n_bus, len(drawn.near)
    load = random.uniform(0.05, 1.0, n_bus) * np.array([2.0, 1.0, 0.1])[drawn.level] * (random.random(n_bus) < 0.8)
    below, depth = load + 0.02, np.zeros(n_bus)
    for bus in range(n_bus - 1, 0, -1):
        below[drawn.parent[bus]] += below[bus]
    for bus in range(1, n_bus):
        depth[bus] = depth[drawn.parent[bus]] + 1
    drop = random.uniform(0.1, 1.0, n_branch) * 0.08 / depth.max()
    z = drop / below[drawn.far] * np.exp(1j * random.uniform(0.0 if not plain else 0.1, np.pi / 2, n_branch))
    listed_to = np.where(drawn.flipped, drawn.near, drawn.far)
    kv = np.array(LEVELS_KV)[drawn.level]
    base_ohm = kv[listed_to] ** 2
    away = np.where(drawn.flipped, -1, 1)
    tap = 1.0 + random.uniform(-0.01, 0.01, n_branch) * drawn.tapped
    down = drawn.level[drawn.far] - drawn.level[drawn.near]
    shift = np.array(SHIFT_DEGREE)[np.clip(drawn.level[drawn.far] - 1, 0, 1)] * (down == 1)
    taps, charging, shunts = (has and not plain for has in (drawn.has_taps, drawn.has_charging, drawn.has_shunts))
    names = drawn.labels.tolist()
    starts = np.where(drawn.flipped, drawn.far, drawn.near)
    at = np.argsort(drawn.order)  # bus at each position
    return build_feeder(
        name="drawn",
        bus_labels=drawn.labels[at].tolist(),
        vn_kv=kv[at],
        load_p_mw=load[at],
        load_q_mvar=(load * random.uniform(-0.3, 0.6, n_bus))[at],
        branches=[(names[a], names[b]) for a, b in zip(starts, listed_to, strict=True)],
        r_ohm=z.real * base_ohm,
        x_ohm=z.imag * base_ohm,
        in_service=drawn.closed.tolist(),
        max_i_ka=np.where(random.random(n_branch) < 0.8, random.uniform(0.1, 1.0, n_branch), np.nan),
        g_us=random.uniform(0, 0.002, n_branch) * below[drawn.far] / base_ohm * 1e6 if charging else None,
        b_us=random.uniform(0, 0.1, n_branch) * below[drawn.far] / base_ohm * 1e6 if charging else None,
        ratio=tap**away if taps else np.ones(n_branch) if drawn.has_taps else None,
        shift_degree=shift * away if drawn.has_taps else None,
        shunt_p_mw=(0.05 * load * random.random(n_bus))[at] if shunts else None,
        shunt_q_mvar=(load * random.uniform(-0.4, 0.2, n_bus))[at] if shunts else None,
        slack_bus=names[0],
        slack_vm_pu=float(random.uniform(0.97, 1.05)),
    )


def injections(feeder: nf.Feeder, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of -1 to 1.3 times the nominal loads, and something at the slack."""
    factors = np.random.default_rng([seed, 1]).uniform(-1.0, 1.3, (2, N_CASES, feeder.n_bus))
    p, q = -factors[0] * feeder.load_p_mw, -factors[1] * feeder.load_q_mvar
    p[:, feeder.topology.slack] = 0.3
    return p, q


SEEDS = st.integers(0, 2**32 - 1)
PROPERTY = settings(max_examples=25)
ANY_STRUCTURE = st.integers(0, 99) | st.integers(100, 10**6)


def forms(feeder: nf.Feeder) -> list[tuple[str, str]]:
    radial = [("ac", "tree"), ("ac", "sweep")] if feeder.topology.is_radial else []
    return [("ac", "dense"), *radial, ("newton", "dense")]


def solve(feeder: nf.Feeder, p: Any, q: Any, method: str = "ac", network: str = "dense") -> nf.PowerFlowResult:
    return nf.power_flow(feeder, p, q, method=bind(feeder, method, TIGHT, network=network))
