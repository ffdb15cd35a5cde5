"""The folder of one training run: what lies in it, and never losing what is there."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from neomflex_jax.errors import InputError, reason_of, short_path
from neomflex_jax.files.json_values import read_json_object
from neomflex_jax.files.paths import is_file
from neomflex_jax.files.whole_files import write_whole
from neomflex_jax.folders.marker import MARKER, is_plain_file, is_there, made_in, mark, unmark
from neomflex_jax.loose_types import JsonObject
from neomflex_jax.training.run_files import PARTS, check_removable, remove_made

RUN_FORMAT = 1
KIND = "run"
WRITTEN = {"run_format", "neomflex_jax", "jax", "scenario", "algorithm", "seed"}  # what every config.json of ours holds
SEED = re.compile(r"seed_\d+")
PART_OF = "part_of"  # in config.json of what has no checkpoints of its own: what it was trained in


class SaveError(InputError):
    """Something of the run could not be written; what was written before is as it was."""


@contextmanager
def saving(what: Path) -> Iterator[None]:
    """Turn an error of writing into a `SaveError` that says which file, why, and what to do."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise SaveError(
            f"{what}: could not be written ({reason_of(error)}); make room, then go on with --resume from the last "
            "checkpoint"
        ) from error


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run."""

    root: Path

    @property
    def config(self) -> Path:
        """Scenario, algorithm, settings, seed and versions."""
        return self.root / "config.json"

    @property
    def metrics(self) -> Path:
        """One row a chunk of training."""
        return self.root / "metrics.csv"

    @property
    def checkpoints(self) -> Path:
        """Whole training states."""
        return self.root / "checkpoints"

    @property
    def broken_checkpoints(self) -> Path:
        """Those that did not load."""
        return self.root / "checkpoints_broken"

    @property
    def policies(self) -> Path:
        """One file an agent."""
        return self.root / "policies"

    @property
    def events(self) -> Path:
        """TensorBoard event files, if asked for."""
        return self.root / "events"

    @property
    def trace(self) -> Path:
        """JAX's trace of a few chunks, if asked for."""
        return self.root / "trace"

    @property
    def result(self) -> Path:
        """How the run ended; see `result.py`."""
        return self.root / "result.json"

    def of_seed(self, seed: int) -> RunFolder:
        """Folder of one seed's policies, where a run trains several."""
        return RunFolder(self.root / f"seed_{seed}")

    def check(self, *, overwrite: bool, seeds: Sequence[int] = ()) -> None:
        """Check that a new run may be written here; changes nothing.

        Parameters
        ----------
        overwrite
            Whether a run of ours may be replaced.
        seeds
            Those that the new run gives folders of their own.

        Raises
        ------
        InputError
            If it holds a run and `overwrite` is false, or things named like a run's that are not ours, or that cannot
            be removed. Other files stay.
        """
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"{self.root}: is a file; give an output folder")
        self._check_alone(overwrite=overwrite)
        for folder in map(self.of_seed, seeds):
            folder._check_alone(overwrite=overwrite)
            if folder._names_taken() and not folder._is_part():
                raise InputError(f"{folder.root}: holds a run of its own; move it away, or give another --output")
        for folder in self._of_seeds() if overwrite else ():
            folder._check_alone(overwrite=True)

    def _check_alone(self, *, overwrite: bool) -> None:
        taken = self._names_taken()
        if not taken:
            return
        if not self.is_ours():
            raise InputError(
                f"{self.root}: holds {taken[0]} but no config.json or {MARKER} that this program wrote, so it is no "
                "run to be overwritten; nothing was changed: give another --output"
            )
        if not overwrite:
            what = "a run" if is_there(self.config) else f"what is left of a run ({taken[0]})"
            raise InputError(
                f"{self.root}: already holds {what}; give --resume to continue it, --overwrite to replace it, "
                "or another --output"
            )
        check_removable(self.root)

    def is_ours(self) -> bool:
        """Return True if a marker says so or, from before there were any, a `config.json` with all that we write."""
        try:
            known = read_json_object(self.config) if is_plain_file(self.config) else {}
        except InputError:
            known = {}  # damaged
        if made_in(self.root, KIND) is not None:
            return not known or "run_format" in known  # or another program has come since
        return known.get("run_format") == RUN_FORMAT and known.keys() >= WRITTEN

    def _names_taken(self) -> list[str]:
        return [name for name in PARTS if is_there(self.root / name)]

    def _is_part(self) -> bool:
        """Return True for a seed's folder of a run of several, or what is left of one."""
        try:
            return not is_there(self.config) or PART_OF in self.read_config()
        except InputError:
            return False

    def _of_seeds(self) -> list[RunFolder]:
        """Return the folders of a run's seeds, leaving out runs of their own and what is somebody else's."""
        folders = [RunFolder(path) for path in sorted(self.root.glob("seed_*")) if SEED.fullmatch(path.name)]
        real = [folder for folder in folders if folder.root.is_dir() and not folder.root.is_symlink()]
        return [folder for folder in real if folder.is_ours() and folder._is_part()] if self.is_ours() else []

    def prepare(self, *, overwrite: bool) -> None:
        """Check, remove a run that may be overwritten, and make the folder; says what of others' it leaves."""
        self.check(overwrite=overwrite)
        if self.is_ours():
            self._remove()
        self.root.mkdir(parents=True, exist_ok=True)

    def _remove(self) -> None:
        """Remove the run; one that is cut off in this is none any more, and still ours to go on removing."""
        mark(self.root, KIND, PARTS)
        seeds = self._of_seeds()
        self.config.unlink(missing_ok=True)
        for folder in (*seeds, self):
            left = remove_made(folder.root)
            unmark(folder.root, KIND)
            if left:
                warnings.warn(f"{left[0]}: is not of the run, and was left", stacklevel=3)
        for folder in seeds:
            with suppress(OSError):  # others' files lie there
                folder.root.rmdir()

    def begin(self, config: dict[str, object], *, overwrite: bool) -> None:
        """Make room for a run and write its settings."""
        self.prepare(overwrite=overwrite)
        self.write_config(config)

    def withdraw(self) -> None:
        """Remove the marks of a run that has not begun."""
        self.config.unlink(missing_ok=True)
        unmark(self.root, KIND)
        with suppress(OSError):  # others' files lie there
            self.root.rmdir()

    def refuse_if_part(self) -> None:
        """Raise `InputError` if this was trained side by side with others, and cannot go on alone."""
        whole = self.read_config().get(PART_OF)
        if whole is not None:
            raise InputError(f"{self.root}: is part of {whole} and has no checkpoints of its own; train anew")

    def refuse_if_learned(self) -> None:
        """Raise `InputError` if something was learned here: without checkpoints it would be lost in a new start."""
        learned = [
            path for path in (self.metrics, self.policies, self.result, *self.root.glob("seed_*")) if path.exists()
        ]
        if learned:
            raise InputError(
                f"{self.checkpoints}: holds no checkpoint to go on from, but {learned[0].name} is there; put the "
                "checkpoints back, or train anew with --overwrite or another --output"
            )

    def write_config(self, config: dict[str, object]) -> None:
        """Write the run's settings, whole or not at all; from then on the folder is ours."""
        mark(self.root, KIND, PARTS)
        write_whole(self.config, json.dumps({"run_format": RUN_FORMAT, **config}, indent=2) + "\n")

    def read_config(self) -> JsonObject:
        """Read what `write_config` wrote.

        Raises
        ------
        InputError
            If there is no run here, or one of another format.
        """
        if not is_file(self.config):
            raise InputError(f"{short_path(self.root)}: holds no training run (no readable config.json)")
        config = read_json_object(self.config)
        if config.get("run_format") != RUN_FORMAT:
            raise InputError(f"{self.config}: not a run of format {RUN_FORMAT}; train again with this version")
        return config
