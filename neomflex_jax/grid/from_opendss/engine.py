"""OpenDSS with a file in it, beside whatever circuit the user's process has open already."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from neomflex_jax.errors import InputError, short_path
from neomflex_jax.files.paths import is_file
from neomflex_jax.grid.from_opendss.script import Script
from neomflex_jax.grid.from_opendss.shape_lengths import ShapeLengths
from neomflex_jax.grid.unbalanced.circuit import Circuit

Engine: TypeAlias = Any  # opendssdirect's, which has no types
Check: TypeAlias = Callable[[Engine], None]  # of a circuit that is not solved yet


@contextmanager
def opened(path: Path, check: Check | None = None) -> Iterator[Engine]:
    """Have OpenDSS read a file and solve it once as it stands, controls off, in a context of its own.

    OpenDSS is told the commands that make the circuit, and nothing else (`script.py`). What solving it may write goes
    into a folder that is gone afterwards; the working directory is the same afterwards.

    Raises
    ------
    InputError
        If there is no such file, opendssdirect.py is not installed, or OpenDSS refuses the file, in its own words; what
        `check`, which looks at the circuit before it is solved, raises.
    """
    try:
        import opendssdirect
    except ImportError:
        raise InputError(
            f"{short_path(path)} is read by OpenDSS, which is not installed: pip install 'neomflex-jax[opendss]'"
        ) from None
    if not is_file(path):
        raise InputError(f"{short_path(path)}: no such file; give the master file of an OpenDSS circuit")
    here = os.getcwd()
    with TemporaryDirectory() as written:
        engine = opendssdirect.NewContext()
        try:
            engine.Basic.AllowForms(False)
            engine.Basic.AllowEditor(False)
            engine.Basic.AllowChangeDir(False)
            engine.Basic.DataPath(written)
            engine.Basic.AllowDOScmd(False)
            engine.Text.Command("clear")
            _tell(engine, path, check)
            if engine.Basic.NumCircuits() == 0:
                raise InputError(f"{short_path(path)}: makes no circuit; give the file that has `New Circuit...`")
            _build(engine, path, check)
            _solve(engine)
            yield engine
        except opendssdirect.DSSException as error:
            raise InputError(f"{short_path(path)}: OpenDSS refuses it: {_one_line(error)}") from error
        finally:
            os.chdir(here)


def _build(engine: Engine, path: Path, check: Check | None) -> None:
    """Have OpenDSS work out all admittances, and look at the circuit whether it can or not."""
    try:
        engine.Solution.BuildYMatrix(0, 0)
    finally:
        _checked(engine, path, check)


def _checked(engine: Engine, path: Path, check: Check | None) -> None:
    try:
        if check is not None:
            check(engine)
    except InputError as error:
        raise InputError(f"{short_path(path)}: {error}") from None


def _tell(engine: Engine, path: Path, check: Check | None) -> None:
    """Tell OpenDSS a file, command by command, each from the folder of the file that it stands in."""
    from opendssdirect import DSSException

    folder, shapes = None, ShapeLengths()
    for told in Script(_commands(engine)).commands(path.resolve()):
        if told.folder != folder:
            folder = told.folder
            os.chdir(folder)
        try:
            engine.Text.Command(told.command)
        except DSSException as error:
            if engine.Basic.NumCircuits():  # the command may be a `solve` of what an earlier one left without a value
                _checked(engine, path, check)
            raise InputError(f"{told.place}: OpenDSS refuses it: {_one_line(error)}") from error
        shapes.follow(engine, told.command, told.place)
    shapes.check()


def circuit_at(path: Path) -> Circuit:
    """Return a file's path and the SHA-256 of what OpenDSS is told of it and of those that it redirects to.

    Raises
    ------
    InputError
        If one of them is not there, or says what OpenDSS is not told; opendssdirect.py is installed.
    """
    import opendssdirect

    script, digest = Script(_commands(opendssdirect)), hashlib.sha256()
    for told in script.commands(path.resolve()):
        digest.update(f"{told.command}\n".encode())
    return Circuit(path.resolve(), digest.hexdigest())


def _commands(engine: Engine) -> tuple[str, ...]:
    """Names of OpenDSS's commands, in its order."""
    return tuple(engine.Executive.Command(number) for number in range(1, engine.Executive.NumCommands() + 1))


def text_of(engine: Engine, name: str) -> str:
    """Text of a property of the active element."""
    return str(engine.Properties.Value(name)).strip()


def is_on(engine: Engine, name: str) -> bool:
    """Whether a property of the active element says yes."""
    return text_of(engine, name).lower()[:1] in ("y", "t")


def _solve(engine: Engine) -> None:
    """Solve the snapshot, for what OpenDSS knows of its elements only afterwards."""
    engine.Text.Command("set mode=snapshot")
    engine.Text.Command("set controlmode=off")
    engine.Text.Command("set tolerance=1e-10 maxiterations=200")  # of what PV systems and storages feed in
    if engine.Solution.LoadModel() != 1:
        raise InputError(
            "the file sets loadmodel=admittance, where no load is modelled as stated; leave it at loadmodel=powerflow"
        )
    if engine.Solution.Year() != 0:
        raise InputError(f"the file sets year={engine.Solution.Year()}, and loads that grow are not read; set year=0")
    engine.Text.Command("solve")


def _one_line(error: Exception) -> str:
    """Error's text, which names file and line, in one line."""
    return " ".join(str(error.args[1] if len(error.args) > 1 else error).split())
