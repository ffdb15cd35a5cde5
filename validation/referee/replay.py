"""Open-loop replay: every recorded step's set-points through pandapower's Newton power flow, day by day.

``surplus = import + injections - shunts - losses`` must be 0 in every step; it is worked out from the recorded
set-points, so that a set-point that did not reach the net shows. `runpp.py` says how steps are solved.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import load_feeder
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.one_line import one_line
from validation.recompute.checks import check_trajectory, implied_injections, set_points_of
from validation.referee.day_files import day_files, grid_key
from validation.referee.runpp import (
    NON_FINITE,
    NOT_CONVERGED,
    OK,
    RETRY_LADDER,
    RUNPP_OPTIONS,
    UNSUPPLIED,
    Answers,
    solve,
)
from validation.referee.workers import solve_days

__all__ = [
    "NON_FINITE",
    "NOT_CONVERGED",
    "OK",
    "RETRY_LADDER",
    "RUNPP_OPTIONS",
    "UNSUPPLIED",
    "Replay",
    "replay",
    "solve",
]


@dataclass(frozen=True, eq=False)
class Replay:
    """pandapower's answer to each step of a trajectory; NaN where the power flow failed."""

    bus_labels: tuple[int, ...]
    vm_pu: np.ndarray  # (n, n_bus) in the trajectory's bus order
    loss_mw: np.ndarray  # (n,)
    slack_p_mw: np.ndarray  # (n,) import
    slack_q_mvar: np.ndarray  # (n,)
    branch_i_ka: np.ndarray  # (n, n_branch) in the feeder's branch order, the larger end's; 0 in open branches
    surplus_mw: np.ndarray  # (n,) power that nobody accounts for
    status: np.ndarray  # (n,) ok, not_converged, non_finite or unsupplied
    attempts: np.ndarray  # (n,) power flows tried, 1 unless the first failed

    __repr__ = one_line

    @property
    def failed(self) -> np.ndarray:
        """Steps without an answer, (n,)."""
        return self.status != OK


def replay(
    trajectory: Trajectory,
    *,
    on_step: Callable[[int, int], None] | None = None,
    n_workers: int = 1,
    executor: Executor | None = None,
    resume_folder: str | Path | None = None,
) -> Replay:
    """Run every recorded step through pandapower; the result is the same however the days are spread.

    Parameters
    ----------
    trajectory
        Whole days; see `check_trajectory`.
    on_step
        Called with the number of steps done and the number of all steps, as the replay goes on.
    n_workers
        Days solved at a time, in processes if more than one. They end before this returns or raises.
    executor
        Solves the days instead, and stays open; any from `concurrent.futures` or of its interface.
    resume_folder
        Keeps every finished day, and what an earlier replay of the same set-points has finished there is taken.

    Raises
    ------
    InputError
        If the trajectory is empty, truncated or of wrong shapes, holds a set-point that is not finite, if pandapower's
        own data of the feeder differ from ours, `n_workers` is no whole number of at least 1, or workers keep dying.
    """
    if not isinstance(n_workers, int) or n_workers < 1:
        raise InputError(f"n_workers = {n_workers} must be a whole number of at least 1")
    scenario = trajectory.scenario
    feeder = load_feeder(scenario.feeder)
    check_trajectory(trajectory, feeder)
    set_points, steps = set_points_of(trajectory, feeder), scenario.steps_per_day
    days = {day: set_points.rows(slice(day * steps, (day + 1) * steps)) for day in range(len(set_points) // steps)}
    key = grid_key(scenario, feeder)
    kept = None if resume_folder is None else day_files(resume_folder, key, feeder)
    done: dict[int, Answers] = {}

    def on_day(day: int, answers: Answers, *, new: bool = True) -> None:
        if kept is not None and new:
            kept.write(days[day], answers)
        done[day] = answers
        if on_step is not None:
            on_step(len(done) * steps, len(set_points))

    if kept is not None:
        for day, points in days.items():
            if (known := kept.read(points)) is not None:
                on_day(day, known, new=False)
    missing = {day: points for day, points in days.items() if day not in done}
    solve_days(missing, (key, scenario, feeder), on_day, n_workers=n_workers, executor=executor)
    answers = {name: np.concatenate([done[day][name] for day in days]) for name in done[0]}
    return Replay(trajectory.bus_labels, surplus_mw=_surplus_mw(trajectory, feeder, answers), **answers)


def _surplus_mw(trajectory: Trajectory, feeder: Feeder, answers: Answers) -> np.ndarray:
    """Import and injections without what shunts and losses take, (n,)."""
    p_injection_mw, _ = implied_injections(trajectory, feeder)
    shunts_mw = 0.0 if feeder.shunts is None else answers["vm_pu"] ** 2 @ np.asarray(feeder.shunts.p_mw, float)
    return answers["slack_p_mw"] + p_injection_mw.sum(axis=1) - shunts_mw - answers["loss_mw"]
