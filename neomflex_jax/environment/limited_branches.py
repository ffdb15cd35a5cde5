"""Which branches have limits of what they carry, looked up once when an environment is made.

With phases a branch is a conductor of a line or transformer at its first terminal, ``line.650632.1``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.grid import AnyFeeder, UnbalancedFeeder
from neomflex_jax.grid.unbalanced.element import GROUND, Element
from neomflex_jax.loose_types import BusLabel
from neomflex_jax.scenario import Scenario

MOST_NAMED = 6
HOW_TO_RATE = (
    "give their ratings in kA, max_i_ka of net.line or of the feeder folder's branches.csv (of transformers sn_mva of "
    "net.trafo, sn_hv_mva and the like of net.trafo3w; with phases normamps of the circuit's lines and transformers)"
)
CARRY = ("line", "transformer", "autotrans", "trafo")  # kinds of elements that limits of all branches are for


@dataclass(frozen=True)
class LimitedBranches:
    """Branches in service with a rating and a limit, one entry each; equal ones are one static value under jit."""

    position: tuple[int, ...]  # in the feeder's order
    name: tuple[str, ...]
    soft_percent: tuple[float, ...]  # infinite where there is none
    hard_percent: tuple[float, ...]
    to_bus: tuple[BusLabel, ...]  # labels of their `to` ends, where they are measured
    agent: tuple[int, ...]  # whose territory that is


@dataclass(frozen=True, eq=False)
class _Branches:
    """Branches of any feeder, (n_branch,) each."""

    names: tuple[str, ...]
    closed: np.ndarray
    max_i_ka: np.ndarray  # NaN without a rating
    counted: np.ndarray  # whether limits of all branches hold for it
    to_bus: tuple[BusLabel, ...]
    listed_by: str


def _last_node(element: Element) -> int:
    """Position of the node at the last conductor that is not grounded."""
    return [node for node in element.nodes if node != GROUND][-1]


def _branches_of(feeder: AnyFeeder) -> _Branches:
    if isinstance(feeder, UnbalancedFeeder):
        at_first = [element for element in feeder.elements for _ in range(element.n_conductors)]
        return _Branches(
            names=feeder.branch_labels,
            closed=np.array([bool(np.any(element.y_siemens)) for element in at_first], bool),
            max_i_ka=feeder.branch_max_i_ka,
            counted=np.array([element.kind in CARRY for element in at_first], bool),
            to_bus=tuple(feeder.nodes.bus[_last_node(element)] for element in at_first),
            listed_by="branch_labels of the feeder",
        )
    closed, max_i_ka = np.asarray(feeder.topology.in_service, bool), np.asarray(feeder.max_i_ka, float)
    everyone = np.ones(len(closed), bool)
    listed_by = "from_bus-to_bus of the feeder"
    return _Branches(feeder.branch_names, closed, max_i_ka, everyone, feeder.to_bus_labels, listed_by)


def limited_branches(scenario: Scenario, feeder: AnyFeeder) -> LimitedBranches | None:
    """Find the branches that a scenario limits; None if it limits none.

    Raises
    ------
    InputError
        If no branch has a rating, or one that the scenario names has none, is out of service or is not there.
    """
    config = scenario.loading
    if not config.is_limited:
        return None
    branches = _branches_of(feeder)
    names, closed = branches.names, branches.closed
    limited = closed & np.isfinite(branches.max_i_ka)
    for name in config.branch_limits:
        if name not in names:
            raise unknown_name("branch in branch_limits", name, names, listed_by=branches.listed_by)
        where = f"branch_limits: branch {name} of feeder {feeder.name!r}"
        if not closed[names.index(name)]:
            raise InputError(f"{where} is out of service; leave it out")
        if not limited[names.index(name)]:
            raise InputError(f"{where} has no rating: {HOW_TO_RATE}")
    if not limited.any():
        shown = ", ".join(names[:MOST_NAMED]) + (f", ... ({len(names)} in all)" if len(names) > MOST_NAMED else "")
        raise InputError(
            f"[loading] limits what branches carry in per cent of their ratings, and those of feeder {feeder.name!r} "
            f"have none ({shown}): {HOW_TO_RATE}, or leave [loading] out"
        )
    named_ones = np.isin(names, list(config.branch_limits))
    for_all = config.loading_soft_percent is not None or config.loading_hard_percent is not None
    limited &= named_ones | (branches.counted & for_all)
    position = np.flatnonzero(limited).tolist()
    named = tuple(names[row] for row in position)
    soft_percent, hard_percent = config.limits_percent(named)
    ends = tuple(branches.to_bus[row] for row in position)
    return LimitedBranches(
        position=tuple(position),
        name=named,
        soft_percent=tuple(soft_percent.tolist()),
        hard_percent=tuple(hard_percent.tolist()),
        to_bus=ends,
        agent=tuple(scenario.owner(label) or 0 for label in ends),
    )
