"""Not writing over files that are there, for commands that write a few into a folder of the user's."""

from __future__ import annotations

from pathlib import Path

from neomflex_jax.errors import InputError


def refuse_existing(folder: Path, names: tuple[str, ...], overwrite: bool) -> None:
    """Raise `InputError` if the folder holds results already, unless they may be replaced; make it if not there."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give an output folder")
    present = [name for name in names if (folder / name).exists()]
    if present and not overwrite:
        raise InputError(f"{folder}: already holds {present[0]}; give --overwrite or another --output")
    folder.mkdir(parents=True, exist_ok=True)
