"""Rows of large tables, kept in the user's cache folder: text is read once, numbers ever after.

A file's name and its first entry state the SHA-256 of the table and how it was read. What states anything else, or is
damaged, is made anew.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.files.digest import file_sha256
from neomflex_jax.files.same_bytes import write_npz
from neomflex_jax.files.stored_arrays import Wanted, open_arrays
from neomflex_jax.files.text import MIB
from neomflex_jax.files.whole_files import whole_file
from neomflex_jax.folders.cache import cache_folder
from neomflex_jax.profiles.step_rows import Reading, StepRows, read_step_rows

FORMAT = 3
SMALLEST_BYTES = 8 * MIB  # of a table; a smaller one is read in a second
MOST_BYTES = 16 * 1024 * MIB  # of an array
MOST_KEPT_BYTES = 8 * 1024 * MIB  # of all files together; the oldest go first
MOST_TOLD_BYTES = 64 * 1024


def step_rows(path: Path, reading: Reading) -> StepRows:
    """Return the rows of a table from the cache, or read and keep them; errors as in `read_step_rows`."""
    folder = _folder() if path.stat().st_size >= SMALLEST_BYTES else None
    if folder is None:
        return read_step_rows(path, reading)
    state = _state(path)
    stated = json.dumps({"format": FORMAT, "sha256": file_sha256(path), **dataclasses.asdict(reading)}, sort_keys=True)
    file = folder / f"{hashlib.sha256(stated.encode()).hexdigest()}.npz"
    try:
        return _load(file, stated, reading)
    except InputError:  # there is none, or it is damaged, or of another table
        rows = read_step_rows(path, reading)
    if _state(path) == state:
        _save(file, stated, rows)
    return rows


def _folder() -> Path | None:
    try:
        return cache_folder(os.environ, Path.home(), sys.platform, "tables")
    except RuntimeError:  # no HOME, and a user that the system does not know
        return None


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _load(file: Path, stated: str, reading: Reading) -> StepRows:
    with open_arrays(file, "cache") as stored:
        if stored.text("stated", MIB) != stated:
            raise InputError(f"{file}: of another table")
        told = stored.text("told", MOST_TOLD_BYTES)
        first_day = stored.text("first_day", MOST_TOLD_BYTES)
        left_out = int(stored.read("days_left_out", Wanted("i", ()), MIB))
        common = stored.read("common", Wanted("f", (None, len(reading.common))), MOST_BYTES)
        own = stored.read("own", Wanted("f", (len(common), len(reading.own))), MOST_BYTES)
    return StepRows(common, own, tuple(told.splitlines()), first_day, left_out)


def _save(file: Path, stated: str, rows: StepRows) -> None:
    arrays = {
        "stated": np.array(stated),
        "told": np.array("\n".join(rows.told)),
        "first_day": np.array(rows.first_day),
        "days_left_out": np.array(rows.days_left_out),
        "common": rows.common,
        "own": rows.own,
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with whole_file(file) as partial:
            write_npz(partial, arrays, compressed=False)
        _remove_oldest(file.parent)
    except OSError:
        pass  # a full disk or a read-only home costs the cache, not the run


def _remove_oldest(folder: Path) -> None:
    kept = sorted(folder.glob("*.npz"), key=lambda file: file.stat().st_mtime, reverse=True)
    total = 0
    for file in kept:
        total += file.stat().st_size
        if total > MOST_KEPT_BYTES and file != kept[0]:
            file.unlink(missing_ok=True)
