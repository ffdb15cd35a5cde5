"""Checkpoints of a whole training run, by Orbax: written completely or not at all, the last few kept.

A checkpoint holds every array of the `TrainState` by name (PRNG keys as their data), so that a resumed run continues
bit for bit, and a JSON note: where it comes from, how far the run was, and the SHA-256 of every array and of the note
itself. Orbax refuses arrays without entries, and they need no storing. Nothing is unpickled, nothing is read before
names, shapes, types and sizes are what they must be, and nothing is used that is not what was saved. With several
processes each writes and reads its own part, so that all of them must see the same folder.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import re
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import asdict, dataclass
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import NamedSharding

from neomflex_jax.errors import InputError
from neomflex_jax.training.algorithm import TrainState
from neomflex_jax.training.checksums import check_sums, sealed, sums_of, unsealed
from neomflex_jax.training.origin import check_origin
from neomflex_jax.training.processes import any_of_them, is_first, least_of_them
from neomflex_jax.training.program import steps_of_a_copy
from neomflex_jax.training.run_folder import SaveError

KEEP = 2
MIB = 1024 * 1024
NONE_LEFT = -1  # no step
SLACK_BYTES = 16 * MIB  # for names and notes, beside the arrays


@dataclass(frozen=True)
class Standing:
    """How far a run was, beside its arrays."""

    seconds: float = 0.0  # of training, in all its sittings
    reached_target: bool = False


FRESH = Standing()


class Checkpoints:
    """The checkpoints in one folder, made by and for runs of one origin (see `origin.py`)."""

    def __init__(self, folder: Path, origin: Mapping[str, object]) -> None:
        import orbax.checkpoint as ocp

        logging.getLogger("absl").setLevel(
            logging.CRITICAL
        )  # Orbax narrates every save, and errors that are raised as well
        options = ocp.CheckpointManagerOptions(max_to_keep=KEEP, create=True, cleanup_tmp_directories=True)
        handlers = {"arrays": ocp.StandardCheckpointHandler(), "note": ocp.JsonCheckpointHandler()}
        self._folder = folder
        self._origin = dict(origin)
        self._failed = False
        self._args = ocp.args
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options, item_handlers=handlers)

    def save(self, state: TrainState, standing: Standing = FRESH) -> None:
        """Write a checkpoint named by the state's step count and wait until it is whole.

        Raises
        ------
        SaveError
            If it cannot be written; those before it are as they were.
        """
        step, before = steps_of_a_copy(state), self._manager.all_steps()
        if step in before:
            return
        named = _named_arrays(state)
        note = sealed({"origin": self._origin, "standing": asdict(standing), "arrays": sums_of(named)})
        items = {"arrays": self._args.StandardSave(jax.tree.map(_once, named)), "note": self._args.JsonSave(note)}
        try:
            self._manager.save(step, args=self._args.Composite(**items), force=True)
            self._manager.wait_until_finished()
        except (OSError, ValueError, RuntimeError) as error:
            self._failed = True
            last = f"the last good one is {self._folder / str(max(before))}" if before else "there is none before it"
            raise SaveError(
                f"{self._folder}: the checkpoint of step {step} could not be written ({_reason(error)}); {last}. "
                "Make room, then go on with --resume"
            ) from error

    def restore_newest(self, template: TrainState) -> tuple[TrainState, Standing]:
        """Load the newest checkpoint that loads, in all processes; one that does not is put aside with a warning.

        Parameters
        ----------
        template
            A state of the same run, for shapes, dtypes and places.

        Raises
        ------
        InputError
            If none can be loaded, the newest readable one is of another origin, or the machine fails (memory, disk).
        """
        abstract = _abstract_arrays(template)
        broken: list[int] = []
        left = set(self._manager.all_steps())
        while (step := least_of_them(max(left, default=NONE_LEFT))) != NONE_LEFT:
            found, error = self._try(step, abstract, template)
            if not any_of_them(error is not None):  # all processes go on from the same one
                assert found is not None
                self._put_aside([*broken, *(newer for newer in left if newer > step)])
                return found
            where, reason = (
                self._folder / str(step),
                "another process cannot read it" if error is None else _reason(error),
            )
            if error is not None and _is_passing(error):
                raise InputError(
                    f"{where}: could not be read now ({reason}); nothing was changed. Put that right and --resume again"
                ) from error
            warnings.warn(f"checkpoint {where} does not load, skipped: {reason}", stacklevel=2)
            broken.append(step)
            left = {older for older in left if older < step}
        raise InputError(f"{self._folder}: no checkpoint that loads; train anew with --overwrite")

    def _try(
        self, step: int, abstract: Mapping[str, jax.ShapeDtypeStruct], template: TrainState
    ) -> tuple[tuple[TrainState, Standing] | None, Exception | None]:
        """Return what a checkpoint holds, or the error that it does not load for."""
        try:
            standing, sums = self._read_note(step, abstract)
            self._check_arrays(step, abstract)
            arguments = self._args.Composite(arrays=self._args.StandardRestore(abstract))
            with _quietly():
                arrays = self._manager.restore(step, args=arguments)["arrays"]
            check_sums({name: arrays[name] for name in abstract}, sums)
            state = _from_named_arrays(arrays, template)
            if steps_of_a_copy(state) != step:
                raise ValueError(f"it is of step {steps_of_a_copy(state)}")
        except InputError:
            raise
        except Exception as error:  # Orbax and its decoders raise whatever a damaged file makes them stumble over
            return None, error
        return (state, standing), None

    def _put_aside(self, steps: Sequence[int]) -> None:
        """Move checkpoints away that would stand in the way of those to come; somebody may still mend them."""
        if not any_of_them(bool(steps)):
            return
        if is_first() and steps:
            aside = self._folder.with_name(f"{self._folder.name}_broken")
            aside.mkdir(exist_ok=True)
            for step in steps:
                to = next(
                    path for n in count() if not (path := aside / (f"{step}" if n == 0 else f"{step}.{n}")).exists()
                )
                (self._folder / str(step)).rename(to)
        any_of_them(False)  # wait for the first
        self._manager.reload()

    def __bool__(self) -> bool:
        """Return True if there are any."""
        return bool(self._manager.all_steps())

    def close(self) -> None:
        """Finish pending work."""
        with suppress(*((Exception,) if self._failed else ())):  # Orbax raises what went wrong once more
            self._manager.close()

    def _read_note(
        self, step: int, abstract: Mapping[str, jax.ShapeDtypeStruct]
    ) -> tuple[Standing, dict[str, list[str]]]:
        """Read and check the note, after a look at the files' sizes; returns the arrays' sums too."""
        expected = sum(leaf.size * leaf.dtype.itemsize for leaf in abstract.values())
        found = _size_of_files(self._folder / str(step))
        if found > 2 * expected + SLACK_BYTES:
            raise ValueError(f"its files hold {found / MIB:.0f} MiB, far more than this run's arrays")
        note = unsealed(self._manager.restore(step, args=self._args.Composite(note=self._args.JsonRestore()))["note"])
        origin, standing = note["origin"], note["standing"]
        seconds, reached_target = standing["seconds"], standing["reached_target"]
        if not isinstance(origin, dict) or type(reached_target) is not bool or not 0 <= float(seconds) < 1e12:
            raise ValueError("its note is not one of a training run")
        check_origin(origin, self._origin, str(self._folder / str(step)))
        return Standing(float(seconds), reached_target), note["arrays"]

    def _check_arrays(self, step: int, abstract: Mapping[str, jax.ShapeDtypeStruct]) -> None:
        """Compare what the files announce with what must be there, before anything is read or allocated."""
        announced = self._manager.item_metadata(step)["arrays"].tree
        if set(announced) != set(abstract):
            raise ValueError(f"it has {sorted(set(announced) ^ set(abstract))[0]!r} too much or lacks it")
        for name, leaf in abstract.items():
            array = announced[name]
            if tuple(array.shape) != leaf.shape or np.dtype(array.dtype) != leaf.dtype:
                raise ValueError(
                    f"{name} is announced as {array.dtype} {tuple(array.shape)}, not {leaf.dtype} {leaf.shape}"
                )
            pieces = array.storage.chunk_shape  # of what is read at once
            if any(piece > max(size, 1) for piece, size in zip(pieces, leaf.shape, strict=True)):
                raise ValueError(f"{name} is announced in pieces of {tuple(pieces)}, larger than itself")


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep back the tracebacks of Orbax's other readers when one stumbles: what went wrong is said in a sentence."""
    with redirect_stderr(StringIO()):
        try:
            yield
        except Exception as error:
            traceback.clear_frames(error.__traceback__)
            gc.collect()  # tasks that nobody waits for complain when they go
            raise


def _size_of_files(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ValueError(f"{path.name} is a link, or no plain file")
        total += path.stat().st_size
    return total


def _is_passing(error: Exception) -> bool:
    """Return True for an error of the machine, not of the files, which may load another time."""
    if isinstance(error, OSError):
        return not isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
    of_system = re.search(r"os_error_code='(\d+)'", str(error))
    if of_system is not None:
        return int(of_system[1]) not in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
    return (
        isinstance(error, RuntimeError) and re.search("RESOURCE_EXHAUSTED|out of memory", str(error), re.I) is not None
    )


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    of_system = re.search(r"os_error_code='(\d+)'", str(error))  # at the very end of a long tale
    if of_system is not None:
        return os.strerror(int(of_system[1]))
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__


def _is_key(leaf: Array | jax.ShapeDtypeStruct) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _named_arrays(state: TrainState) -> dict[str, Array]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {
        jax.tree_util.keystr(path): jax.random.key_data(leaf) if _is_key(leaf) else leaf
        for path, leaf in leaves
        if leaf.size
    }


def _once(array: Array) -> Array:
    """Return what several devices of this process hold alike from one of them: Orbax would compile a cut of each."""
    alone = jax.process_count() == 1 and isinstance(array.sharding, NamedSharding) and array.is_fully_replicated
    return array.addressable_data(0) if alone else array


def _abstract_arrays(template: TrainState) -> dict[str, jax.ShapeDtypeStruct]:
    shape: Any = jax.ShapeDtypeStruct
    shapes = jax.eval_shape(_named_arrays, template)
    leaves = jax.tree_util.tree_leaves_with_path(template)
    places = {jax.tree_util.keystr(path): leaf.sharding for path, leaf in leaves}
    return {name: shape(leaf.shape, leaf.dtype, sharding=places[name]) for name, leaf in shapes.items()}


def _from_named_arrays(stored: Mapping[str, Array], template: TrainState) -> TrainState:
    def rebuild(path: tuple[object, ...], leaf: jax.ShapeDtypeStruct) -> Array:
        if not leaf.size:
            nothing = np.zeros(leaf.shape, leaf.dtype)
            return jax.make_array_from_callback(leaf.shape, leaf.sharding, lambda _: nothing)
        value = stored[jax.tree_util.keystr(path)]
        return jax.random.wrap_key_data(value) if _is_key(leaf) else value

    return jax.tree_util.tree_map_with_path(rebuild, template)
