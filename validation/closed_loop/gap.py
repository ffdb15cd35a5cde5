"""The sim-to-real gap: a recorded run beside the same policy's closed loop in pandapower, by day.

A gap is closed loop minus record. Costs are minus the team reward, both worked out from each side's own voltages.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.one_line import one_line
from validation.errors.summary import outside
from validation.recompute.loading import Limited
from validation.recompute.twins import stores_of
from validation.referee.runpp import OK


@dataclass(frozen=True)
class DayGap:
    """One day of both runs."""

    day: int
    recorded_cost: float
    cost: float
    recorded_local_reward: tuple[float, ...]  # by agent
    local_reward: tuple[float, ...]
    recorded_hard_violations: int  # bus-steps, as the band's
    hard_violations: int
    recorded_outside_band: int
    outside_band: int
    recorded_losses_mwh: float
    losses_mwh: float
    vm_gap_max_pu: float  # largest absolute difference of a voltage; NaN if there is none to compare
    action_gap_max: float
    soc_gap_max: float  # at the day's end
    recorded_loading_violations: int | None = None  # branch-steps above hard limits; None: nothing is limited
    loading_violations: int | None = None
    # steps in which a request near the record's was taken for it and moved a device elsewhere than it would have; None:
    # no device has positions to ask for
    positions_by_record: int | None = None

    @property
    def cost_gap(self) -> float:
        """How much dearer the day is in pandapower."""
        return self.cost - self.recorded_cost


@dataclass(frozen=True)
class Parting:
    """The first step at which the two runs differ by more than a tolerance."""

    row: int  # of the record
    day: int
    step: int
    what: str  # action or voltage
    where: str  # "agent_1, entry 0" or "bus 17"
    recorded: float
    closed_loop: float
    tolerance: float


@dataclass(frozen=True)
class Apart:
    """Differences above which two runs have parted."""

    action: float = 1e-3
    vm_pu: float = 1e-4


@dataclass(frozen=True, eq=False)
class Played:
    """What was played in closed loop."""

    trajectory: Trajectory
    status: np.ndarray  # (n,) of every power flow, as `Replay` has it
    spot_max_pu: float  # largest difference of a voltage where a step was solved by plain `runpp` too
    by_record: np.ndarray | None = None  # (n,) steps in which the record decided a position; None: there is none

    __repr__ = one_line


@dataclass(frozen=True, eq=False)
class ClosedLoop:
    """What the policy did in pandapower, beside what it did in the record."""

    run: str
    power_flow: str  # the record's method
    agents: tuple[str, ...]
    days: tuple[DayGap, ...]
    recorded_cost: float  # of all days
    cost: float
    cost_gap_share: float  # sum of the days' |cost - recorded| of the recorded |cost|; NaN if that is 0
    vm_gap_max_pu: float
    failed_flows: int  # steps that pandapower could not solve in closed loop
    parting: Parting | None  # None: the runs stay together
    spot_max_pu: float  # one step a day by plain `runpp` too: largest difference of a voltage from it
    recorded: Trajectory
    played: Trajectory  # the closed loop as a record, to replay, tabulate and plot

    __repr__ = one_line

    def as_dict(self) -> dict[str, object]:
        """Return plain values, without the two trajectories."""
        plain = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("days", "parting", "recorded", "played")
        }
        days = [
            {name: value for name, value in vars(day).items() if value is not None} | {"cost_gap": day.cost_gap}
            for day in self.days
        ]
        return plain | {"days": days, "parting": None if self.parting is None else dataclasses.asdict(self.parting)}


def compare_loops(recorded: Trajectory, played: Played, apart: Apart, limited: Limited | None = None) -> ClosedLoop:
    """Hold a closed loop against the record it began from; `limited` are the branches with limits of loading."""
    steps, again = recorded.scenario.steps_per_day, played.trajectory
    days = tuple(_day_gap(recorded, played, day, limited) for day in range(recorded.n_steps // steps))
    recorded_cost, cost = sum(day.recorded_cost for day in days), sum(day.cost for day in days)
    return ClosedLoop(
        run=recorded.run,
        power_flow=recorded.power_flow,
        agents=recorded.scenario.agents,
        days=days,
        recorded_cost=recorded_cost,
        cost=cost,
        cost_gap_share=_share(days),
        vm_gap_max_pu=_largest(recorded.vm_pu, again.vm_pu),
        failed_flows=int((played.status != OK).sum()),
        parting=_parting(recorded, again, apart),
        spot_max_pu=played.spot_max_pu,
        recorded=recorded,
        played=again,
    )


def _share(days: tuple[DayGap, ...]) -> float:
    """Size of the gaps as a share of the recorded cost; day by day, so that dear days and cheap ones do not cancel."""
    recorded = sum(abs(day.recorded_cost) for day in days)
    return sum(abs(day.cost_gap) for day in days) / recorded if recorded else math.nan


def _day_gap(recorded: Trajectory, loop: Played, day: int, limited: Limited | None) -> DayGap:
    played, by_record = loop.trajectory, loop.by_record
    steps, hours, limits = recorded.scenario.steps_per_day, recorded.scenario.step_hours, recorded.scenario.limits
    rows = slice(day * steps, (day + 1) * steps)

    def costs(run: Trajectory) -> tuple[float, tuple[float, ...], int, int, float]:
        rewards = np.asarray(run.local_reward[rows], float).sum(axis=0)
        vm_pu = np.asarray(run.vm_pu[rows], float)
        hard = int(outside(vm_pu, limits.hard_min_pu, limits.hard_max_pu).sum())
        band = int(outside(vm_pu, limits.band_min_pu, limits.band_max_pu).sum())
        losses_mwh = float(np.nansum(np.asarray(run.loss_mw[rows], float)) * hours)
        return float(-rewards.sum()), tuple(rewards.tolist()), hard, band, losses_mwh

    before, after = costs(recorded), costs(played)
    return DayGap(
        day=day,
        recorded_cost=before[0],
        cost=after[0],
        recorded_local_reward=before[1],
        local_reward=after[1],
        recorded_hard_violations=before[2],
        hard_violations=after[2],
        recorded_outside_band=before[3],
        outside_band=after[3],
        recorded_losses_mwh=before[4],
        losses_mwh=after[4],
        vm_gap_max_pu=_largest(recorded.vm_pu[rows], played.vm_pu[rows]),
        action_gap_max=_largest(recorded.actions[rows].values, played.actions[rows].values),
        soc_gap_max=_soc_gap(recorded, played, rows.stop - 1),
        recorded_loading_violations=_overloads(recorded, rows, limited),
        loading_violations=_overloads(played, rows, limited),
        positions_by_record=None if by_record is None else int(by_record[rows].sum()),
    )


def _overloads(run: Trajectory, rows: slice, limited: Limited | None) -> int | None:
    """Steps x branches above their hard limits in some rows; None where nothing is limited."""
    if limited is None or run.branch_loading_percent is None:
        return None
    return int(limited.above(run.branch_loading_percent[rows], limited.hard_percent).sum())


def _soc_gap(recorded: Trajectory, played: Trajectory, row: int) -> float:
    """Largest difference of a state of charge after a step; 0 where nothing has one."""
    names = [store.after for _, store, _ in stores_of(recorded.scenario) if store.entry == "soc"]
    gaps = [_largest(getattr(recorded, name)[row], getattr(played, name)[row]) for name in names]
    return float(np.max(gaps, initial=0.0))


def _largest(one: np.ndarray, other: np.ndarray) -> float:
    difference = np.abs(np.asarray(one, float) - np.asarray(other, float))
    finite = difference[np.isfinite(difference)]
    return float(finite.max()) if finite.size else (math.nan if difference.size else 0.0)


def _parting(recorded: Trajectory, played: Trajectory, apart: Apart) -> Parting | None:
    found = []
    actions, vm_pu = (recorded.actions.values, played.actions.values), (recorded.vm_pu, played.vm_pu)
    compared = (("action", actions, apart.action), ("voltage", vm_pu, apart.vm_pu))
    for order, (what, both, tolerance) in enumerate(compared):
        before, after = (np.asarray(values, float) for values in both)
        together = (np.abs(before - after) <= tolerance) | (np.isnan(before) & np.isnan(after))
        places = np.argwhere(~together)
        if len(places):
            found.append((int(places[0][0]), order, what, tuple(places[0]), before, after, tolerance))
    if not found:
        return None
    row, _, what, place, before, after, tolerance = min(found, key=lambda one: one[:2])
    where = f"bus {recorded.nodes.labels[place[1]]}"
    if what == "action":
        agent, entry = recorded.actions.entry(place[1:])
        where = f"{recorded.scenario.agents[agent]}, entry {entry}"
    day, step = divmod(row, recorded.scenario.steps_per_day)
    return Parting(row, day, step, what, where, float(before[place]), float(after[place]), tolerance)
