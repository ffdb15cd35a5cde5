"""Validate runs: replay, compare, judge, and write `report.json`, `report.md` and `pandapower_steps.csv`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    metadata: Mapping[str, Any] | None = None,
    on_step: OnStep | None = None,
    draw: Draw | None = None,
) -> Report:
    """Replay runs in pandapower, compare, judge and write the report.

    Parameters
    ----------
    trajectories
        One a run, or its file, with different names, of the same days.
    output_folder
        Made if need be; its report files are replaced.
    tolerances
        For all runs; None takes `tolerances_for` each run's power-flow method.
    policies
        By run: what acted, to act once more on pandapower's answers (`closed_loop`). Not on a sample, which begins
        where no closed loop would come to.
    references
        Names of runs that are shown beside the others and whose verdict does not count.
    schedules
        Names of runs by rules or plans that cannot act on observations alone: no closed loop is asked of them, and hard
        violations are not held against them.
    policy_hashes
        SHA-256 of each run's policies, ``{run: {agent: hash}}``: what is validated.
    profiles
        The file that the days are from: it must be the one that the runs name by hash, and their Demand, Solar and
        prices are held against it. None leaves that criterion out.
    sample
        Replay some days only, for a first answer, which never validates.
    n_workers, executor, resume_folder
        As in `replay`.
    metadata
        Plain values that the caller wants in the report.
    on_step
        Called with the numbers of steps done and of all steps of all runs.
    draw
        Called with each run when it is done; what it gives, captions by file name, the page shows.

    Returns
    -------
    Report
        As written to ``report.json``.

    Raises
    ------
    InputError
        If the folder holds another program's files of a report's names, there is no run, two have one name, all are
        references, a reference or policy is of none of them, one cannot be replayed, or `profiles` is another file than
        they name; nothing is written then.
    """
    asked = Asked(
        tolerances=tolerances,
        policies=policies or {},
        references=references,
        schedules=schedules,
        policy_hashes=policy_hashes or {},
        profiles=None if profiles is None else Path(profiles),
        sample=sample,
    )
    folder = Path(output_folder)
    ResultFolder(folder, VALIDATION).check(overwrite=True)
    records = checked_records(trajectories, asked)
    spread, progress = Spread(n_workers, executor, resume_folder), Progress(on_step, asked.n_power_flows(records))
    runs = []
    for record in records:
        run = _validate_record(record, asked, spread, progress)
        runs.append(run if draw is None else replace(run, report=replace(run.report, figures=draw(run))))
    report = _report(runs, records[0], metadata or {})
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
        profiles=asked.profiles,
    )
    return judge_run(record, replayed, closed, own)


def _report(runs: Sequence[Validated], first: Record, metadata: Mapping[str, Any]) -> Report:
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
        """Take `done` of a stage's `of` steps."""
        if self._on_step is not None:
            self._on_step(self._before + done, self._total)
        self._before += of if done == of else 0
