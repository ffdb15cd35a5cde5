"""What `neomflex plot` draws from: the tables of an evaluation, and the runs that were recorded beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from neomflex_jax.commands.result_kinds import NO_CONTROL_RUNS, TABLES, trajectory_file
from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.files.paths import is_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from neomflex_jax.evaluation import Trajectory
    from neomflex_jax.scenario import Scenario

STEPS = TABLES[0]


def step_table(source: Path) -> Path:
    """Return the step table that is meant by a table, the folder of an evaluation, a demo, or a training.

    Raises
    ------
    InputError
        If there is none, saying what is there and what to do.
    """
    from neomflex_jax.commands.page.seed import SeedResults
    from neomflex_jax.training.run_folder import RunFolder

    if not source.is_dir():
        return source
    if is_file(source / STEPS):
        return source / STEPS
    if is_file(RunFolder(source).config):
        evaluated, note = SeedResults(source).evaluated()
        if evaluated is None:
            raise InputError(f"{source}: {note}, or name the {STEPS} to draw")
        return evaluated / STEPS
    if is_file(source / "evaluation" / STEPS):
        return source / "evaluation" / STEPS
    raise InputError(f"{source}: holds no {STEPS}; give one, or the output folder of `neomflex evaluate` or `train`")


def scenario_beside(table: Path, run: str) -> Scenario | None:
    """Return the scenario of the run that was recorded beside its table; None where it was not, or cannot be read."""
    from neomflex_jax.evaluation.trajectory import scenario_of

    path = table.parent / trajectory_file(run)
    try:
        return scenario_of(path) if is_file(path) else None
    except InputError:  # of a kind of device that is not imported, for example: the table is drawn all the same
        return None


def without_control(runs: Iterable[str], run: str) -> tuple[str, ...]:
    """Return the name of the run without control among others, none where it is the one that is drawn."""
    known = set(runs) - {run}
    return tuple(name for name in NO_CONTROL_RUNS if name in known)[:1]


def recorded_beside(table: Path, runs: Iterable[str], run: str) -> tuple[Trajectory, ...]:
    """Return the recorded run of this name, and no control before it where that was recorded.

    Raises
    ------
    InputError
        If the run is none of the table's `runs`, or its record is not there or cannot be read.
    """
    from neomflex_jax.evaluation import Trajectory

    known = list(dict.fromkeys(runs))
    if run not in known:
        raise unknown_name("run", run, known)
    path = table.parent / trajectory_file(run)
    if not is_file(path):
        raise InputError(
            f"{path}: no such file; a map is drawn of the recorded steps, which `neomflex evaluate` writes beside "
            "its tables: keep them together, or evaluate again"
        )
    beside = [table.parent / trajectory_file(name) for name in without_control(known, run)]
    return tuple(Trajectory.load(each) for each in (*(each for each in beside if is_file(each)), path))
