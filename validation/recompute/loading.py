"""Limits of loadings, worked out a second time from the scenario and the feeder.

A branch is limited if it is in service, has a rating, and the scenario limits all branches or names it. Its loading is
the larger end's current over the rating, in per cent, as pandapower's ``loading_percent``. With phases a branch is a
conductor at an element's first terminal, and all branches are those of lines and transformers. A failed power flow has
the loadings of a collapsed grid: half the voltage and so twice the rated current.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from neomflex_jax.grid import AnyFeeder, UnbalancedFeeder
from neomflex_jax.loose_types import BusLabel
from neomflex_jax.scenario import Scenario

COLLAPSED_PERCENT = 200.0
SEEN_AT_MOST = 10.0  # of the rating
CARRYING = {"line", "transformer", "autotrans", "trafo"}  # classes of elements that carry power on


@dataclass(frozen=True, eq=False)
class Limited:
    """Limited branches in the feeder's order, (n_limited,) each."""

    names: tuple[str, ...]
    rows: np.ndarray  # of the feeder
    rating_ka: np.ndarray
    soft_percent: np.ndarray  # infinite where there is none
    hard_percent: np.ndarray
    to_bus: tuple[BusLabel, ...]

    def percent_of(self, branch_i_ka: np.ndarray) -> np.ndarray:
        """Loadings (n, n_limited) of all branches' currents (n, n_branch)."""
        return 100.0 * branch_i_ka[:, self.rows] / self.rating_ka

    def above(self, percent: np.ndarray, limit_percent: np.ndarray) -> np.ndarray:
        """Steps x branches above a limit, (n, n_limited) bool; a value that is not finite is above any."""
        return ~(percent <= limit_percent) & np.isfinite(limit_percent)


def limited_of(scenario: Scenario, feeder: AnyFeeder) -> Limited | None:
    """Find the limited branches; None if there are none."""
    config = scenario.loading
    limits_all = config.loading_soft_percent is not None or config.loading_hard_percent is not None
    found = []
    for row, (name, carries, rating_ka, end) in enumerate(_branches(feeder)):
        if math.isnan(rating_ka) or not ((limits_all and carries) or name in config.branch_limits):
            continue
        common = math.inf if config.loading_hard_percent is None else config.loading_hard_percent
        hard = config.branch_limits.get(name, common)
        soft = math.inf if config.loading_soft_percent is None else min(config.loading_soft_percent, hard)
        found.append((name, row, rating_ka, soft, hard, end))
    if not found:
        return None
    names, rows, ratings, softs, hards, ends_at = zip(*found, strict=True)
    return Limited(names, np.array(rows), np.array(ratings), np.array(softs), np.array(hards), ends_at)


class _Branch(NamedTuple):
    name: str
    carries: bool  # limits of all branches are for it
    rating_ka: float  # NaN without one, and out of service
    to_bus: BusLabel


def _branches(feeder: AnyFeeder) -> Iterator[_Branch]:
    """Walk through a feeder's branches, in its order."""
    if isinstance(feeder, UnbalancedFeeder):
        for element in feeder.elements:
            kind, size = element.name.split(".")[0], len(element.nodes) // element.n_terminals
            end = next(node for node in reversed(element.nodes) if node >= 0)
            rating_ka = element.max_i_ka if np.abs(element.y_siemens).sum() > 0 else math.nan
            for number in range(size):
                yield _Branch(f"{element.name}.{number + 1}", kind in CARRYING, rating_ka, feeder.nodes.bus[end])
        return
    topology, labels = feeder.topology, feeder.bus_labels
    seen: Counter[str] = Counter()
    for row, (start, end, closed) in enumerate(
        zip(topology.from_bus, topology.to_bus, topology.in_service, strict=True)
    ):
        ends = f"{labels[start]}-{labels[end]}"
        seen[ends] += 1
        name = ends if seen[ends] == 1 else f"{ends} ({seen[ends]})"
        yield _Branch(name, True, float(feeder.max_i_ka[row]) if closed else math.nan, labels[end])
