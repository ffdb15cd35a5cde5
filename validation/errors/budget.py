"""Where the recorded run and pandapower part: errors by bus, branch, phase, hour, load level and direction of flow.

An error is ``recorded - pandapower``; a bias keeps its sign. Steps without an answer on either side have no error and
are left out here; `metrics` counts them. Currents are those of the larger end of a branch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import AnyFeeder, Feeder, UnbalancedFeeder
from validation.errors.currents import RecordedCurrents
from validation.errors.margin import Margin, margin_of
from validation.errors.summary import ErrorSummary, summarise
from validation.recompute.record import Record
from validation.referee.replay import Replay

ALL = "all"
LOAD_LEVELS = ("low", "medium", "high")  # thirds of the steps by Demand
STEP_QUANTITIES = ("loss_mw", "slack_p_mw", "slack_q_mvar")


@dataclass(frozen=True)
class BudgetRow:
    """The error of one quantity in one group of steps, buses or branches."""

    quantity: str  # vm_pu, loss_mw, slack_p_mw, slack_q_mvar or branch_i_ka
    axis: str  # all, bus, branch, phase, hour, load_level or slack_flow
    group: str
    error: ErrorSummary


@dataclass(frozen=True)
class Loading:
    """Largest branch loading in percent of its rating; NaN without ratings, and where currents are not known."""

    recorded: float
    pandapower: float
    n_rated: int  # branches in service with a rating


@dataclass(frozen=True)
class Budget:
    """A run's error budget."""

    rows: tuple[BudgetRow, ...]
    margins: tuple[Margin, ...]  # of the hard limits, and of the band
    currents: str  # what the recorded side's currents are, or why there are none
    loading_percent: Loading

    def of(self, quantity: str, axis: str = ALL) -> dict[str, ErrorSummary]:
        """Errors of a quantity by group, in order; empty if there are none."""
        return {row.group: row.error for row in self.rows if (row.quantity, row.axis) == (quantity, axis)}


def error_budget(record: Record, replayed: Replay, currents: RecordedCurrents) -> Budget:
    """Break a run's errors down; `currents` are those of `recorded_currents`."""
    trajectory, feeder = record.trajectory, record.feeder
    limits = trajectory.scenario.limits
    sides = {"vm_pu": (np.asarray(trajectory.vm_pu, float), replayed.vm_pu)}
    sides |= {name: (np.asarray(getattr(trajectory, name), float), getattr(replayed, name)) for name in STEP_QUANTITIES}
    columns = {"vm_pu": ("bus", [str(label) for label in feeder.node_labels])}
    closed, names, rating_ka = _branches(feeder)
    exact_ka = replayed.branch_i_ka[:, closed]
    own_ka = np.full(exact_ka.shape, np.nan) if currents.branch_i_ka is None else currents.branch_i_ka[:, closed]
    sides["branch_i_ka"] = (own_ka, exact_ka)
    columns["branch_i_ka"] = ("branch", names)
    if replayed.vuf_percent is not None:
        sides["vuf_percent"] = (np.asarray(trajectory.vuf_percent, float), replayed.vuf_percent)
    by_phase = _phases(feeder)
    groups = dict(_step_groups(trajectory, replayed))
    rows: list[BudgetRow] = []
    for quantity, (recorded, exact) in sides.items():
        rows.append(BudgetRow(quantity, ALL, ALL, summarise(recorded, exact)))
        if quantity in columns:
            axis, names = columns[quantity]
            rows += [
                BudgetRow(quantity, axis, name, summarise(recorded[:, column], exact[:, column]))
                for column, name in enumerate(names)
            ]
        rows += [
            BudgetRow(quantity, "phase", phase, summarise(recorded[:, where], exact[:, where]))
            for phase, where in by_phase.get(quantity, {}).items()
        ]
        rows += [
            BudgetRow(quantity, axis, group, summarise(recorded[where], exact[where]))
            for (axis, group), where in groups.items()
        ]
    return Budget(
        rows=tuple(rows),
        margins=(
            margin_of("hard", *sides["vm_pu"], limits.hard_min_pu, limits.hard_max_pu),
            margin_of("band", *sides["vm_pu"], limits.band_min_pu, limits.band_max_pu),
        ),
        currents=currents.source,
        loading_percent=_loading(rating_ka, own_ka, exact_ka),
    )


def _step_groups(trajectory: Trajectory, replayed: Replay) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    """Name groups of steps by axis and group, with the steps (n,) bool that are in each; no group is empty."""
    hour = np.floor(trajectory.step * trajectory.scenario.step_hours + 1e-9).astype(int)
    for value in np.unique(hour):
        yield ("hour", str(value)), hour == value
    level = load_level(np.asarray(trajectory.demand, float))
    for value in np.unique(level):
        yield ("load_level", LOAD_LEVELS[value]), level == value
    for name, where in (("import", replayed.slack_p_mw >= 0), ("export", replayed.slack_p_mw < 0)):
        if where.any():
            yield ("slack_flow", name), where


def load_level(demand: np.ndarray) -> np.ndarray:
    """Third of the steps by Demand that each step is in, (n,) 0..2; steps of equal Demand are in the same."""
    return np.digitize(demand, np.quantile(demand, (1 / 3, 2 / 3)), right=True)


def branch_names(feeder: Feeder, which: np.ndarray) -> list[str]:
    """Name branches by their buses' labels, ``from-to``; the second of parallel ones ends in ``(2)``."""
    labels, topology = feeder.bus_labels, feeder.topology
    seen: dict[str, int] = {}
    names = []
    for row in np.flatnonzero(which):
        name = f"{labels[topology.from_bus[row]]}-{labels[topology.to_bus[row]]}"
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def _branches(feeder: AnyFeeder) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Branches whose currents are compared, (n_branch,) bool, their names and ratings; with phases all conductors."""
    if isinstance(feeder, UnbalancedFeeder):
        return np.ones(len(feeder.branch_labels), bool), list(feeder.branch_labels), feeder.branch_max_i_ka
    closed = np.asarray(feeder.topology.in_service, bool)
    return closed, branch_names(feeder, closed), np.asarray(feeder.max_i_ka, float)[closed]


def _phases(feeder: AnyFeeder) -> dict[str, dict[str, np.ndarray]]:
    """Columns by phase, (n_node,) bool, of each quantity that has phases; a current's conductor need not be one."""
    if not isinstance(feeder, UnbalancedFeeder):
        return {}
    own = np.array([str(label).rpartition(".")[2] for label in feeder.node_labels])
    return {"vm_pu": {str(phase): own == phase for phase in sorted(set(own.tolist()))}}


def _loading(rating_ka: np.ndarray, recorded_ka: np.ndarray, exact_ka: np.ndarray) -> Loading:
    rated = np.isfinite(rating_ka)
    largest = []
    for current_ka in (recorded_ka, exact_ka):
        percent = 100.0 * current_ka[:, rated] / rating_ka[rated]
        known = percent[np.isfinite(percent)]
        largest.append(float(known.max()) if known.size else float("nan"))
    return Loading(largest[0], largest[1], int(rated.sum()))
