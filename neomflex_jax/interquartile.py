"""Results of several seeds in two numbers: the interquartile mean, and an interval that says how sure it is.

``IQM(x) = mean of the middle half of x``: less swayed by one lucky or lost seed than the mean, less wasteful than the
median. The interval is the percentile bootstrap's: the statistic of samples drawn from x with replacement.
Source: R. Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice", arXiv:2108.13264;
the percentile bootstrap: B. Efron, "Bootstrap methods: another look at the jackknife", 1979.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neomflex_jax.errors import InputError

Statistic = Callable[[np.ndarray], np.ndarray]  # of axis 0


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Average the middle half of `values` (n, ...) over axis 0, and return (...).

    A quarter of the weight is cut off at each end; where that is no whole number of values, the outermost of those
    kept count in part, so that the result of every n lies between the quartiles and NaN spreads.

    Raises
    ------
    InputError
        If there are no values.
    """
    ordered = np.sort(np.asarray(values, np.float64), axis=0)
    if ordered.ndim == 0 or not len(ordered):
        raise InputError("an interquartile mean needs at least one value")
    n = len(ordered)
    edges = np.clip(np.arange(n + 1), n / 4.0, 3.0 * n / 4.0)
    return np.tensordot(np.diff(edges) / (n / 2.0), ordered, axes=1)


def bootstrap_interval(
    values: np.ndarray,
    statistic: Statistic = interquartile_mean,
    *,
    level: float = 0.95,
    n_samples: int = 2000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the percentile bootstrap interval, low and high (...), of a statistic over axis 0 of `values` (n, ...).

    Whole rows are drawn, so that a curve (n_seeds, n_points) is resampled by seeds. Equal seeds give equal intervals;
    with one row, low and high are the statistic.

    Raises
    ------
    InputError
        If there are no values, or `level` does not lie between 0 and 1.
    """
    rows = np.asarray(values, np.float64)
    if rows.ndim == 0 or not len(rows):
        raise InputError("a bootstrap interval needs at least one value")
    if not 0.0 < level < 1.0 or n_samples < 1:
        raise InputError(f"level = {level} must lie between 0 and 1, and n_samples = {n_samples} must be at least 1")
    drawn = np.random.default_rng(seed).integers(len(rows), size=(n_samples, len(rows)))
    found = np.stack([statistic(rows[indices]) for indices in drawn])
    low, high = np.quantile(found, (0.5 - level / 2.0, 0.5 + level / 2.0), axis=0)
    return low, high
