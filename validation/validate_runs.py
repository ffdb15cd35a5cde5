"""Validate runs: replay, compare, judge, and write `report.json`, `report.md` and `pandapower_steps.csv`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import load_feeder
from neomflex_jax.whole_files import write_whole
from validation import provenance
from validation.acting import ActingPolicy
from validation.checks import check_trajectory
from validation.closed_loop import closed_loop
from validation.judge_run import Validated, judge_run
from validation.markdown import render_markdown
from validation.profile_check import check_profiles_file
from validation.ranking import Ranking, ranking_of
from validation.replay import replay
from validation.report import Report
from validation.sample import Sample, replayable, whole_days
from validation.tolerances import Tolerances


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
    on_step: Callable[[int, int], None] | None = None,
    draw: Callable[[Validated], Mapping[str, str]] | None = None,
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
        Names of runs by rules or plans that cannot act on observations alone: no closed loop is asked of them.
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

    Raises
    ------
    InputError
        If there is no run, two have one name, all are references, one cannot be replayed, or `profiles` is another file
        than they name; nothing is written then.
    """
    whole = [each if isinstance(each, Trajectory) else Trajectory.load(Path(each)) for each in trajectories]
    _check_runs(whole, references)
    source = None if profiles is None else Path(profiles)
    if source is not None:
        for each in whole:
            check_profiles_file(each, source)
    n_days = whole[0].n_steps // whole[0].scenario.steps_per_day
    days = tuple(range(n_days)) if sample is None else sample.draw(n_days)
    acting = policies if policies is not None and sample is None else {}
    stages = len(whole) + sum(each.run in acting and each.run not in references for each in whole)
    progress = Progress(on_step, stages * len(days) * whole[0].scenario.steps_per_day)
    runs: list[Validated] = []
    for trajectory in whole:
        chosen = trajectory if sample is None else whole_days(trajectory, days)
        replayed = replay(
            trajectory if sample is None else replayable(chosen),
            on_step=progress.advance,
            n_workers=n_workers,
            executor=executor,
            resume_folder=resume_folder,
        )
        acts = trajectory.run in acting and trajectory.run not in references
        run = judge_run(
            chosen,
            replayed,
            whole=trajectory,
            tolerances=tolerances,
            reference=trajectory.run in references,
            closes=trajectory.run not in (*references, *schedules),
            policy_hashes=(policy_hashes or {}).get(trajectory.run, {}),
            closed=closed_loop(trajectory, acting[trajectory.run], on_step=progress.advance) if acts else None,
            profiles=source,
        )
        if draw is not None:
            run = replace(run, report=replace(run.report, figures=draw(run)))
        runs.append(run)
    first_day = int(whole[0].dataset_index[0]) // whole[0].scenario.steps_per_day
    report = Report(
        runs=tuple(run.report for run in runs),
        days=tuple(first_day + day for day in days),
        n_days=n_days,
        ranking=_ranking(runs),
        versions=provenance.versions(),
        git_commit=provenance.git_commit(),
        machine=provenance.machine(),
        metadata=dict(metadata or {}),
    )
    _write(Path(output_folder), report, runs)
    return report


class Progress:
    """Adds up the steps of one stage after another."""

    def __init__(self, on_step: Callable[[int, int], None] | None, total: int) -> None:
        self._on_step, self._total, self._before = on_step, total, 0

    def advance(self, done: int, of: int) -> None:
        """Take `done` of a stage's `of` steps."""
        if self._on_step is not None:
            self._on_step(self._before + done, self._total)
        self._before += of if done == of else 0


def _ranking(runs: Sequence[Validated]) -> Ranking:
    costs = {run.report.run: run.report.metrics.mean_day_cost for run in runs}
    sides = ({name: getattr(cost, side) for name, cost in costs.items()} for side in ("recorded", "pandapower"))
    return ranking_of(*sides)


def _check_runs(trajectories: Sequence[Trajectory], references: Collection[str]) -> None:
    names = [trajectory.run for trajectory in trajectories]
    if not names:
        raise InputError("there is no run to validate; give at least one trajectory")
    if len(set(names)) < len(names):
        raise InputError(f"the runs need different names; they are {', '.join(names)}")
    for name in references:
        if name not in names:
            raise unknown_name("reference run", name, names)
    if set(names) <= set(references):
        raise InputError("every run is a reference; leave out of `references` what is to be judged")
    for trajectory in trajectories:  # before the first replay: a bad run must not cost the time of the good ones
        check_trajectory(trajectory, load_feeder(trajectory.scenario.feeder))
    rows = trajectories[0].dataset_index
    for trajectory in trajectories[1:]:
        if not np.array_equal(trajectory.dataset_index, rows):
            raise InputError(f"runs {names[0]!r} and {trajectory.run!r} have other days; record both on the same")


def _write(folder: Path, report: Report, runs: Sequence[Validated]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "pandapower_steps.csv", pd.concat([run.steps for run in runs]).to_csv(index=False))
    write_whole(folder / "report.md", render_markdown(report))
    write_whole(folder / "report.json", report.to_json())
