"""One replayed run, compared and judged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from neomflex_jax.evaluation.operation import operation
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import Feeder
from neomflex_jax.grid.fingerprint import feeder_hash
from neomflex_jax.one_line import one_line
from validation.closed_loop.gap import ClosedLoop
from validation.errors.budget import error_budget
from validation.errors.currents import recorded_currents
from validation.errors.metrics import Metrics, compare_record
from validation.recompute.profile_check import profile_gap
from validation.recompute.record import Record
from validation.referee.feeder_net import runpp_needs
from validation.referee.replay import Replay
from validation.referee.second_referee import ask_again
from validation.referee.solvers import OPENDSS, program_for
from validation.report.report import RunReport
from validation.report.step_table import step_table
from validation.verdict.criteria import Criterion, judge, missing_twins, verdict_of
from validation.verdict.run_kinds import POLICY
from validation.verdict.tolerances import Tolerances, changes, tolerances_for


@dataclass(frozen=True, eq=False)
class Validated:
    """One validated run, with everything that figures are drawn from."""

    trajectory: Trajectory
    replayed: Replay
    report: RunReport
    steps: pd.DataFrame  # one row a step, as in pandapower_steps.csv

    __repr__ = one_line


@dataclass(frozen=True, eq=False)
class RunAsked:
    """What one run is to a validation."""

    kind: str  # of `run_kinds.KINDS`; of a policy a closed loop and the hard limits are asked
    reference: bool  # its verdict counts for nothing
    tolerances: Tolerances | None  # None: those of its power-flow method
    policy_hashes: Mapping[str, str]  # SHA-256 by agent
    profiles: Path | None  # the file that the days are from, to hold them against it


def judge_run(record: Record, replayed: Replay, closed: ClosedLoop | None, asked: RunAsked) -> Validated:
    """Judge a run, or some days of it; `closed` is None where the policy did not act on pandapower's answers."""
    trajectory = record.trajectory
    metrics, series = compare_record(record, replayed)
    default = tolerances_for(trajectory.power_flow)
    tolerances = default if asked.tolerances is None else asked.tolerances
    off_profiles = None if asked.profiles is None else profile_gap(trajectory, asked.profiles, record.feeder)
    in_opendss = program_for(record.feeder) == OPENDSS
    criteria = _criteria(metrics, tolerances, asked.kind == POLICY, closed, off_profiles, in_opendss=in_opendss)
    criteria += missing_twins(record.without_twin, record.terms_without_twin, record.observations_without_twin)
    report = RunReport(
        run=trajectory.run,
        reference=asked.reference,
        kind=asked.kind,
        **_identity(record),
        policies_sha256=dict(asked.policy_hashes),
        runpp_needs=runpp_needs(record.feeder) if isinstance(record.feeder, Feeder) else {},
        referee=program_for(record.feeder),
        tolerances=tolerances,
        own_tolerances=changes(tolerances, default),
        verdict=verdict_of(criteria),
        criteria=criteria,
        metrics=metrics,
        budget=error_budget(record, replayed, recorded_currents(record)),
        recorded_operation=operation(trajectory, trajectory, record.feeder),
        operation=operation(trajectory, replayed, record.feeder),
        recorded_day_cost=_by_day(record, series.recorded_cost),
        day_cost=_by_day(record, series.cost),
        closed_loop=None if closed is None else closed.as_dict(),
        second_referee=ask_again(record, replayed).as_dict(),
        figures={},
    )
    return Validated(trajectory, replayed, report, step_table(trajectory, replayed, series))


def _criteria(
    metrics: Metrics,
    tolerances: Tolerances,
    is_policy: bool,
    closed: ClosedLoop | None,
    profile_max: float | None,
    *,
    in_opendss: bool,
) -> tuple[Criterion, ...]:
    """Judge; a closed loop that is asked for and was not played has no value, which is not a pass."""
    spot = "closed_loop_spot_opendss_max_pu" if in_opendss else "closed_loop_spot_max_pu"
    gap = None if not is_policy else math.nan if closed is None else closed.cost_gap_share
    return judge(
        metrics,
        tolerances,
        gap,
        profile_max=profile_max,
        is_policy=is_policy,
        closed_loop_failed_flows=None if closed is None else closed.failed_flows,
        **{spot: None if closed is None else closed.spot_max_pu},
    )


def _identity(record: Record) -> dict[str, str]:
    """Identify what was played, by name and by hash."""
    scenario = record.trajectory.scenario
    return {
        "scenario": scenario.name + (f", variant {scenario.variant}" if scenario.variant else ""),
        "scenario_hash": scenario.hash(),
        "feeder_sha256": feeder_hash(record.feeder),
        "task_hash": replace(scenario, power_flow="ac").hash(),
        "power_flow": record.trajectory.power_flow,
        "profiles_sha256": record.trajectory.profiles_sha256,
    }


def _by_day(record: Record, cost: np.ndarray) -> tuple[float, ...]:
    """Return each day's sum of a cost by step (n,)."""
    steps_per_day = record.trajectory.scenario.steps_per_day
    return tuple(cost.reshape(-1, steps_per_day).sum(axis=1).tolist())
