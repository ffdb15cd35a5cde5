"""One replayed run, compared and judged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from neomflex_jax.evaluation.operation import operation
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import load_feeder
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.fingerprint import feeder_hash
from neomflex_jax.one_line import one_line
from validation.closed_loop.gap import ClosedLoop
from validation.errors.budget import error_budget
from validation.errors.currents import recorded_currents
from validation.errors.metrics import Metrics, compare
from validation.recompute.profile_check import profile_gap
from validation.referee.feeder_net import runpp_needs
from validation.referee.replay import Replay
from validation.referee.second_referee import second_referee
from validation.report.report import RunReport
from validation.report.step_table import step_table
from validation.verdict.criteria import Criterion, judge, verdict_of
from validation.verdict.kinds import POLICY
from validation.verdict.tolerances import Tolerances, changes, tolerances_for


@dataclass(frozen=True, eq=False)
class Validated:
    """One run with everything that figures are drawn from."""

    trajectory: Trajectory
    replayed: Replay
    report: RunReport
    steps: pd.DataFrame  # as in pandapower_steps.csv

    __repr__ = one_line


def judge_run(
    trajectory: Trajectory,
    replayed: Replay,
    *,
    whole: Trajectory,
    tolerances: Tolerances | None,
    reference: bool,
    kind: str,
    policy_hashes: Mapping[str, str],
    closed: ClosedLoop | None,
    profiles: Path | None = None,
) -> Validated:
    """Judge a run, or some days of it.

    Parameters
    ----------
    trajectory, replayed
        The days in question, and pandapower's answers to them.
    whole
        The run that they are from: forecasts, energies and ramps go across midnight.
    tolerances
        None takes those of the run's method.
    reference
        Whether its verdict counts for nothing.
    kind
        What it is, of `kinds.KINDS`. Of a policy a closed loop and the hard limits are asked.
    policy_hashes
        Of its policies, by agent.
    closed
        The closed loop of a run that is no reference; None if there was none.
    profiles
        The file that the days are from, to hold them against it; None leaves that out.
    """
    scenario, feeder = trajectory.scenario, load_feeder(trajectory.scenario.feeder)
    metrics, series = compare(trajectory, replayed, whole=whole)
    default = tolerances_for(trajectory.power_flow)
    used = default if tolerances is None else tolerances
    off_profiles = None if profiles is None else profile_gap(trajectory, profiles)
    criteria = _criteria(metrics, used, kind == POLICY, closed, off_profiles)
    by_day = (-1, scenario.steps_per_day)
    report = RunReport(
        run=trajectory.run,
        reference=reference,
        kind=kind,
        **_identity(trajectory, feeder),
        policies_sha256=dict(policy_hashes),
        runpp_needs=runpp_needs(feeder),
        tolerances=used,
        own_tolerances=changes(used, default),
        verdict=verdict_of(criteria),
        criteria=criteria,
        metrics=metrics,
        budget=error_budget(trajectory, replayed, feeder, recorded_currents(trajectory, feeder)),
        recorded_operation=operation(trajectory, trajectory, feeder),
        operation=operation(trajectory, replayed, feeder),
        recorded_day_cost=tuple(series.recorded_cost.reshape(by_day).sum(axis=1).tolist()),
        day_cost=tuple(series.cost.reshape(by_day).sum(axis=1).tolist()),
        closed_loop=None if closed is None else closed.as_dict(),
        second_referee=second_referee(trajectory, replayed).as_dict(),
        figures={},
    )
    return Validated(trajectory, replayed, report, step_table(trajectory, replayed, series))


def _criteria(
    metrics: Metrics, tolerances: Tolerances, is_policy: bool, closed: ClosedLoop | None, profile_max: float | None
) -> tuple[Criterion, ...]:
    """Judge; a closed loop that is asked for and was not played has no value, which is not a pass."""
    gap = None if not is_policy else math.nan if closed is None else closed.cost_gap_share
    return judge(
        metrics,
        tolerances,
        gap,
        profile_max=profile_max,
        is_policy=is_policy,
        closed_loop_failed_flows=None if closed is None else closed.failed_flows,
        closed_loop_spot_max_pu=None if closed is None else closed.spot_max_pu,
    )


def _identity(trajectory: Trajectory, feeder: Feeder) -> dict[str, str]:
    """Say what was played, by name and by hash."""
    scenario = trajectory.scenario
    return {
        "scenario": scenario.name + (f", variant {scenario.variant}" if scenario.variant else ""),
        "scenario_hash": scenario.hash(),
        "feeder_sha256": feeder_hash(feeder),
        "task_hash": replace(scenario, power_flow="ac").hash(),
        "power_flow": trajectory.power_flow,
        "profiles_sha256": trajectory.profiles_sha256,
    }
