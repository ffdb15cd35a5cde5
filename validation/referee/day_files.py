"""Finished days of a replay on disk, so that one that was cut off goes on where it stopped.

A file holds one day's answers as plain arrays. Its name is the SHA-256 of everything that the answers depend on: the
day's set-points, the scenario, the feeder, the options of `runpp` or OpenDSS and its version. So a day of another run
is never taken for this one's. What is in a file is checked when it is read: a file that is cut off, altered, of other
shapes or larger than a day can be counts as absent, and its day is solved again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.files.stored_arrays import Wanted, open_arrays
from neomflex_jax.files.whole_files import whole_file
from neomflex_jax.grid import AnyFeeder, UnbalancedFeeder
from neomflex_jax.grid.fingerprint import feeder_hash
from neomflex_jax.loose_types import Keywords
from neomflex_jax.scenario import Scenario
from validation.recompute.phase_set_points import AnySetPoints
from validation.referee.opendss.circuit import check_circuit
from validation.referee.opendss.day_solver import OPTIONS
from validation.referee.phase_net import OPTIONS as PHASE_OPTIONS
from validation.referee.phase_net import check_net, of_pandapower
from validation.referee.runpp import OK, RETRY_LADDER, RUNPP_OPTIONS, STATUSES, Solved

FORMAT = "neomflex-replayed-day-1"
NAME = re.compile(r"[0-9a-f]{64}\.npz")
UNFINISHED = re.compile(r"\.[0-9a-f]{64}\.npz\.\d+\.partial")
MAX_BYTES = 256 * 1024**2  # of an array: a day of 10,000 buses has some 4 MiB
SEAL_BYTES = 4 * 64  # hexadecimal


def grid_key(scenario: Scenario, feeder: AnyFeeder) -> str:
    """SHA-256 of everything but the set-points that a day's answers depend on; `InputError` as `check_circuit`."""
    solver: list[object]
    if isinstance(feeder, UnbalancedFeeder) and of_pandapower(feeder):
        solver = [PHASE_OPTIONS, check_net(feeder).sha256, version("pandapower")]
    elif isinstance(feeder, UnbalancedFeeder):
        solver = [OPTIONS, check_circuit(feeder).sha256, version("opendssdirect.py")]
    else:
        solver = [RUNPP_OPTIONS, RETRY_LADDER, version("pandapower")]
    stated = [scenario.hash(), *solver, feeder_hash(feeder)]
    return hashlib.sha256(json.dumps(stated, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class DayFiles:
    """The finished days in a folder, of one grid."""

    folder: Path
    key: str  # of the grid
    n_node: int
    n_branch: int
    n_held: int = 0
    has_angles: bool = False

    def read(self, day: AnySetPoints) -> Solved | None:
        """Read a day's answers; None if there are none that can be trusted."""
        path = self._path(day)
        try:
            with open_arrays(path, "replayed day") as stored:
                seal = stored.text("sha256", SEAL_BYTES)
                wanted = self._wanted(len(day))
                held = {name: stored.read(name, what, MAX_BYTES) for name, what in wanted.items()}
                if stored.names != {"sha256", *wanted} or seal != _seal(path.stem, held):
                    return None
        except InputError:
            return None
        return held if _sound(held) else None

    def write(self, day: AnySetPoints, answers: Solved) -> None:
        """Write a day's answers, whole or not at all."""
        path = self._path(day)
        arrays: Keywords = {"sha256": np.array(_seal(path.stem, answers)), **answers}
        with whole_file(path) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())

    def _path(self, day: AnySetPoints) -> Path:
        digest = hashlib.sha256(f"{FORMAT} {self.key}".encode())
        for name, values in sorted(day.arrays().items()):
            digest.update(name.encode())
            if values is not None:
                digest.update(np.ascontiguousarray(values, np.float64).tobytes())
        return self.folder / f"{digest.hexdigest()}.npz"

    def _wanted(self, n: int) -> dict[str, Wanted]:
        by_step = {name: Wanted("f", (n,)) for name in ("loss_mw", "slack_p_mw", "slack_q_mvar")}
        by_step |= {"status": Wanted("U", (n,)), "attempts": Wanted("i", (n,))}
        if self.n_held:
            by_step |= {name: Wanted("f", (n, self.n_held)) for name in ("held_p_mw", "held_q_mvar")}
        if self.has_angles:
            by_step |= {"va_degree": Wanted("f", (n, self.n_node))}
        return by_step | {"vm_pu": Wanted("f", (n, self.n_node)), "branch_i_ka": Wanted("f", (n, self.n_branch))}


def day_files(folder: str | Path, key: str, feeder: AnyFeeder) -> DayFiles:
    """Open a folder of finished days, made if need be.

    Raises
    ------
    InputError
        If it is a file, or cannot be made.
    """
    where = Path(folder)
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{where}: cannot keep finished days here ({error}); give another folder") from error
    if isinstance(feeder, UnbalancedFeeder):
        return DayFiles(where, key, feeder.n_node, len(feeder.branch_labels), has_angles=True)
    n_held = 0 if feeder.held is None else len(feeder.held.bus)
    return DayFiles(where, key, feeder.n_bus, feeder.topology.n_branch, n_held)


def forget_days(folder: str | Path) -> None:
    """Remove a folder's finished days, and it if nothing else lies there: no day's file, or a link, and it stays."""
    where = Path(folder)
    if where.is_symlink() or not where.is_dir():
        return
    for path in where.iterdir():
        if UNFINISHED.fullmatch(path.name) or (NAME.fullmatch(path.name) and _is_sealed(path)):
            path.unlink()
    with suppress(OSError):  # others' files lie there
        where.rmdir()


def _is_sealed(path: Path) -> bool:
    """Return True if a file of a day's name holds a day: no other program writes a seal."""
    try:
        with open_arrays(path, "replayed day") as stored:
            return not path.is_symlink() and "sha256" in stored.names
    except InputError:
        return False


def _seal(name: str, answers: Solved) -> str:
    digest = hashlib.sha256(name.encode())
    for field, values in sorted(answers.items()):
        digest.update(f"{field} {values.dtype.str} {values.shape}".encode() + np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _sound(held: Solved) -> bool:
    """Return True if `DaySolver` could have made this: known statuses, numbers where solved, NaN where not."""
    if not np.isin(held["status"], STATUSES).all():
        return False
    solved = held["status"] == OK
    numbers = [values for name, values in held.items() if name not in ("status", "attempts")]
    return all(
        values.dtype == np.float64 and np.isfinite(values[solved]).all() and np.isnan(values[~solved]).all()
        for values in numbers
    )
