"""Open-loop replay: every recorded step's set-points through pandapower's Newton power flow, day by day.

On a feeder with phases OpenDSS is asked (`solvers.py`), and where this package says pandapower, it is meant there.
``surplus = import + injections - shunts - losses`` must be 0 in every step; it is worked out from the recorded
set-points, so that a set-point that did not reach the net shows. `runpp.py` says how steps are solved.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import Feeder, UnbalancedFeeder
from neomflex_jax.loose_types import BusLabel
from neomflex_jax.one_line import one_line
from validation.recompute.load_models import drawn_mw
from validation.recompute.phase_set_points import PhaseSetPoints
from validation.recompute.record import Record, checked_record
from validation.recompute.unbalance import vuf_percent
from validation.recompute.voltage_dependence import factors_at
from validation.referee.day_files import day_files, grid_key
from validation.referee.runpp import OK, Solved
from validation.referee.workers import Grid, Spread, solve_days

OnStep = Callable[[int, int], None]  # called with the number of steps done and of all steps


@dataclass(frozen=True, eq=False)
class Replay:
    """pandapower's answer to each step of a trajectory; NaN where the power flow failed."""

    bus_labels: tuple[BusLabel, ...]
    vm_pu: Float[np.ndarray, "n_steps n_bus"]  # in the trajectory's bus order
    loss_mw: Float[np.ndarray, " n_steps"]
    slack_p_mw: Float[np.ndarray, " n_steps"]  # import
    slack_q_mvar: Float[np.ndarray, " n_steps"]
    branch_i_ka: Float[np.ndarray, "n_steps n_branch"]  # in the feeder's order, the larger end's; 0 in open branches
    surplus_mw: Float[np.ndarray, " n_steps"]  # power that nobody accounts for
    status: Shaped[np.ndarray, " n_steps"]  # ok, not_converged, non_finite or unsupplied
    attempts: Int[np.ndarray, " n_steps"]  # power flows tried, 1 unless the first failed
    va_degree: Float[np.ndarray, "n_steps n_node"] | None = None  # with phases
    vuf_percent: Float[np.ndarray, "n_steps n_three_phase_bus"] | None = None  # with phases: unbalance factor
    held_p_mw: Float[np.ndarray, "n_steps n_held"] | None = None  # delivered where voltages beside the slack's are held
    held_q_mvar: Float[np.ndarray, "n_steps n_held"] | None = None

    __repr__ = one_line

    @property
    def failed(self) -> Bool[np.ndarray, " n_steps"]:
        """Steps without an answer."""
        return self.status != OK


def replay(
    trajectory: Trajectory,
    *,
    on_step: OnStep | None = None,
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

    Returns
    -------
    Replay
        One row a step of the trajectory; a step that could not be solved is NaN and has a status that says why.

    Raises
    ------
    InputError
        If the trajectory is empty, truncated or of wrong shapes, holds a set-point that is not finite, if pandapower's
        own data of the feeder differ from ours, `n_workers` is no whole number of at least 1, or workers keep dying.
    """
    return replay_record(checked_record(trajectory), Spread(n_workers, executor, resume_folder), on_step)


def replay_record(record: Record, spread: Spread, on_step: OnStep | None = None) -> Replay:
    """Run a checked record's steps through pandapower, as `replay` does."""
    points, scenario = record.set_points, record.trajectory.scenario
    steps, grid = scenario.steps_per_day, Grid(grid_key(scenario, record.feeder), scenario, record.feeder)
    days = {day: points.rows(slice(day * steps, (day + 1) * steps)) for day in range(len(points) // steps)}
    kept = None if spread.resume_folder is None else day_files(spread.resume_folder, grid.key, record.feeder)
    done: dict[int, Solved] = {}

    def on_day(day: int, solved: Solved) -> None:
        done[day] = solved
        if on_step is not None:
            on_step(len(done) * steps, len(points))

    def on_new_day(day: int, solved: Solved) -> None:
        if kept is not None:
            kept.write(days[day], solved)
        on_day(day, solved)

    for day, one in days.items():
        if kept is not None and (known := kept.read(one)) is not None:
            on_day(day, known)
    solve_days({day: one for day, one in days.items() if day not in done}, grid, on_new_day, spread)
    solved = {name: np.concatenate([done[day][name] for day in days]) for name in done[0]}
    if isinstance(record.feeder, UnbalancedFeeder):
        solved["vuf_percent"] = vuf_percent(record.feeder, solved["vm_pu"], solved["va_degree"])
    return Replay(record.trajectory.bus_labels, surplus_mw=_surplus_mw(record, solved), **solved)


def _surplus_mw(record: Record, solved: Solved) -> Float[np.ndarray, " n_steps"]:
    """Import, generation and injections, at the voltages found, without what shunts and losses take."""
    points, feeder = record.set_points, record.feeder
    if isinstance(points, PhaseSetPoints) or not isinstance(feeder, Feeder):
        return _surplus_with_phases_mw(record, solved)
    shunts = feeder.shunts
    shunts_mw = 0.0 if shunts is None else solved["vm_pu"] ** 2 @ np.asarray(shunts.p_mw, float)
    held = feeder.held
    generated_mw = 0.0 if held is None else float(np.sum(held.p_mw))
    injected_mw, steady_mw = record.p_injection_mw, points.steady_p_mw
    if steady_mw is not None:
        injected_mw = steady_mw + (injected_mw - steady_mw) * factors_at(feeder, solved["vm_pu"])[0]
    return solved["slack_p_mw"] + injected_mw.sum(axis=1) + generated_mw - shunts_mw - solved["loss_mw"]


def _surplus_with_phases_mw(record: Record, solved: Solved) -> Float[np.ndarray, " n_steps"]:
    """Import and what devices feed in, without what loads draw at the voltages found and losses."""
    points, feeder = record.set_points, record.feeder
    assert isinstance(points, PhaseSetPoints) and isinstance(feeder, UnbalancedFeeder)
    drawn = drawn_mw(feeder, points.load_p_mw, solved["vm_pu"], solved["va_degree"])
    return solved["slack_p_mw"] + points.device_p_mw.sum(axis=1) - drawn - solved["loss_mw"]
