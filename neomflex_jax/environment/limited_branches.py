"""Which branches have limits of what they carry, looked up once when an environment is made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.grid import Feeder
from neomflex_jax.scenario import Scenario

MOST_NAMED = 6
HOW_TO_RATE = (
    "give their ratings in kA, max_i_ka of net.line or of the feeder folder's branches.csv (of transformers sn_mva of "
    "net.trafo, sn_hv_mva and the like of net.trafo3w)"
)


@dataclass(frozen=True)
class LimitedBranches:
    """Branches in service with a rating and a limit, one entry each; equal ones are one static value under jit."""

    position: tuple[int, ...]  # in the feeder's order
    name: tuple[str, ...]
    soft_percent: tuple[float, ...]  # infinite where there is none
    hard_percent: tuple[float, ...]
    to_bus: tuple[int, ...]  # labels of their `to` ends, where they are measured
    agent: tuple[int, ...]  # whose territory that is


def limited_branches(scenario: Scenario, feeder: Feeder) -> LimitedBranches | None:
    """Find the branches that a scenario limits; None if it limits none.

    Raises
    ------
    InputError
        If no branch has a rating, or one that the scenario names has none, is out of service or is not there.
    """
    config, names = scenario.loading, feeder.branch_names
    if not config.is_limited:
        return None
    closed = np.asarray(feeder.topology.in_service, bool)
    limited = closed & np.isfinite(feeder.max_i_ka)
    for name in config.branch_limits:
        if name not in names:
            raise unknown_name("branch in branch_limits", name, names, listed_by="from_bus-to_bus of the feeder")
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
    if config.loading_soft_percent is None and config.loading_hard_percent is None:
        limited &= np.isin(names, list(config.branch_limits))
    position = np.flatnonzero(limited).tolist()
    named = tuple(names[row] for row in position)
    soft_percent, hard_percent = config.limits_percent(named)
    ends = tuple(feeder.to_bus_labels[row] for row in position)
    return LimitedBranches(
        position=tuple(position),
        name=named,
        soft_percent=tuple(soft_percent.tolist()),
        hard_percent=tuple(hard_percent.tolist()),
        to_bus=ends,
        agent=tuple(scenario.owner(label) or 0 for label in ends),
    )
