"""Statistics for claims: definitions against SciPy and by hand, intervals that cover, sentences that are earned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.claims import compare_costs, iqm_interval, seeds_remark


@given(st.integers(0, 2**31 - 1), st.floats(-100, 100))
def test_intervals_hold_their_estimate_and_move_with_the_costs(seed: int, shift: float) -> None:
    costs = np.random.default_rng(seed).normal(30.0, 4.0, (6, 5))
    found = iqm_interval(costs, n_draws=400)
    assert found.low <= found.estimate <= found.high
    moved = iqm_interval(costs + shift, n_draws=400)
    assert moved.low == pytest.approx(found.low + shift)
    assert moved.high == pytest.approx(found.high + shift)


def test_equal_seeds_give_equal_intervals_and_the_global_state_is_left_alone() -> None:
    costs = np.random.default_rng(1).normal(30.0, 4.0, (5, 8))
    before = np.random.get_state()[1].copy()  # noqa: NPY002  that it is untouched is the point
    assert iqm_interval(costs, seed=3) == iqm_interval(costs, seed=3)
    assert iqm_interval(costs, seed=3, n_draws=50) != iqm_interval(costs, seed=4, n_draws=50)
    assert compare_costs(costs, costs + 1, seed=3) == compare_costs(costs, costs + 1, seed=3)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    random, hits = np.random.default_rng(0), 0
    for _ in range(200):
        found = iqm_interval(random.normal(10.0, 2.0, (20, 1)), n_draws=500)
        hits += found.low <= 10.0 <= found.high
    assert 0.85 <= hits / 200 <= 0.98  # a percentile bootstrap of 20 covers a little less than 95 %


def test_one_seed_has_no_interval() -> None:
    found = iqm_interval(np.array([[1.0, 3.0]]))
    assert found.estimate == 2.0 and np.isnan(found.low) and np.isnan(found.high)


def test_comparison_knows_the_cheaper_one_and_pairs_the_days() -> None:
    random = np.random.default_rng(2)
    day = random.uniform(0.0, 1000.0, 40)  # what days have in common must not blur the difference
    a = day + random.normal(0.0, 0.3, (5, 1)) + random.normal(0.0, 0.1, (5, 40))
    b = a + 2.0
    found = compare_costs(a, b)
    assert found.difference.estimate == pytest.approx(-2.0)
    assert found.difference.high < 0 and found.may_be_said
    assert found.difference.high - found.difference.low < 2.0
    assert found.probability_lower == 1.0
    turned = compare_costs(b, a)
    assert turned.difference.estimate == pytest.approx(2.0) and turned.probability_lower == 0.0


def test_no_claim_from_two_seeds_or_across_zero() -> None:
    a = np.full((2, 4), 1.0) + np.arange(2)[:, None]
    assert not compare_costs(a, a + 100.0).may_be_said
    three = np.full((3, 4), 1.0) + np.arange(3)[:, None]
    assert compare_costs(three, three + 100.0).may_be_said
    assert not compare_costs(three, three).may_be_said
    assert compare_costs(three, three).probability_lower == 0.5


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), "must be paired"),
        (np.zeros((0, 3)), np.zeros((2, 3)), "the first"),
        (np.zeros((2, 3)), np.array([[np.nan, 1.0, 1.0]]), "the second"),
        (np.zeros(3), np.zeros((2, 3)), "the first"),
    ],
)
def test_unusable_costs_are_refused(a: np.ndarray, b: np.ndarray, said: str) -> None:
    with pytest.raises(InputError, match=said):
        compare_costs(a, b)


def test_remarks_name_minimum_and_recommended() -> None:
    assert "no comparison under 3" in seeds_remark(2)
    assert "below the minimum of 5" in seeds_remark(4)
    assert "minimum" in seeds_remark(5) and "10 are recommended" in seeds_remark(9)
    assert "as recommended" in seeds_remark(10)
