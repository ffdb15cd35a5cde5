"""Days spread over workers, workers that die, and days kept on disk: always the same answers, none counted twice."""

import dataclasses
import multiprocessing
import os
import signal
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from test_validation_replay import record_random

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation import Trajectory
from validation import Replay, replay
from validation.referee import workers
from validation.referee.runpp import NOT_CONVERGED, RUNPP_OPTIONS, DaySolver


@pytest.fixture(scope="module")
def run() -> Trajectory:
    """Three random days; a step of the second has no solution."""
    sound = record_random("ac", n_days=3)
    overloaded = {name: getattr(sound, name).copy() for name in ("demand", "load_q_factor")}
    for values in overloaded.values():
        values[60] = 6.0
    return dataclasses.replace(sound, **overloaded)


@pytest.fixture(scope="module")
def alone(run: Trajectory) -> Replay:
    """What one process answers."""
    return replay(run)


def assert_same(one: Replay, other: Replay) -> None:
    for name, values in vars(one).items():
        np.testing.assert_array_equal(values, getattr(other, name), err_msg=name)


class Inline(Executor):
    """Solves at once; the `broken`-th day and all after it die with their worker."""

    def __init__(self, broken: int | None = None) -> None:
        self.broken, self.n_days = broken, 0

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()
        if self.broken is not None and self.n_days >= self.broken:
            future.set_exception(BrokenProcessPool("a worker died"))
        else:
            future.set_result(fn(*args, **kwargs))
        self.n_days += 1
        return future


def test_threads_of_the_callers_give_the_same_answers_and_stay_open(run: Trajectory, alone: Replay) -> None:
    steps = []
    with ThreadPoolExecutor(2) as pool:
        spread = replay(run, executor=pool, on_step=lambda *at: steps.append(at))
        assert pool.submit(lambda: 1).result() == 1
    assert_same(spread, alone)
    assert steps == [(48, 144), (96, 144), (144, 144)]
    assert alone.status[60] == NOT_CONVERGED and alone.failed.sum() == 1


def test_days_of_a_worker_that_died_are_done_in_a_fresh_pool_and_counted_once(
    run: Trajectory, alone: Replay, monkeypatch
) -> None:
    pools = [Inline(broken=1), Inline(broken=1), Inline()]
    started = []

    def pool(*_: object, **__: object) -> Inline:
        started.append(pools[len(started)])
        return started[-1]

    monkeypatch.setattr(workers, "ProcessPoolExecutor", pool)
    steps = []
    assert_same(replay(run, n_workers=2, on_step=lambda *at: steps.append(at)), alone)
    assert [pool.n_days for pool in started] == [3, 2, 1]
    assert steps == [(48, 144), (96, 144), (144, 144)]


def test_workers_that_keep_dying_are_given_up_with_advice(run: Trajectory, monkeypatch) -> None:
    monkeypatch.setattr(workers, "ProcessPoolExecutor", lambda *_, **__: Inline(broken=0))
    with pytest.raises(InputError, match=r"died in 3 pools, 3 of 3 days are not replayed .* n_workers=1"):
        replay(run, n_workers=2)
    for number in (0, -1, 1.5):
        with pytest.raises(InputError, match=f"n_workers = {number} must be a whole number of at least 1"):
            replay(run, n_workers=number)


def test_an_executor_that_broke_is_replaced(run: Trajectory, alone: Replay, monkeypatch) -> None:
    own = Inline()
    monkeypatch.setattr(workers, "ProcessPoolExecutor", lambda *_, **__: own)
    assert_same(replay(run, executor=Inline(broken=2)), alone)
    assert own.n_days == 1


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_no_day_and_no_process_stays(run: Trajectory, alone: Replay) -> None:
    steps: list[int] = []

    def kill(done: int, _: int) -> None:
        if not steps:
            victim = multiprocessing.active_children()[0]
            assert victim.pid is not None
            os.kill(victim.pid, signal.SIGKILL)
            victim.join()
        steps.append(done)

    assert_same(replay(run, n_workers=2, on_step=kill), alone)
    assert steps == [48, 96, 144]
    assert not multiprocessing.active_children()

    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(run, n_workers=2, on_step=stop)
    assert not multiprocessing.active_children()


# ---- days kept on disk ----


def count_solved(monkeypatch) -> list[int]:
    """Number of steps in every day that is solved from now on."""
    solved: list[int] = []
    solve = DaySolver.solve

    def counted(solver: DaySolver, points):
        solved.append(len(points))
        return solve(solver, points)

    monkeypatch.setattr(DaySolver, "solve", counted)
    return solved


def test_a_replay_that_was_cut_off_goes_on_where_it_stopped(run, alone, monkeypatch, tmp_path: Path) -> None:
    solved = count_solved(monkeypatch)

    def stop(done: int, _: int) -> None:
        if done == 96:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(run, on_step=stop, resume_folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2 and len(solved) == 2
    steps = []
    assert_same(replay(run, on_step=lambda *at: steps.append(at), resume_folder=tmp_path), alone)
    assert len(solved) == 3 and steps == [(48, 144), (96, 144), (144, 144)]
    assert_same(replay(run, resume_folder=tmp_path, n_workers=5), alone)
    assert len(solved) == 3


def test_days_of_other_set_points_scenarios_or_options_are_never_taken(run, monkeypatch, tmp_path: Path) -> None:
    replay(run, resume_folder=tmp_path)
    solved = count_solved(monkeypatch)
    battery_p_mw = run.battery_p_mw.copy()
    battery_p_mw[100, 1] += 0.01
    other = dataclasses.replace(run, battery_p_mw=battery_p_mw)
    assert_same(replay(other, resume_folder=tmp_path), replay(other))
    assert len(solved) == 1 + 3
    scenario = dataclasses.replace(run.scenario, limits=dataclasses.replace(run.scenario.limits, band_min_pu=0.96))
    replay(dataclasses.replace(run, scenario=scenario), resume_folder=tmp_path)
    assert len(solved) == 7
    monkeypatch.setitem(RUNPP_OPTIONS, "max_iteration", 11)
    replay(run, resume_folder=tmp_path)
    assert len(solved) == 10


def spoil_nothing(held: dict[str, np.ndarray]) -> None:
    pass


def spoil_value(held: dict[str, np.ndarray]) -> None:
    held["vm_pu"][3, 3] += 1e-3


def spoil_shape(held: dict[str, np.ndarray]) -> None:
    held["loss_mw"] = held["loss_mw"][:-1]


def spoil_with_an_object(held: dict[str, np.ndarray]) -> None:
    held["status"] = held["status"].astype(object)


def spoil_size(held: dict[str, np.ndarray]) -> None:
    held["vm_pu"] = np.zeros((48, 10_000))


def leave_out(held: dict[str, np.ndarray]) -> None:
    del held["attempts"]


@pytest.mark.parametrize(
    ("spoil", "n_solved"),
    [
        (spoil_nothing, 0),
        (spoil_value, 1),
        (spoil_shape, 1),
        (spoil_with_an_object, 1),
        (spoil_size, 1),
        (leave_out, 1),
    ],
)
def test_a_day_on_disk_that_is_not_as_it_was_written_is_solved_again(
    run, alone, monkeypatch, tmp_path, spoil, n_solved
) -> None:
    replay(run, resume_folder=tmp_path)
    solved = count_solved(monkeypatch)
    path = sorted(tmp_path.iterdir())[0]
    with np.load(path) as stored:
        held = dict(stored)
    spoil(held)
    np.savez(path, **held)
    assert_same(replay(run, resume_folder=tmp_path), alone)
    assert len(solved) == n_solved


def test_a_file_cut_off_or_under_another_name_is_solved_again(run, alone, monkeypatch, tmp_path: Path) -> None:
    replay(run, resume_folder=tmp_path)
    first, second, third = sorted(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:1000])
    second.write_bytes(third.read_bytes())
    solved = count_solved(monkeypatch)
    assert_same(replay(run, resume_folder=tmp_path), alone)
    assert len(solved) == 2
    with pytest.raises(InputError, match="cannot keep finished days here"):
        replay(run, resume_folder=third)
