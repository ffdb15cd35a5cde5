"""Laws that every answer obeys, on feeders drawn at random: radial and meshed, of several voltage levels.

A drawn feeder has a structure and values. What is compiled is compiled for a structure, so the quick run draws values
freely and structures out of a few; the slow run draws both.
"""

import dataclasses
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from reference_flow import ReferenceFlow, branch_admittances, solve_reference

import neomflex_jax as nf
from neomflex_jax.grid.build import build_feeder
from neomflex_jax.powerflow import bind
from neomflex_jax.powerflow.fixed_point import evaluate

N_CASES = 3
TIGHT = nf.AcConfig(tolerance_pu=1e-13, max_iterations=200)
FIELDS = tuple(nf.PowerFlowResult.__dataclass_fields__)
LEVELS_KV = (110.0, 20.0, 0.4)
SHIFT_DEGREE = (0.0, 150.0)  # of the transformers down to each level but the first
RADIAL, MESHED = (7, 10, 11), (101, 105)  # structures of the quick run


@pytest.fixture(scope="module", autouse=True)
def double_precision_quickly_compiled() -> Iterator[None]:
    """Have XLA leave most of its optimizations out: here compiling takes all the time, and running none."""
    jax.config.update("jax_disable_most_optimizations", True)
    with jax.enable_x64(True):
        yield
    jax.config.update("jax_disable_most_optimizations", False)


# ---- drawing ----


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
PROPERTY = settings(max_examples=25, deadline=None, derandomize=True)
ANY_STRUCTURE = st.integers(0, 99) | st.integers(100, 10**6)


def forms(feeder: nf.Feeder) -> list[tuple[str, str]]:
    radial = [("ac", "tree")] if feeder.topology.is_radial else []
    return [("ac", "dense"), *radial, ("newton", "dense")]


def solve(feeder: nf.Feeder, p: Any, q: Any, method: str = "ac", network: str = "dense") -> nf.PowerFlowResult:
    return nf.power_flow(feeder, p, q, method=bind(feeder, method, TIGHT, network=network))


# ---- what is drawn ----


def test_the_drawn_structures_have_all_parts() -> None:
    drawn = [build(structure(seed), 0) for seed in (*RADIAL, *MESHED)]
    assert {feeder.topology.is_radial for feeder in drawn} == {True, False}
    for part in ("charging", "transformers", "shunts"):
        assert {getattr(feeder, part) is None for feeder in drawn} == {True, False}, part
    assert max(len(np.unique(feeder.vn_kv)) for feeder in drawn) == 3
    assert any(not all(feeder.topology.in_service) for feeder in drawn)
    loops_with_transformers = [
        feeder for feeder in drawn if not feeder.topology.is_radial and feeder.transformers is not None
    ]
    assert loops_with_transformers
    assert min(feeder.n_bus for feeder in drawn) < 6
    assert max(feeder.n_bus for feeder in drawn) > 20


# ---- the right answer ----


def assert_equals_reference(flow: nf.PowerFlowResult, references: list[ReferenceFlow]) -> None:
    for name, atol in {
        "vm_pu": 1e-9,
        "va_degree": 1e-7,
        "loss_mw": 1e-9,
        "slack_p_mw": 1e-8,
        "slack_q_mvar": 1e-8,
        "loading_percent": 1e-6,
    }.items():
        found = np.asarray(getattr(flow, "branch_loading_percent" if name == "loading_percent" else name))
        expected = np.array([getattr(reference, name) for reference in references])
        if name == "va_degree":
            found, expected = (found - expected + 180) % 360 - 180, np.zeros_like(expected)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=atol, err_msg=name)


def assert_power_balances(feeder: nf.Feeder, flow: nf.PowerFlowResult, p: np.ndarray, q: np.ndarray) -> None:
    """By the answer's voltages and the feeder: what comes in is what the branches and the shunts consume."""
    v = np.asarray(flow.vm_pu) * np.exp(1j * np.deg2rad(np.asarray(flow.va_degree)))
    at_ends = v[:, np.stack([feeder.topology.from_bus, feeder.topology.to_bus], axis=-1)]
    drawn = at_ends * np.conj(np.einsum("bij,cbj->cbi", branch_admittances(feeder), at_ends))  # (n_case, n_branch, 2)
    by_shunts = 0j
    if feeder.shunts is not None:
        by_shunts = np.abs(v) ** 2 @ (feeder.shunts.p_mw + 1j * feeder.shunts.q_mvar)
    supplied = np.asarray(flow.slack_p_mw) + 1j * np.asarray(flow.slack_q_mvar) + (p + 1j * q).sum(1)
    np.testing.assert_allclose(supplied, drawn.sum((1, 2)) + by_shunts, rtol=0, atol=1e-9)
    np.testing.assert_allclose(flow.loss_mw, drawn.sum((1, 2)).real, rtol=0, atol=1e-9)


def assert_is_right(structure_seed: int, value_seed: int) -> None:
    feeder = build(structure(structure_seed), value_seed)
    p, q = injections(feeder, value_seed)
    references = [solve_reference(feeder, *case) for case in zip(p, q, strict=True)]
    assert max(reference.residual_mva for reference in references) < 1e-9
    for method, network in forms(feeder):
        flow = solve(feeder, p, q, method, network)
        assert bool(flow.converged.all())
        assert float(flow.residual_mva.max()) < 1e-9
        assert_equals_reference(flow, references)
        assert_power_balances(feeder, flow, p, q)


@PROPERTY
@given(structure_seed=st.sampled_from([*RADIAL, *MESHED]), value_seed=SEEDS)
def test_exact_methods_equal_the_reference_and_balance_power(structure_seed: int, value_seed: int) -> None:
    assert_is_right(structure_seed, value_seed)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(structure_seed=ANY_STRUCTURE, value_seed=SEEDS)
def test_exact_methods_are_right_on_any_structure(structure_seed: int, value_seed: int) -> None:
    assert_is_right(structure_seed, value_seed)


# ---- linear methods ----

SCALES = np.array([1e-2, 1e-3])


def assert_second_order(off: np.ndarray) -> None:
    """Errors (n_scale,) shrink with the square of the scale, or with more."""
    assert off[1] <= 0.011 * off[0] + 1e-11


@PROPERTY
@given(structure_seed=st.sampled_from([7, 10, 104]), value_seed=SEEDS)
def test_linear_methods_become_exact_as_the_load_vanishes(structure_seed: int, value_seed: int) -> None:
    feeder = build(structure(structure_seed), value_seed, plain=True)
    (p, *_), (q, *_) = injections(feeder, value_seed)
    linear = nf.power_flow(feeder, SCALES[:, None] * p, SCALES[:, None] * q, method="lindistflow")
    exact = [solve_reference(feeder, scale * p, scale * q) for scale in SCALES]
    for name in ("vm_pu", "va_degree", "loss_mw"):
        errors = [getattr(linear, name)[case] - getattr(exact[case], name) for case in (0, 1)]
        turned = [(np.asarray(error) + 180) % 360 - 180 for error in errors]
        assert_second_order(np.array([np.abs(error).max() for error in turned]))
    no_resistance = dataclasses.replace(feeder, r_ohm=0.0 * feeder.r_ohm, x_ohm=feeder.x_ohm + feeder.r_ohm)
    angles = nf.power_flow(no_resistance, SCALES[:, None] * p, 0.0, method="dc").va_degree
    exact = [solve_reference(no_resistance, scale * p, 0.0 * q) for scale in SCALES]
    errors = [(np.asarray(angles[case]) - exact[case].va_degree + 180) % 360 - 180 for case in (0, 1)]
    assert_second_order(np.array([np.abs(error).max() for error in errors]))


# ---- names, order, direction and base do not matter ----


def redrawn(drawn: Structure) -> Structure:
    """The same feeder: buses in another order with other labels, plain lines listed from the other end."""
    random = np.random.default_rng(drawn.n_bus)
    plain = (drawn.level[drawn.near] == drawn.level[drawn.far]) & ~drawn.tapped
    return drawn._replace(
        order=random.permutation(drawn.n_bus),
        labels=1000 + random.permutation(drawn.n_bus) * 3,
        flipped=np.where(plain, ~drawn.flipped, drawn.flipped),
    )


@PROPERTY
@given(structure_seed=st.sampled_from([7, 104]), value_seed=SEEDS)
def test_order_names_and_direction_do_not_matter(structure_seed: int, value_seed: int) -> None:
    drawn = structure(structure_seed)
    one, other = build(drawn, value_seed), build(redrawn(drawn), value_seed)
    assert one.topology != other.topology
    p, q = injections(one, value_seed)
    to_other = np.array([np.flatnonzero(drawn.order == at)[0] for at in range(drawn.n_bus)])  # bus at each position
    place = redrawn(drawn).order[to_other]  # position there of what is at each position here
    other_p, other_q = np.empty_like(p), np.empty_like(q)
    other_p[:, place], other_q[:, place] = p, q
    network = "tree" if one.topology.is_radial else "dense"
    expected, found = solve(one, p, q, network=network), solve(other, other_p, other_q, network=network)
    np.testing.assert_allclose(found.vm_pu[:, place], expected.vm_pu, rtol=0, atol=1e-10)
    turned = np.asarray(found.va_degree[:, place] - expected.va_degree)
    np.testing.assert_allclose((turned + 180) % 360 - 180, 0, atol=1e-8)
    for name in ("loss_mw", "slack_p_mw", "slack_q_mvar", "branch_i_ka", "branch_loading_percent"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-8, atol=1e-9, err_msg=name)


@PROPERTY
@given(structure_seed=st.sampled_from([0, 101]), value_seed=SEEDS)
def test_the_base_power_does_not_matter(structure_seed: int, value_seed: int) -> None:
    feeder = build(structure(structure_seed), value_seed)
    p, q = injections(feeder, value_seed)
    network = "tree" if feeder.topology.is_radial else "dense"
    expected = solve(feeder, p, q, network=network)
    found = solve(dataclasses.replace(feeder, s_base_mva=100.0), p, q, network=network)
    for name in FIELDS:
        if name not in ("iterations", "residual_mva"):
            own, other = getattr(found, name), getattr(expected, name)
            np.testing.assert_allclose(own, other, rtol=1e-8, atol=1e-8, err_msg=name)
    assert float(found.residual_mva.max()) < 1e-8


# ---- transformations ----


@pytest.mark.parametrize(("structure_seed", "network"), [(11, "tree"), (101, "dense")])
def test_vmap_is_a_loop_and_jit_is_eager(structure_seed: int, network: str) -> None:
    feeder = build(structure(structure_seed), 0)
    p, q = (jnp.asarray(values) for values in injections(feeder, 0))
    solver = bind(feeder, "ac", TIGHT, network=network)
    batch, compiled, eager = jax.jit(jax.vmap(solver))(p, q), jax.jit(solver.__call__), solver(p[0], q[0])
    loop = [compiled(*case) for case in zip(p, q, strict=True)]
    for name in FIELDS:
        alone = np.array([getattr(flow, name) for flow in loop])
        if name != "iterations":  # cases of a batch go on together
            np.testing.assert_allclose(getattr(batch, name), alone, rtol=1e-10, atol=1e-10, err_msg=name)
        np.testing.assert_allclose(getattr(eager, name), alone[0], rtol=1e-10, atol=1e-10, err_msg=name)


Wanted = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def wanted(feeder: nf.Feeder, method: str, network: str) -> Wanted:
    """Some voltages, angles and the losses in one number, by p, q and the resistances."""
    weights = np.random.default_rng(9).normal(size=(2, feeder.n_bus))

    def number(p: jax.Array, q: jax.Array, r_ohm: jax.Array) -> jax.Array:
        flow = bind(dataclasses.replace(feeder, r_ohm=r_ohm), method, TIGHT, network=network)(p, q)
        return weights[0] @ flow.vm_pu + 0.01 * weights[1] @ flow.va_degree + flow.loss_mw

    return number


@pytest.mark.parametrize(
    ("structure_seed", "method", "network"),
    [
        (0, "ac", "dense"),
        (0, "ac", "tree"),
        (0, "newton", "tree"),
        pytest.param(101, "ac", "dense", marks=pytest.mark.slow),
        pytest.param(101, "newton", "dense", marks=pytest.mark.slow),
    ],
)
def test_derivatives_equal_finite_differences_forward_and_reverse(
    structure_seed: int, method: str, network: str
) -> None:
    feeder = build(structure(structure_seed), 0)
    number = wanted(feeder, method, network)
    p, q = injections(feeder, 0)
    point = (p[0], q[0], feeder.r_ohm)
    random = np.random.default_rng(0)
    directions = [np.stack([random.normal(size=part.shape) for _ in range(4)]) for part in point]
    directions[2] *= feeder.r_ohm
    for part in range(3):  # the first three directions along one argument each
        for other in range(3):
            directions[other][part] *= part == other

    @jax.jit
    def forward(directions: list[jax.Array]) -> jax.Array:
        return jax.vmap(lambda *along: jax.jvp(number, point, along)[1])(*directions)

    step = 1e-5
    shifted = [
        np.stack([value + step * along, value - step * along]) for value, along in zip(point, directions, strict=True)
    ]
    ahead, behind = jax.jit(jax.vmap(jax.vmap(number)))(*shifted)
    expected = (ahead - behind) / (2 * step)
    assert (np.abs(expected) > 1e-4).all()
    np.testing.assert_allclose(forward(directions), expected, rtol=1e-6, atol=1e-8)
    gradient = jax.jit(jax.grad(number, argnums=(0, 1, 2)))(*point)
    reverse = sum(along @ part for along, part in zip(directions, gradient, strict=True))
    np.testing.assert_allclose(reverse, forward(directions), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("structure_seed", "network"), [(11, "tree"), (101, "dense")])
def test_the_derivative_is_that_of_an_unrolled_iteration(structure_seed: int, network: str) -> None:
    feeder = build(structure(structure_seed), 0)
    solver = bind(feeder, "ac", TIGHT, network=network)
    p, q = (jnp.asarray(values[0]) for values in injections(feeder, 0))

    def squares(ur: jax.Array, ui: jax.Array) -> jax.Array:
        magnitude = jnp.sqrt(ur**2 + ui**2) / (1.0 if solver.grid.scale is None else solver.grid.scale[0])
        return jnp.sum(magnitude**3)

    def unrolled(p: jax.Array, q: jax.Array) -> jax.Array:
        grid = solver.grid
        own_p, own_q = (grid.network.enter(grid.without_slack(values)) for values in (p, q))
        start = tuple(jnp.broadcast_to(part, own_p.shape) for part in grid.network.no_load)
        (ur, ui), _ = lax.scan(lambda u, _: (evaluate(grid, own_p, own_q, *u), None), start, length=80)
        return squares(
            grid.with_slack(grid.network.leave(ur), grid.slack_vm), grid.with_slack(grid.network.leave(ui), 0)
        )

    def implicit(p: jax.Array, q: jax.Array) -> jax.Array:
        return jnp.sum(solver(p, q).vm_pu ** 3)

    found, expected = (jax.jit(jax.value_and_grad(way, argnums=(0, 1)))(p, q) for way in (implicit, unrolled))
    assert float(found[0]) == pytest.approx(float(expected[0]), abs=1e-11)
    for own, other in zip(found[1], expected[1], strict=True):
        assert np.abs(np.asarray(own)).max() > 1e-4
        np.testing.assert_allclose(own, other, rtol=1e-9, atol=1e-11)


# ---- memory ----


def temporary_bytes(function: Callable[[jax.Array], jax.Array], at: np.ndarray) -> int:
    analysis = jax.jit(jax.grad(function)).lower(at).compile().memory_analysis()
    if analysis is None:
        pytest.skip("this backend does not say how much memory it takes")
    return int(analysis.temp_size_in_bytes)


@pytest.mark.parametrize("network", ["dense", pytest.param("tree", marks=pytest.mark.slow)])
def test_memory_of_a_gradient_does_not_depend_on_the_iterations(case33bw: nf.Feeder, network: str) -> None:
    p, q = -case33bw.load_p_mw, -case33bw.load_q_mvar

    def implicit(most: int) -> Callable[[jax.Array], jax.Array]:
        solver = bind(case33bw, "ac", nf.AcConfig(tolerance_pu=1e-15, max_iterations=most), network=network)
        return lambda p: solver(p, jnp.asarray(q)).loss_mw

    assert temporary_bytes(implicit(20), p) == temporary_bytes(implicit(200), p)

    def unrolled(length: int) -> Callable[[jax.Array], jax.Array]:
        grid = bind(case33bw, "ac", network=network).grid

        def last(p: jax.Array) -> jax.Array:
            own_p, own_q = (grid.network.enter(grid.without_slack(values)) for values in (p, jnp.asarray(q)))
            start = tuple(jnp.broadcast_to(part, own_p.shape) for part in grid.network.no_load)
            (ur, _), _ = lax.scan(lambda u, _: (evaluate(grid, own_p, own_q, *u), None), start, length=length)
            return jnp.sum(ur)

        return last

    assert temporary_bytes(unrolled(200), p) > 5 * temporary_bytes(unrolled(20), p) / 2  # so the measure does measure
