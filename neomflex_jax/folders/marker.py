"""What in a folder is ours: a marker lists, by kind of results, the names that we made; the rest is somebody else's."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path

from neomflex_jax.errors import InputError
from neomflex_jax.files.json_values import read_json_object
from neomflex_jax.files.paths import is_file
from neomflex_jax.files.whole_files import write_whole

MARKER = ".neomflex.json"
PROGRAM, FORMAT = "neomflex_jax", 1
MAX_BYTES = 1024 * 1024
NOTE = "written by neomflex: what is listed here, and nothing else in this folder, may --overwrite replace"


def made_in(folder: Path, kind: str) -> frozenset[str] | None:
    """Names of what we made of a kind in a folder; None if nothing says that we made any.

    A marker that is damaged, a link, or another program's says nothing.
    """
    made = _read(folder / MARKER)
    return None if made is None or kind not in made else made[kind]


def mark(folder: Path, kind: str, names: Collection[str]) -> None:
    """Mark these names in a folder as ours and of this kind; to be called before the first of them is written.

    Raises
    ------
    InputError
        If the marker's name is taken by something that is none.
    """
    path = folder / MARKER
    made = _read(path)
    if made is None and is_there(path):
        raise InputError(f"{path}: is no marker of this program; move it away, or give another --output")
    _write(path, {**(made or {}), kind: frozenset(names)})


def unmark(folder: Path, kind: str) -> None:
    """Undo `mark` for one kind; with the last kind the marker goes too."""
    path = folder / MARKER
    made = _read(path)
    if made is None or kind not in made:
        return
    left = {other: names for other, names in made.items() if other != kind}
    if left:
        _write(path, left)
    else:
        path.unlink()


def is_there(path: Path) -> bool:
    """Return True if a name is taken, be it by a dangling link."""
    return os.path.lexists(path)


def is_plain_file(path: Path) -> bool:
    """Return True for a plain file, False for a folder or a link."""
    return is_file(path) and not path.is_symlink()


def _write(path: Path, made: dict[str, frozenset[str]]) -> None:
    listed = {kind: sorted(names) for kind, names in sorted(made.items())}
    content = {"program": PROGRAM, "format": FORMAT, "note": NOTE, "made": listed}
    write_whole(path, json.dumps(content, indent=1) + "\n")


def _read(path: Path) -> dict[str, frozenset[str]] | None:
    try:
        content = read_json_object(path, "marker", MAX_BYTES) if is_plain_file(path) else {}
    except InputError:
        return None
    if (content.get("program"), content.get("format")) != (PROGRAM, FORMAT):
        return None
    made = content.get("made")
    if not isinstance(made, dict) or not all(isinstance(names, list) for names in made.values()):
        return None
    return {kind: frozenset(_plain(names)) for kind, names in made.items()}


def _plain(names: Iterable[object]) -> Iterable[str]:
    """Leave out what would lead out of the folder: a marker may have been tampered with."""
    for name in names:
        if isinstance(name, str) and name not in ("", ".", "..") and not set(name) & {"/", "\\", "\0", ":"}:
            yield name
