"""The interquartile mean and its interval, against definitions written another way and against known coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neomflex_jax import InputError
from neomflex_jax.interquartile import bootstrap_interval, interquartile_mean

values = hnp.arrays(np.float64, st.integers(1, 23), elements=st.floats(-1e6, 1e6, allow_subnormal=False))


@pytest.mark.parametrize(
    ("sample", "expected"),
    [([7.0], 7.0), ([1.0, 3.0], 2.0), ([100.0, 2.0, 4.0, -50.0], 3.0), ([0.0, 1.0, 2.0, 3.0, 400.0], 2.0)],
)
def test_known_means(sample, expected):
    assert interquartile_mean(np.array(sample)) == pytest.approx(expected)


@given(values)
def test_it_is_the_trimmed_mean_of_every_value_taken_four_times(sample):
    # four copies of each make the quarter a whole number, so that trimming needs no weights
    repeated = np.sort(np.repeat(sample, 4))
    kept = repeated[len(sample) : 3 * len(sample)]
    np.testing.assert_allclose(interquartile_mean(sample), kept.mean(), rtol=1e-9, atol=1e-6)


@given(values, st.integers(0, 1000))
def test_the_interval_is_reproducible_and_inside_the_values(sample, seed):
    low, high = bootstrap_interval(sample, seed=seed, n_samples=50)
    assert (low, high) == bootstrap_interval(sample, seed=seed, n_samples=50)
    margin = 1e-9 * np.abs(sample).max()
    assert sample.min() - margin <= low <= high <= sample.max() + margin


def test_curves_are_resampled_by_seeds():
    curves = np.random.default_rng(1).normal(size=(6, 1)) + np.arange(5.0)
    low, high = bootstrap_interval(curves)
    assert low.shape == high.shape == interquartile_mean(curves).shape == (5,)
    np.testing.assert_allclose(np.diff(low), 1.0)  # every draw shifts a whole curve
    np.testing.assert_allclose(np.diff(high), 1.0)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        low, high = bootstrap_interval(generator.normal(3.0, 1.0, 40), n_samples=200)
        hits += low <= 3.0 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_unusable_input_is_refused():
    with pytest.raises(InputError, match="at least one value"):
        interquartile_mean(np.array([]))
    with pytest.raises(InputError, match="at least one value"):
        bootstrap_interval(np.zeros((0, 3)))
    with pytest.raises(InputError, match=r"level = 1\.5"):
        bootstrap_interval(np.ones(3), level=1.5)
