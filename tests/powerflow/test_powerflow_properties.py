"""Laws that every answer obeys, on random feeders: the reference's, balanced, and blind to names, order and base."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_feeders import (
    ANY_STRUCTURE,
    MESHED,
    PROPERTY,
    RADIAL,
    SEEDS,
    Structure,
    build,
    forms,
    injections,
    solve,
    structure,
)
from reference_flow import ReferenceFlow, branch_admittances, solve_reference
from result_fields import FIELDS

import neomflex_jax as nf

pytestmark = pytest.mark.usefixtures("double_precision")


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
@settings(max_examples=40)
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
    network = "sweep" if one.topology.is_radial else "dense"
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
    network = "sweep" if feeder.topology.is_radial else "dense"
    expected = solve(feeder, p, q, network=network)
    found = solve(dataclasses.replace(feeder, s_base_mva=100.0), p, q, network=network)
    for name in FIELDS:
        if name not in ("iterations", "residual_mva"):
            own, other = getattr(found, name), getattr(expected, name)
            np.testing.assert_allclose(own, other, rtol=1e-8, atol=1e-8, err_msg=name)
    assert float(found.residual_mva.max()) < 1e-8
