"""Agreement of a surrogate and pandapower on the order of policies by cost.

Kendall's tau-a: (pairs in the same order - pairs in the other) / all pairs; 1 means the same order. M. G. Kendall,
A new measure of rank correlation, Biometrika 30 (1938).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Ranking:
    """Agreement of two orders of the same runs."""

    tau: float  # NaN for fewer than two runs
    swapped: tuple[tuple[str, str], ...]  # better and worse by the record, the other way round in pandapower


def ranking_of(recorded: Mapping[str, float], exact: Mapping[str, float]) -> Ranking:
    """Compare the orders of the runs' mean day costs; a cost that is not finite is worse than any other."""
    sums, swapped, n_pairs = 0, [], 0
    for one, other in combinations(recorded, 2):
        n_pairs += 1
        said, true = (_order(side[one], side[other]) for side in (recorded, exact))
        sums += said * true
        if said * true < 0:
            swapped.append((one, other) if said < 0 else (other, one))
    return Ranking(sums / n_pairs if n_pairs else math.nan, tuple(swapped))


def _order(one: float, other: float) -> int:
    one, other = (cost if math.isfinite(cost) else math.inf for cost in (one, other))
    return (one > other) - (one < other)
