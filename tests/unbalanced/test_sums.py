"""Sums in the place of impedance matrices: the same answers, by machine code, and products where they are not."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csc_matrix

import neomflex_jax as nf
from neomflex_jax.powerflow.unbalanced import sums as module
from neomflex_jax.powerflow.unbalanced.elimination import sums_of
from neomflex_jax.powerflow.unbalanced.sums import NO_SUMS


def by_products(solver: nf.UnbalancedPowerFlow) -> nf.UnbalancedPowerFlow:
    return replace(solver, network=replace(solver.network, sums=NO_SUMS))


def test_sums_are_those_of_the_inverse_on_trees_and_loops() -> None:
    """Buses of one to three nodes, loops of several lengths, loads at some."""
    rng = np.random.default_rng(3)
    bus = [label for label, size in zip("sabcdefgh", (3, 1, 2, 3, 1, 2, 3, 1, 2), strict=True) for _ in range(size)]
    labels, n = np.array(bus), len(bus)
    pairs = ("sa", "ab", "bc", "cd", "ae", "ef", "fg", "gh", "hb")  # a to h and b back to a: a loop
    joined = np.array([[one == other or one + other in pairs or other + one in pairs for other in bus] for one in bus])
    y = np.where(joined, rng.normal(size=(n, n)) + 1j * rng.normal(size=(n, n)), 0) + 6 * np.eye(n)
    base = rng.uniform(0.5, 2.0, n)
    entering = np.zeros((n, 4), complex)
    leaving = np.zeros((4, n), complex)
    for branch, label in enumerate("dfgg"):
        at = np.flatnonzero(labels == label)
        entering[at, branch], leaving[branch, at] = rng.normal(size=(2, len(at))) + 1j
    z = np.linalg.inv(base[:, None] * y * base)
    found = sums_of(csc_matrix(y), base, tuple(bus), csc_matrix(entering), csc_matrix(leaving))
    assert found is not None
    own, nodes = found
    given = rng.normal(size=(4, 7)) + 1j * rng.normal(size=(4, 7))
    np.testing.assert_allclose(nodes(given), z @ entering @ given, atol=1e-12)
    np.testing.assert_allclose(own(given), leaving @ z @ entering @ given, atol=1e-12)
    assert len(own.source) < len(nodes.source)  # buses without loads are passed by


@pytest.mark.parametrize(
    "name", ["ieee123", *(pytest.param(n, marks=pytest.mark.slow) for n in ("ieee34", "european_lv"))]
)
def test_answers_and_derivatives_are_those_of_products(name: str) -> None:
    feeder = nf.load_feeder(name)
    factors = np.random.default_rng(0).uniform(0.3, 1.3, (3, feeder.n_load))
    p, q = factors * feeder.load_p_mw, factors * feeder.load_q_mvar
    with jax.enable_x64(True):
        solver = nf.bind(feeder)
        assert (solver.network.sums.branch is not None) == (name != "european_lv")  # 55 branches of 2,721 nodes
        assert solver.network.sums.node is not None
        found, expected = (each.solve(p, q) for each in (solver, by_products(solver)))
        for field in ("vm_pu", "va_degree", "loss_mw", "slack_q_mvar", "vuf_percent"):
            np.testing.assert_allclose(getattr(found, field), getattr(expected, field), rtol=0, atol=1e-10)
        assert (found.iterations == expected.iterations).all() and found.converged.all()

        def slopes(solver: nf.UnbalancedPowerFlow) -> jax.Array:
            def squares(p: jax.Array) -> jax.Array:
                flow = solver(p, q[0])
                return jnp.sum(flow.vm_pu**2) + flow.loss_mw

            return jax.jit(jax.vmap(jax.grad(squares)))(jnp.asarray(p))

        np.testing.assert_allclose(slopes(solver), slopes(by_products(solver)), rtol=0, atol=1e-8)


def test_programs_for_cpus_call_machine_code_and_others_do_not() -> None:
    feeder = nf.load_feeder("ieee123")
    solver = nf.bind(feeder)
    loads = (jnp.asarray(feeder.load_p_mw), jnp.asarray(feeder.load_q_mvar))
    solve = jax.jit(lambda *loads: jax.vmap(solver)(*loads).vm_pu)
    many = [jnp.stack([part] * 3) for part in loads]
    for platform, found in (("cpu", True), ("cuda", False)):
        text = solve.trace(*many).lower(lowering_platforms=(platform,)).as_text()
        assert ("neomflex_branches" in text and "neomflex_sums_magnitudes" in text) == found
        assert ("neomflex" in text) == found
    nested = jax.jit(jax.vmap(jax.vmap(lambda *loads: solver(*loads).vm_pu)))(*(part[None] for part in many))
    np.testing.assert_allclose(nested[0], solve(*many), atol=1e-6)


def test_a_feeder_without_loads_has_no_sums() -> None:
    idle = replace(nf.load_feeder("ieee13"), loads=())
    assert nf.bind(idle).network.sums.node is None


def test_sums_that_do_not_agree_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    feeder = nf.load_feeder("ieee123")
    monkeypatch.setattr(module, "LARGEST_ERROR", {np.dtype(np.complex64): 1e-9})
    sums = nf.bind(feeder).network.sums
    assert sums.branch is None and sums.node is None
    assert sums.iterated is not None and len(sums.iterated.source) == 95**2  # the matrix itself
