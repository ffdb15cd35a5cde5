"""Validate runs: replay, compare, judge, and write `report.json`, `report.md` and `pandapower_steps.csv`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

import pandas as pd

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.folders.results import ResultFolder
from neomflex_jax.jax_settings import nan_is_a_value, platform_is_there
from validation.asked import Asked, checked_records
from validation.closed_loop.acting import ActingPolicy
from validation.closed_loop.closed_loop import act_again
from validation.errors.ranking import Ranking, ranking_of
from validation.judge_run import RunAsked, Validated, judge_run
from validation.recompute.record import Record
from validation.referee.replay import OnStep, replay_record
from validation.referee.workers import Spread
from validation.report import provenance
from validation.report.report import Report
from validation.report.report_folder import VALIDATION
from validation.report.write import write_report
from validation.sample import Sample
from validation.verdict.run_kinds import kind_of
from validation.verdict.tolerances import Tolerances

Draw = Callable[[Validated], Mapping[str, str]]  # captions of a run's figures by file name


@platform_is_there()
@nan_is_a_value()
def validate(
    trajectories: Sequence[Trajectory | str | Path],
    output_folder: str | Path,
    tolerances: Tolerances | None = None,
    *,
    policies: Mapping[str, ActingPolicy] | None = None,
    references: Collection[str] = (),
    schedules: Collection[str] = (),
    policy_hashes: Mapping[str, Mapping[str, str]] | None = None,
    profiles: str | Path | None = None,
    sample: Sample | None = None,
    n_workers: int = 1,
    executor: Executor | None = None,
    resume_folder: str | Path | None = None,
    metadata: Mapping[str, object] | None = None,
    on_step: OnStep | None = None,
    draw: Draw | None = None,
) -> Report:
    """Replay runs in pandapower's AC power flow, compare, judge and write the report.

    Parameters
    ----------
    trajectories
        The runs, or their files: all of the same days, with different names.
    output_folder
        Folder of the report; made if need be, and report files in it are replaced.
    tolerances
        For all runs; None: those of each run's power-flow method (`tolerances_for`).
    policies
        By run: acts once more, on pandapower's answers (`closed_loop`); not where `sample` leaves out days.
    references
        Names of runs that are shown beside the others and whose verdicts do not count.
    schedules
        Names of runs by rules or plans, which see more than observations: no closed loop, and hard violations pass.
    policy_hashes, metadata
        Stated in the report: what is validated, as ``{run: {agent: SHA-256}}``, and plain values of the caller's.
    profiles
        File of the days: the runs' Demand, Solar, prices and hash are held against it. None: that is not checked.
    sample
        Replay some days only, for a first answer, which never validates.
    n_workers, executor, resume_folder
        As in `replay`.
    on_step, draw
        Called with the steps done and their total; with each run once it is judged, for captions by figure file.

    Returns
    -------
    Report
        As written to ``report.json``.

    Raises
    ------
    InputError
        Before anything is written: without runs, on equal names, runs of other days, one that cannot be replayed, only
        references, names of no run, other profiles than the runs', or another program's files in the folder.
    """
    asked = Asked(tolerances, policies or {}, references, schedules, policy_hashes or {}, profiles, sample)
    spread = Spread(n_workers, executor, resume_folder)
    return _validate(trajectories, Path(output_folder), asked, spread, metadata or {}, on_step, draw)


def _validate(
    trajectories: Sequence[Trajectory | str | Path],
    folder: Path,
    asked: Asked,
    spread: Spread,
    metadata: Mapping[str, object],
    on_step: OnStep | None,
    draw: Draw | None,
) -> Report:
    ResultFolder(folder, VALIDATION).check(overwrite=True)
    records = checked_records(trajectories, asked)
    progress = Progress(on_step, asked.n_power_flows(records))
    runs = []
    for record in records:
        run = _validate_record(record, asked, spread, progress)
        runs.append(run if draw is None else replace(run, report=replace(run.report, figures=draw(run))))
    report = _report(runs, records[0], metadata)
    write_report(folder, report, pd.concat([run.steps for run in runs]))
    return report


def _validate_record(whole: Record, asked: Asked, spread: Spread, progress: Progress) -> Validated:
    """Replay one run or the sampled days of it, let its policy act once more, and judge it."""
    trajectory, name = whole.trajectory, whole.trajectory.run
    record = whole if asked.sample is None else whole.on_days(asked.sample.draw(whole.n_days))
    replayed = replay_record(record, spread, progress.advance)
    closed = act_again(whole, asked.policies[name], progress.advance) if asked.acts(whole) else None
    is_reference = name in asked.references
    own = RunAsked(
        reference=is_reference,
        kind=kind_of(trajectory, reference=is_reference, schedule=name in asked.schedules),
        tolerances=asked.tolerances,
        policy_hashes=asked.policy_hashes.get(name, {}),
        profiles=None if asked.profiles is None else Path(asked.profiles),
    )
    return judge_run(record, replayed, closed, own)


def _report(runs: Sequence[Validated], first: Record, metadata: Mapping[str, object]) -> Report:
    """Put the runs together; days are counted from the profiles' first."""
    steps = first.trajectory.scenario.steps_per_day
    return Report(
        runs=tuple(run.report for run in runs),
        days=tuple(int(row) // steps for row in runs[0].trajectory.dataset_index[::steps]),
        n_days=first.n_days,
        ranking=_ranking(runs),
        versions=provenance.versions(),
        git_commit=provenance.git_commit(),
        machine=provenance.machine(),
        metadata=dict(metadata),
    )


def _ranking(runs: Sequence[Validated]) -> Ranking:
    costs = {run.report.run: run.report.metrics.mean_day_cost for run in runs}
    sides = ({name: getattr(cost, side) for name, cost in costs.items()} for side in ("recorded", "pandapower"))
    return ranking_of(*sides)


class Progress:
    """Adds up the steps of one stage after another."""

    def __init__(self, on_step: OnStep | None, total: int) -> None:
        self._on_step, self._total, self._before = on_step, total, 0

    def advance(self, done: int, of: int) -> None:
        """Report that `done` of a stage's `of` steps are made."""
        if self._on_step is not None:
            self._on_step(self._before + done, self._total)
        self._before += of if done == of else 0
