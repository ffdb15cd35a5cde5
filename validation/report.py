"""Validate runs and write what was found: `report.json`, `report.md` and `pandapower_steps.csv`."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from neomflex_jax._version import __version__
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import load_feeder
from validation.feeder_net import runpp_needs
from validation.metrics import Metrics, Series, compare
from validation.render import render_markdown
from validation.replay import RETRY_LADDER, RUNPP_OPTIONS, Replay, replay
from validation.tolerances import Tolerances, tolerances_for
from validation.verdict import PASS, Criterion, judge, verdict_of, worst_verdict

SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class RunReport:
    """One run: what it was, every figure, and the criteria."""

    run: str
    scenario: str
    scenario_hash: str
    power_flow: str
    profiles_sha256: str
    runpp_needs: Mapping[str, Any]  # what its grid puts in place of the general options of `runpp`
    verdict: str
    criteria: tuple[Criterion, ...]
    metrics: Metrics
    recorded_day_cost: tuple[float, ...]
    day_cost: tuple[float, ...]  # from pandapower's voltages and losses

    @property
    def failed_criteria(self) -> tuple[str, ...]:
        """Names of the criteria that do not hold or could not be judged."""
        return tuple(criterion.name for criterion in self.criteria if not criterion.passed)


@dataclass(frozen=True, eq=False)
class Report:
    """The verdict on all runs, and what it rests on."""

    verdict: str  # PASS, FAIL or INCOMPLETE: the worst of the runs'
    runs: tuple[RunReport, ...]
    versions: Mapping[str, str]
    metadata: Mapping[str, Any]

    @property
    def passed(self) -> bool:
        """Whether every criterion of every run holds."""
        return self.verdict == PASS

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; figures that do not exist are None."""
        head = {"schema_version": SCHEMA_VERSION, "verdict": self.verdict, "versions": dict(self.versions)}
        head |= {"runpp_options": RUNPP_OPTIONS, "retry_ladder": list(RETRY_LADDER), "metadata": dict(self.metadata)}
        runs = []
        for run in self.runs:
            criteria = [dataclasses.asdict(one) | {"passed": one.passed} for one in run.criteria]
            plain = {"criteria": criteria, "failed_criteria": run.failed_criteria}
            runs.append(dataclasses.asdict(run) | plain)
        return _plain(head | {"runs": runs})


def validate(
    trajectories: Sequence[Trajectory],
    output_folder: str | Path,
    tolerances: Tolerances | None = None,
    *,
    metadata: Mapping[str, Any] | None = None,
    on_step: Callable[[int, int], None] | None = None,
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
    metadata
        Plain values that the caller wants in the report, for example the policy files' hashes.
    on_step
        Called with the numbers of steps done and of all steps of all runs.

    Raises
    ------
    InputError
        If there is no run, two have one name, or one cannot be replayed; nothing is written then.
    """
    names = [trajectory.run for trajectory in trajectories]
    if not names:
        raise InputError("there is no run to validate; give at least one trajectory")
    if len(set(names)) < len(names):
        raise InputError(f"the runs need different names; they are {', '.join(names)}")
    total, done = sum(trajectory.n_steps for trajectory in trajectories), 0
    runs, tables = [], []
    for trajectory in trajectories:
        before = done

        def forward(step: int, _: int, before: int = before) -> None:
            if on_step is not None:
                on_step(before + step, total)

        replayed = replay(trajectory, on_step=forward)
        metrics, series = compare(trajectory, replayed)
        runs.append(_run_report(trajectory, metrics, series, tolerances or tolerances_for(trajectory.power_flow)))
        tables.append(step_table(trajectory, replayed, series))
        done += trajectory.n_steps
    report = Report(worst_verdict(run.verdict for run in runs), tuple(runs), _versions(), dict(metadata or {}))
    folder = Path(output_folder)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "pandapower_steps.csv", pd.concat(tables).to_csv(index=False))
    _write(folder / "report.md", render_markdown(report))
    _write(folder / "report.json", json.dumps(report.as_dict(), indent=1, allow_nan=False) + "\n")
    return report


def step_table(trajectory: Trajectory, replayed: Replay, series: Series) -> pd.DataFrame:
    """One row a step: pandapower's figures, and those recorded beside them."""
    worst = np.nan_to_num(np.abs(series.vm_error_pu), nan=-1.0).argmax(axis=1)
    own = {"run": trajectory.run, "day": trajectory.day, "step": trajectory.step}
    own |= {"dataset_index": trajectory.dataset_index, "status": replayed.status, "attempts": replayed.attempts}
    sides = (
        ("", replayed, series.cost, series.outside_hard, series.outside_band),
        ("recorded_", trajectory, series.recorded_cost, series.recorded_outside_hard, series.recorded_outside_band),
    )
    for prefix, source, cost, hard, band in sides:
        own |= {
            f"{prefix}losses_mw": source.loss_mw,
            f"{prefix}slack_p_mw": source.slack_p_mw,
            f"{prefix}slack_q_mvar": source.slack_q_mvar,
            f"{prefix}voltage_min_pu": source.vm_pu.min(axis=1),
            f"{prefix}voltage_max_pu": source.vm_pu.max(axis=1),
            f"{prefix}cost": cost,
            f"{prefix}buses_outside_hard_limits": hard.sum(axis=1),
            f"{prefix}buses_outside_band": band.sum(axis=1),
        }
    rows = np.arange(trajectory.n_steps)
    own |= {"voltage_error_pu": series.vm_error_pu[rows, worst]}
    own |= {"voltage_error_bus": np.asarray(trajectory.bus_labels)[worst]}
    return pd.DataFrame(own)


def _run_report(trajectory: Trajectory, metrics: Metrics, series: Series, tolerances: Tolerances) -> RunReport:
    criteria, variant = judge(metrics, tolerances), trajectory.scenario.variant
    by_day = (-1, trajectory.scenario.steps_per_day)
    return RunReport(
        run=trajectory.run,
        scenario=trajectory.scenario.name + (f", variant {variant}" if variant else ""),
        scenario_hash=trajectory.scenario.hash(),
        power_flow=trajectory.power_flow,
        profiles_sha256=trajectory.profiles_sha256,
        runpp_needs=runpp_needs(load_feeder(trajectory.scenario.feeder)),
        verdict=verdict_of(criteria),
        criteria=criteria,
        metrics=metrics,
        recorded_day_cost=tuple(series.recorded_cost.reshape(by_day).sum(axis=1).tolist()),
        day_cost=tuple(series.cost.reshape(by_day).sum(axis=1).tolist()),
    )


def _versions() -> dict[str, str]:
    packages = ("jax", "numpy", "pandapower", "numba")
    installed = {name: version(name) for name in packages if name != "numba" or RUNPP_OPTIONS["numba"]}
    return {"neomflex_jax": __version__, "python": platform.python_version()} | installed


def _plain(value: Any) -> Any:
    """Nested plain values; NaN and infinity, which JSON has not, become None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(path: Path, text: str) -> None:
    """Complete or absent: a report that is cut off must not be read as one."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)
