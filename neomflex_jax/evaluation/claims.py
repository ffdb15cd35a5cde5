"""Statistics for claims over seeds: intervals, and when "better" may be said.

The interquartile mean is `neomflex_jax.interquartile`'s; intervals are 95 % percentile bootstraps over whole seeds,
because one seed's days hang together (Agarwal et al., Deep reinforcement learning at the edge of the statistical
precipice, NeurIPS 2021, with seeds in place of runs x tasks). Two algorithms are compared on the same days, which are
drawn once for both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Num

from neomflex_jax.errors import InputError
from neomflex_jax.interquartile import interquartile_mean

MINIMUM_TO_SAY, MINIMUM_SEEDS, RECOMMENDED_SEEDS = 3, 5, 10
N_DRAWS = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval; NaN bounds where there is one seed only."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """One algorithm's cost minus another's."""

    difference: Interval  # interquartile means over seeds of mean day costs
    probability_lower: float  # that a random seed of the first costs less than one of the second; ties count half
    n_seeds: tuple[int, int]
    n_days: int

    @property
    def may_be_said(self) -> bool:
        """True if both sides have enough seeds for a comparison and the interval holds no zero."""
        return min(self.n_seeds) >= MINIMUM_TO_SAY and (self.difference.high < 0 or self.difference.low > 0)


def iqm_interval(costs: Num[np.ndarray, "n_seeds n_days"], *, seed: int = 0, n_draws: int = N_DRAWS) -> Interval:
    """Interquartile mean over seeds of the mean over days.

    Parameters
    ----------
    costs
        Day costs, finite.
    seed
        Of the bootstrap; equal seeds give equal intervals.
    n_draws
        Of the bootstrap.

    Returns
    -------
    Interval
        In the unit of `costs`; its bounds are NaN for one seed.

    Raises
    ------
    InputError
        If there is no seed or day, or a cost is not finite.
    """
    _check("costs", costs)
    by_seed = costs.mean(axis=1)
    if len(by_seed) == 1:
        return Interval(float(by_seed[0]), float("nan"), float("nan"))
    drawn = np.random.default_rng(seed).integers(0, len(by_seed), (n_draws, len(by_seed)))
    return _interval(float(_iqm(by_seed)), _iqm(by_seed[drawn]))


def mean_interval(values: Num[np.ndarray, " n_days"], *, seed: int = 0, n_draws: int = N_DRAWS) -> Interval:
    """Mean over the days of one run.

    Parameters
    ----------
    values
        One a day, finite.
    seed, n_draws
        Of the bootstrap, over whole days.

    Returns
    -------
    Interval
        In the unit of `values`; its bounds are NaN for one day.

    Raises
    ------
    InputError
        If there is no day, or a value is not finite.
    """
    _check("a run", values[None])
    if len(values) == 1:
        return Interval(float(values[0]), float("nan"), float("nan"))
    weights = np.random.default_rng(seed).multinomial(len(values), np.full(len(values), 1 / len(values)), n_draws)
    return _interval(float(values.mean()), weights @ values / len(values))


def compare_costs(
    a: Num[np.ndarray, "n_seeds_a n_days"],
    b: Num[np.ndarray, "n_seeds_b n_days"],
    *,
    seed: int = 0,
    n_draws: int = N_DRAWS,
) -> Difference:
    """Compare two algorithms on the same days; negative: the first costs less.

    Parameters
    ----------
    a, b
        Day costs of the same days in the same order.
    seed, n_draws
        Of the bootstrap.

    Raises
    ------
    InputError
        If the days differ in number, there is no seed or day, or a cost is not finite.
    """
    _check("the first", a)
    _check("the second", b)
    if a.shape[1] != b.shape[1]:
        raise InputError(f"days must be paired: the first has {a.shape[1]}, the second {b.shape[1]}")
    random, n_days = np.random.default_rng(seed), a.shape[1]
    weights = random.multinomial(n_days, np.full(n_days, 1 / n_days), n_draws) / n_days
    drawn = []
    for costs in (a, b):
        by_seed = weights @ costs.T  # (n_draws, n_seeds)
        seeds = random.integers(0, len(costs), (n_draws, len(costs)))
        drawn.append(_iqm(np.take_along_axis(by_seed, seeds, axis=1)))
    means = a.mean(axis=1), b.mean(axis=1)
    lower = (means[0][:, None] < means[1]) + 0.5 * (means[0][:, None] == means[1])
    return Difference(
        difference=_interval(float(_iqm(means[0]) - _iqm(means[1])), drawn[0] - drawn[1]),
        probability_lower=float(lower.mean()),
        n_seeds=(len(a), len(b)),
        n_days=n_days,
    )


def seeds_remark(n_seeds: int) -> str:
    """Return a sentence on what a number of seeds is enough for."""
    if n_seeds < MINIMUM_TO_SAY:
        return f"{n_seeds} seeds: no comparison under {MINIMUM_TO_SAY}"
    if n_seeds < MINIMUM_SEEDS:
        return f"{n_seeds} seeds: below the minimum of {MINIMUM_SEEDS}"
    if n_seeds < RECOMMENDED_SEEDS:
        return f"{n_seeds} seeds: the minimum; {RECOMMENDED_SEEDS} are recommended"
    return f"{n_seeds} seeds: as recommended"


def _iqm(values: np.ndarray) -> np.ndarray:
    return interquartile_mean(np.moveaxis(values, -1, 0))


def _interval(estimate: float, drawn: np.ndarray) -> Interval:
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Interval(estimate, float(low), float(high))


def _check(name: str, costs: np.ndarray) -> None:
    if costs.ndim != 2 or 0 in costs.shape or not np.isfinite(costs).all():
        raise InputError(f"{name}: day costs must be finite numbers (n_seeds, n_days), not shape {costs.shape}")
