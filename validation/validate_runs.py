"""Validate runs: replay, compare, judge, and write `report.json`, `report.md` and `pandapower_steps.csv`."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.evaluation.operation import operation
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import load_feeder
from validation import provenance
from validation.budget import error_budget
from validation.checks import check_trajectory
from validation.currents import recorded_currents
from validation.feeder_net import runpp_needs
from validation.markdown import render_markdown
from validation.metrics import compare
from validation.ranking import ranking_of
from validation.replay import Replay, replay
from validation.report import Report, RunReport
from validation.sample import Sample, replayable, whole_days
from validation.step_table import step_table
from validation.tolerances import Tolerances, changes, tolerances_for
from validation.verdict import judge, verdict_of


@dataclass(frozen=True, eq=False)
class Validated:
    """One run with everything that figures are drawn from."""

    trajectory: Trajectory
    replayed: Replay
    report: RunReport
    steps: pd.DataFrame  # as in pandapower_steps.csv


def validate(
    trajectories: Sequence[Trajectory],
    output_folder: str | Path,
    tolerances: Tolerances | None = None,
    *,
    references: Collection[str] = (),
    policy_hashes: Mapping[str, Mapping[str, str]] | None = None,
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
        One a run, with different names.
    output_folder
        Made if need be; its report files are replaced.
    tolerances
        For all runs; None takes `tolerances_for` each run's power-flow method.
    references
        Names of runs that are shown beside the others and whose verdict does not count.
    policy_hashes
        SHA-256 of each run's policies, ``{run: {agent: hash}}``: what is validated.
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
        If there is no run, two have one name, all are references, or one cannot be replayed; nothing is written then.
    """
    _check_runs(trajectories, references)
    hashes = policy_hashes or {}
    days = _days(trajectories, sample)
    chosen = [whole_days(each, days) for each in trajectories] if sample is not None else list(trajectories)
    total, done = sum(trajectory.n_steps for trajectory in chosen), 0
    runs: list[Validated] = []
    for trajectory in chosen:
        before = done

        def forward(step: int, _: int, before: int = before) -> None:
            if on_step is not None:
                on_step(before + step, total)

        replayed = replay(
            trajectory if sample is None else replayable(trajectory),
            on_step=forward,
            n_workers=n_workers,
            executor=executor,
            resume_folder=resume_folder,
        )
        is_reference = trajectory.run in references
        runs.append(_judge(trajectory, replayed, tolerances, is_reference, hashes.get(trajectory.run, {})))
        done += trajectory.n_steps
        if draw is not None:
            runs[-1] = replace(runs[-1], report=replace(runs[-1].report, figures=draw(runs[-1])))
    report = Report(
        runs=tuple(run.report for run in runs),
        days=tuple(int(day) for day in _first_rows(chosen[0]) // chosen[0].scenario.steps_per_day),
        n_days=trajectories[0].n_steps // trajectories[0].scenario.steps_per_day,
        ranking=ranking_of(
            *(
                {run.report.run: getattr(run.report.metrics.mean_day_cost, side) for run in runs}
                for side in ("recorded", "pandapower")
            )
        ),
        versions=provenance.versions(),
        git_commit=provenance.git_commit(),
        machine=provenance.machine(),
        metadata=dict(metadata or {}),
    )
    _write(Path(output_folder), report, runs)
    return report


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


def _days(trajectories: Sequence[Trajectory], sample: Sample | None) -> tuple[int, ...]:
    n_days = trajectories[0].n_steps // trajectories[0].scenario.steps_per_day
    return tuple(range(n_days)) if sample is None else sample.draw(n_days)


def _first_rows(trajectory: Trajectory) -> np.ndarray:
    return np.asarray(trajectory.dataset_index)[:: trajectory.scenario.steps_per_day]


def _judge(
    trajectory: Trajectory,
    replayed: Replay,
    tolerances: Tolerances | None,
    is_reference: bool,
    policy_hashes: Mapping[str, str],
) -> Validated:
    metrics, series = compare(trajectory, replayed)
    feeder = load_feeder(trajectory.scenario.feeder)
    default = tolerances_for(trajectory.power_flow)
    used = default if tolerances is None else tolerances
    criteria, variant = judge(metrics, used), trajectory.scenario.variant
    by_day = (-1, trajectory.scenario.steps_per_day)
    report = RunReport(
        run=trajectory.run,
        reference=is_reference,
        scenario=trajectory.scenario.name + (f", variant {variant}" if variant else ""),
        scenario_hash=trajectory.scenario.hash(),
        task_hash=replace(trajectory.scenario, power_flow="ac").hash(),
        power_flow=trajectory.power_flow,
        profiles_sha256=trajectory.profiles_sha256,
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
        figures={},
    )
    return Validated(trajectory, replayed, report, step_table(trajectory, replayed, series))


def _write(folder: Path, report: Report, runs: Sequence[Validated]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / "pandapower_steps.csv", pd.concat([run.steps for run in runs]).to_csv(index=False))
    _replace(folder / "report.md", render_markdown(report))
    _replace(folder / "report.json", report.to_json())


def _replace(path: Path, text: str) -> None:
    """Complete or absent: a report that is cut off must not be read as one."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)
