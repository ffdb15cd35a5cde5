"""The folder of one training run: what lies in it, and never losing what is there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from neomflex_jax.errors import InputError, short_path
from neomflex_jax.files.json_values import read_json_object
from neomflex_jax.files.paths import is_file
from neomflex_jax.whole_files import write_whole

RUN_FORMAT = 1
PART_OF = "part_of"  # in config.json of what has no checkpoints of its own: what it was trained in


class SaveError(InputError):
    """Something of the run could not be written; what was written before is as it was."""


@contextmanager
def saving(what: Path) -> Iterator[None]:
    """Say which file could not be written, why, and what to do."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SaveError(
            f"{what}: could not be written ({reason}); make room, then go on with --resume from the last checkpoint"
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
    def _parts(self) -> tuple[Path, ...]:
        states = self.checkpoints, self.broken_checkpoints
        return self.config, self.metrics, *states, self.policies, self.events, self.trace, self.result

    @property
    def result(self) -> Path:
        """How the run ended; see `result.py`."""
        return self.root / "result.json"

    def of_seed(self, seed: int) -> RunFolder:
        """Folder of one seed's policies, where a run trains several."""
        return RunFolder(self.root / f"seed_{seed}")

    def check(self, *, overwrite: bool) -> None:
        """Make sure that a new run may be written here; changes nothing.

        Raises
        ------
        InputError
            If it holds a run and `overwrite` is false, or things named like a run's that are none. Other files stay.
        """
        own = {path.name for path in self._parts}
        present = {path.name for path in self.root.iterdir()} if self.root.is_dir() else set()
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"{self.root}: is a file; give an output folder")
        if present & own and overwrite and self.config.name not in present:
            raise InputError(
                f"{self.root}: holds {sorted(present & own)[0]} but no {self.config.name}, so it is no run "
                "to be overwritten; give another --output"
            )
        if present & own and not overwrite:
            raise InputError(
                f"{self.root}: already holds a run; give --resume to continue it, --overwrite to replace it, "
                "or another --output"
            )

    def prepare(self, *, overwrite: bool) -> None:
        """Check, remove a run that may be overwritten, and make the folder."""
        self.check(overwrite=overwrite)
        seeds = [RunFolder(path) for path in self.root.glob("seed_*") if self.config.exists()]
        for path in [path for folder in (*seeds, self) for path in folder._parts if path.exists()]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for folder in seeds:
            if folder.root.is_dir() and not any(folder.root.iterdir()):
                folder.root.rmdir()
        self.root.mkdir(parents=True, exist_ok=True)

    def begin(self, config: dict[str, Any], *, overwrite: bool) -> None:
        """Make room for a run and say what it is."""
        self.prepare(overwrite=overwrite)
        self.write_config(config)

    def withdraw(self) -> None:
        """Take back a run that has not begun."""
        self.config.unlink(missing_ok=True)
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

    def write_config(self, config: dict[str, Any]) -> None:
        """Write the run's settings, whole or not at all."""
        write_whole(self.config, json.dumps({"run_format": RUN_FORMAT, **config}, indent=2) + "\n")

    def read_config(self) -> dict[str, Any]:
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
