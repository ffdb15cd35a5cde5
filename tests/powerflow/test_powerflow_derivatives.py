"""Transformations of the power flow on random feeders: vmap, jit, derivatives and the memory that they take."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from random_feeders import TIGHT, build, injections, structure
from result_fields import FIELDS

import neomflex_jax as nf
from neomflex_jax.powerflow import bind
from neomflex_jax.powerflow.methods.fixed_point import evaluate

pytestmark = pytest.mark.usefixtures("double_precision")
PRODUCTS = ((11, "tree"), (101, "dense"))


@pytest.mark.parametrize(
    ("structure_seed", "network"), [(11, "sweep"), *(pytest.param(*of, marks=pytest.mark.slow) for of in PRODUCTS)]
)
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
        (0, "ac", "sweep"),
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


@pytest.mark.parametrize("network", ["dense", "sweep", pytest.param("tree", marks=pytest.mark.slow)])
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
