"""Days solved by worker processes, each with nets of its own that it builds once.

Processes are spawned, not forked: the parent may hold JAX's threads. A day's answer depends on its set-points alone, so
it is the same whoever solves it, and one whose worker died is solved again without being counted twice.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import cast

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.scenario import Scenario
from validation.referee.pandapower_net import SetPoints, build_net
from validation.referee.runpp import Answers, DaySolver, day_solver

MOST_POOLS = 3  # pools whose workers die before giving up
_own = threading.local()  # a worker's nets: runpp writes into them, so no two threads may share them


def solve_day(key: str, scenario: Scenario, feeder: Feeder, day: SetPoints) -> Answers:
    """Solve a day in a worker with the nets of `key`, built when it first comes up."""
    known = cast("tuple[str, DaySolver] | None", getattr(_own, "nets", None))
    if known is None or known[0] != key:
        known = _own.nets = (key, day_solver(scenario, feeder))
    return known[1].solve(day)


def solve_days(
    days: Mapping[int, SetPoints],
    grid: tuple[str, Scenario, Feeder],
    on_day: Callable[[int, Answers], None],
    *,
    n_workers: int,
    executor: Executor | None,
) -> None:
    """Solve all days, here or by others, and hand over each once, in the order in which they are finished.

    Parameters
    ----------
    days
        Set-points by day.
    grid
        What `solve_day` needs beside the day.
    on_day
        Called in this thread with a day's number and answers.
    n_workers
        Processes to start where there is no `executor`, or where it broke; 1 without an `executor`: none, all is done
        here.
    executor
        Whoever gives it shuts it down.

    Raises
    ------
    InputError
        If workers die in `MOST_POOLS` pools.
    """
    if not days:
        return
    if executor is None and n_workers == 1:
        solver = day_solver(*grid[1:])
        for day, points in days.items():
            on_day(day, solver.solve(points))
        return
    build_net(*grid[1:])  # what is wrong with the grid is said here, not by a worker
    left = dict(days)

    def finish(day: int, answers: Answers) -> None:
        del left[day]
        on_day(day, answers)

    if executor is not None:
        try:
            _fan_out(executor, left, grid, finish)
        except BrokenExecutor:
            n_workers = max(1, n_workers)  # what it left undone is done by processes of our own
        else:
            return
    broken: BrokenExecutor | None = None
    for _ in range(MOST_POOLS):
        n_processes = max(1, min(n_workers, len(left)))
        pool = ProcessPoolExecutor(n_processes, mp_context=get_context("spawn"), initializer=_end_with_parent)
        try:
            _fan_out(pool, left, grid, finish)
        except BrokenExecutor as error:
            broken = error
        else:
            return
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    raise InputError(
        f"worker processes died in {MOST_POOLS} pools, {len(left)} of {len(days)} days are not replayed ({broken}); "
        "free memory or replay with n_workers=1. A script that starts workers needs `if __name__ == '__main__':`"
    ) from broken


def _fan_out(
    pool: Executor,
    left: Mapping[int, SetPoints],
    grid: tuple[str, Scenario, Feeder],
    finish: Callable[[int, Answers], None],
) -> None:
    """Have a pool solve what is left; what it has finished counts, also if it breaks over the rest."""
    futures: dict[Future[Answers], int] = {}
    broken: BrokenExecutor | None = None
    try:
        try:
            for day, points in left.items():
                futures[pool.submit(solve_day, *grid, points)] = day
        except BrokenExecutor as error:
            broken = error
        for future in as_completed(futures):
            try:
                answers = future.result()
            except BrokenExecutor as error:
                broken = error
            else:
                finish(futures[future], answers)
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
