"""Validate runs: replay, compare, judge, and write `report.json`, `report.md` and `pandapower_steps.csv`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.files.whole_files import write_whole
from neomflex_jax.folders.results import ResultFolder
from neomflex_jax.grid import load_feeder
from neomflex_jax.jax_settings import nan_is_a_value, platform_is_there
from validation.closed_loop.acting import ActingPolicy
from validation.closed_loop.closed_loop import closed_loop
from validation.errors.ranking import Ranking, ranking_of
from validation.judge_run import Validated, judge_run
from validation.recompute.checks import check_trajectory
from validation.recompute.profile_check import check_profiles_file
from validation.referee.replay import replay
from validation.report import provenance
from validation.report.markdown import render_markdown
from validation.report.report import Report
from validation.report.report_folder import PAGE, REPORT, STEPS, VALIDATION, hashes_of
from validation.sample import Sample, replayable, whole_days
from validation.verdict.kinds import kind_of
from validation.verdict.tolerances import Tolerances


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

    Raises
    ------
    InputError
        If the folder holds another program's files of a report's names, there is no run, two have one name, all are
        references, a reference or policy is of none of them, one cannot be replayed, or `profiles` is another file than
        they name; nothing is written then.
    """
    ResultFolder(Path(output_folder), VALIDATION).check(overwrite=True)
    source = None if profiles is None else Path(profiles)
    whole = _checked_runs(trajectories, references, policies or {}, source)
    n_days = whole[0].n_steps // whole[0].scenario.steps_per_day
    asked = _Asked(
        tolerances=tolerances,
        policies=policies if policies is not None and sample is None else {},
        references=references,
        schedules=schedules,
        policy_hashes=policy_hashes or {},
        profiles=source,
        days=tuple(range(n_days)) if sample is None else sample.draw(n_days),
        is_sample=sample is not None,
        replaying={"n_workers": n_workers, "executor": executor, "resume_folder": resume_folder},
    )
    progress = Progress(on_step, asked.n_steps(whole))
    runs: list[Validated] = []
    for trajectory in whole:
        run = _validate_run(trajectory, asked, progress)
        runs.append(run if draw is None else replace(run, report=replace(run.report, figures=draw(run))))
    report = _report(runs, whole[0], asked.days, metadata)
    _write(Path(output_folder), report, runs)
    return report


@dataclass(frozen=True, eq=False)
class _Asked:
    """What is asked of all runs, as `validate` takes it."""

    tolerances: Tolerances | None
    policies: Mapping[str, ActingPolicy]  # none on a sample
    references: Collection[str]
    schedules: Collection[str]
    policy_hashes: Mapping[str, Mapping[str, str]]
    profiles: Path | None
    days: tuple[int, ...]  # counted from the runs' first
    is_sample: bool
    replaying: Mapping[str, Any]  # how the days are spread, as `replay` takes it

    def acts(self, run: str) -> bool:
        """Whether a run's policy acts once more, in closed loop."""
        return run in self.policies and run not in self.references

    def n_steps(self, whole: Sequence[Trajectory]) -> int:
        """Count the power flows of all replays and closed loops."""
        stages = len(whole) + sum(self.acts(each.run) for each in whole)
        return stages * len(self.days) * whole[0].scenario.steps_per_day


def _validate_run(whole: Trajectory, asked: _Asked, progress: Progress) -> Validated:
    """Replay one run or the sampled days of it, let its policy act once more, and judge it."""
    name = whole.run
    chosen = whole_days(whole, asked.days) if asked.is_sample else whole
    to_replay = replayable(chosen) if asked.is_sample else whole
    replayed = replay(to_replay, on_step=progress.advance, **asked.replaying)
    closed = closed_loop(whole, asked.policies[name], on_step=progress.advance) if asked.acts(name) else None
    return judge_run(
        chosen,
        replayed,
        whole=whole,
        tolerances=asked.tolerances,
        reference=name in asked.references,
        kind=kind_of(whole, reference=name in asked.references, schedule=name in asked.schedules),
        policy_hashes=asked.policy_hashes.get(name, {}),
        closed=closed,
        profiles=asked.profiles,
    )


def _report(
    runs: Sequence[Validated], first: Trajectory, days: tuple[int, ...], metadata: Mapping[str, Any] | None
) -> Report:
    """Put the runs together; days are counted from the profiles' first."""
    steps = first.scenario.steps_per_day
    first_day = int(first.dataset_index[0]) // steps
    return Report(
        runs=tuple(run.report for run in runs),
        days=tuple(first_day + day for day in days),
        n_days=first.n_steps // steps,
        ranking=_ranking(runs),
        versions=provenance.versions(),
        git_commit=provenance.git_commit(),
        machine=provenance.machine(),
        metadata=dict(metadata or {}),
    )


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


def _checked_runs(
    runs: Sequence[Trajectory | str | Path],
    references: Collection[str],
    policies: Collection[str],
    profiles: Path | None,
) -> list[Trajectory]:
    """Read runs and make sure that they can be validated together."""
    trajectories = [each if isinstance(each, Trajectory) else Trajectory.load(Path(each)) for each in runs]
    names = [trajectory.run for trajectory in trajectories]
    if not names:
        raise InputError("there is no run to validate; give at least one trajectory")
    if len(set(names)) < len(names):
        raise InputError(f"the runs need different names; they are {', '.join(names)}")
    for what, given in (("reference run", references), ("run of a policy", policies)):
        for name in given:
            if name not in names:
                raise unknown_name(what, name, names)
    if set(names) <= set(references):
        raise InputError("every run is a reference; leave out of `references` what is to be judged")
    for trajectory in trajectories:  # before the first replay: a bad run must not cost the time of the good ones
        check_trajectory(trajectory, load_feeder(trajectory.scenario.feeder))
    rows = trajectories[0].dataset_index
    for trajectory in trajectories[1:]:
        if not np.array_equal(trajectory.dataset_index, rows):
            raise InputError(f"runs {names[0]!r} and {trajectory.run!r} have other days; record both on the same")
    if profiles is not None:
        for trajectory in trajectories:
            check_profiles_file(trajectory, profiles)
    return trajectories


def _write(folder: Path, report: Report, runs: Sequence[Validated]) -> None:
    """Write the report's files; no verdict stands over other figures than its own, whenever this is cut off."""
    folder.mkdir(parents=True, exist_ok=True)
    for headline in VALIDATION.headlines:
        (folder / headline).unlink(missing_ok=True)
    write_whole(folder / STEPS, pd.concat([run.steps for run in runs]).to_csv(index=False))
    write_whole(folder / PAGE, render_markdown(report))
    figures = [name for run in report.runs for name in run.figures if Path(name).name == name]
    write_whole(folder / REPORT, report.to_json(hashes_of(folder, (STEPS, PAGE, *figures))))
