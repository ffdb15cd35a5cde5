"""Limits of loadings, worked out a second time from the scenario and the feeder.

A branch is limited if it is in service, has a rating, and the scenario limits all branches or names it. Its loading is
the larger end's current over the rating, in per cent, as pandapower's ``loading_percent``. A failed power flow has the
loadings of a collapsed grid: half the voltage and so twice the rated current.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from neomflex_jax.grid import AnyFeeder, UnbalancedFeeder
from neomflex_jax.scenario import Scenario

COLLAPSED_PERCENT = 200.0
SEEN_AT_MOST = 10.0  # of the rating


@dataclass(frozen=True, eq=False)
class Limited:
    """Limited branches in the feeder's order, (n_limited,) each."""

    names: tuple[str, ...]
    rows: np.ndarray  # of the feeder
    rating_ka: np.ndarray
    soft_percent: np.ndarray  # infinite where there is none
    hard_percent: np.ndarray
    to_bus: tuple[int, ...]  # label

    def percent_of(self, branch_i_ka: np.ndarray) -> np.ndarray:
        """Loadings (n, n_limited) of all branches' currents (n, n_branch)."""
        return 100.0 * branch_i_ka[:, self.rows] / self.rating_ka

    def above(self, percent: np.ndarray, limit_percent: np.ndarray) -> np.ndarray:
        """Steps x branches above a limit, (n, n_limited) bool; a value that is not finite is above any."""
        return ~(percent <= limit_percent) & np.isfinite(limit_percent)


def limited_of(scenario: Scenario, feeder: AnyFeeder) -> Limited | None:
    """Find the limited branches; None if there are none, as with phases, where a scenario limits none."""
    if isinstance(feeder, UnbalancedFeeder):
        return None
    config, topology, labels = scenario.loading, feeder.topology, feeder.bus_labels
    limits_all = config.loading_soft_percent is not None or config.loading_hard_percent is not None
    seen: Counter[str] = Counter()
    found = []
    for row, (start, end, closed) in enumerate(
        zip(topology.from_bus, topology.to_bus, topology.in_service, strict=True)
    ):
        ends = f"{labels[start]}-{labels[end]}"
        seen[ends] += 1
        name = ends if seen[ends] == 1 else f"{ends} ({seen[ends]})"
        rating_ka = float(feeder.max_i_ka[row])
        if not closed or math.isnan(rating_ka) or not (limits_all or name in config.branch_limits):
            continue
        common = math.inf if config.loading_hard_percent is None else config.loading_hard_percent
        hard = config.branch_limits.get(name, common)
        soft = math.inf if config.loading_soft_percent is None else min(config.loading_soft_percent, hard)
        found.append((name, row, rating_ka, soft, hard, labels[end]))
    if not found:
        return None
    names, rows, ratings, softs, hards, ends_at = zip(*found, strict=True)
    return Limited(names, np.array(rows), np.array(ratings), np.array(softs), np.array(hards), ends_at)
