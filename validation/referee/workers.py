"""Days solved by worker processes, each with nets, or a circuit, of its own that it builds once.

Processes are spawned, not forked: the parent may hold JAX's threads. A day's answer depends on its set-points alone, so
it is the same whoever solves it, and one whose worker died is solved again without being counted twice.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import NamedTuple, cast

from neomflex_jax.errors import InputError
from neomflex_jax.grid import AnyFeeder
from neomflex_jax.scenario import Scenario
from validation.recompute.phase_set_points import AnySetPoints
from validation.referee.runpp import Solved
from validation.referee.solvers import AnyDaySolver, check_solvable, day_solver

MOST_POOLS = 3  # pools whose workers die before giving up
_own = threading.local()  # a worker's nets: runpp writes into them, so no two threads may share them
OnDay = Callable[[int, Solved], None]  # called with a day's number and what was solved of it


@dataclass(frozen=True)
class Spread:
    """How the days of a replay are spread, and where finished ones are kept; arguments as `replay` takes them."""

    n_workers: int = 1
    executor: Executor | None = None
    resume_folder: str | Path | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.n_workers, int) or self.n_workers < 1:
            raise InputError(f"n_workers = {self.n_workers} must be a whole number of at least 1")


class Grid(NamedTuple):
    """What days are solved on; the key names it."""

    key: str
    scenario: Scenario
    feeder: AnyFeeder


def solve_day(grid: Grid, day: AnySetPoints) -> Solved:
    """Solve a day in a worker, with nets that are built when their grid first comes up."""
    known = cast("tuple[str, AnyDaySolver] | None", getattr(_own, "nets", None))
    if known is None or known[0] != grid.key:
        known = _own.nets = (grid.key, day_solver(grid.scenario, grid.feeder))
    return known[1].solve(day)


def solve_days(days: Mapping[int, AnySetPoints], grid: Grid, on_day: OnDay, spread: Spread) -> None:
    """Solve all days, here or by others, and hand over each once, in the order in which they are finished.

    Parameters
    ----------
    days
        Set-points by day.
    grid
        What they are solved on.
    on_day
        Called in this thread.
    spread
        Its executor solves the days, and whoever gave it shuts it down. Where there is none, or it broke, processes are
        started; with one worker and no executor all is done here.

    Raises
    ------
    InputError
        If workers die in `MOST_POOLS` pools.
    """
    if not days:
        return
    if spread.executor is None and spread.n_workers == 1:
        solver = day_solver(grid.scenario, grid.feeder)
        for day, points in days.items():
            on_day(day, solver.solve(points))
        return
    check_solvable(grid.scenario, grid.feeder)  # what is wrong with the grid is said here, not by a worker
    left = dict(days)

    def finish(day: int, solved: Solved) -> None:
        del left[day]
        on_day(day, solved)

    if spread.executor is not None:
        try:
            _fan_out(spread.executor, left, grid, finish)
        except BrokenExecutor:
            pass  # what it left undone is done by processes of our own
        else:
            return
    broken = _solve_in_processes(left, grid, finish, spread.n_workers)
    if broken is not None:
        raise InputError(
            f"worker processes died in {MOST_POOLS} pools, {len(left)} of {len(days)} days are not replayed "
            f"({broken}); free memory or replay with n_workers=1. A script that starts workers needs "
            "`if __name__ == '__main__':`"
        ) from broken


def _solve_in_processes(
    left: Mapping[int, AnySetPoints], grid: Grid, finish: OnDay, n_workers: int
) -> BrokenExecutor | None:
    """Solve what is left in processes of our own, in a fresh pool where workers died; return the last pool's error."""
    broken: BrokenExecutor | None = None
    for _ in range(MOST_POOLS):
        n_processes = max(1, min(n_workers, len(left)))
        pool = ProcessPoolExecutor(n_processes, mp_context=get_context("spawn"), initializer=_end_with_parent)
        try:
            _fan_out(pool, left, grid, finish)
        except BrokenExecutor as error:
            broken = error
        else:
            return None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return broken


def _fan_out(pool: Executor, left: Mapping[int, AnySetPoints], grid: Grid, finish: OnDay) -> None:
    """Solve in a pool what is left; what it has finished counts, also if it breaks over the rest."""
    futures: dict[Future[Solved], int] = {}
    broken: BrokenExecutor | None = None
    try:
        try:
            for day, points in left.items():
                futures[pool.submit(solve_day, grid, points)] = day
        except BrokenExecutor as error:
            broken = error
        for future in as_completed(futures):
            try:
                solved = future.result()
            except BrokenExecutor as error:
                broken = error
            else:
                finish(futures[future], solved)
    finally:
        for future in futures:
            future.cancel()
    if broken is not None:
        raise broken


def _end_with_parent() -> None:
    """End this worker when its parent is gone, even killed: nobody else would."""
    parent = parent_process()
    assert parent is not None  # workers are spawned

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
