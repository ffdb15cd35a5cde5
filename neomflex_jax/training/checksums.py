"""SHA-256 of a run's arrays and of a checkpoint's note: what is read back must be what was written, to the bit.

Each process sums up the part of an array that lies on its own devices, and the note holds one sum a process. Devices
share arrays along their first axis only, so that a process's part is the same bytes on another number of devices.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
from jax import Array

from neomflex_jax.loose_types import JsonObject
from neomflex_jax.training.processes import of_everyone

SUM_BYTES = hashlib.sha256().digest_size
SEAL = "sha256"  # of a note: over all of its other entries


def sums_of(arrays: Mapping[str, Array]) -> dict[str, list[str]]:
    """Return the sums of every array, one a process; all processes have to call it."""
    own = np.frombuffer(b"".join(_own_sums(arrays)), np.uint32)
    everyone = [part.tobytes().hex() for part in of_everyone(own)]
    digits = 2 * SUM_BYTES
    return {
        name: [text[digits * index : digits * (index + 1)] for text in everyone] for index, name in enumerate(arrays)
    }


def check_sums(arrays: Mapping[str, Array], expected: Mapping[str, list[str]]) -> None:
    """Compare this process's parts of the arrays with the sums of `sums_of`.

    Raises
    ------
    ValueError
        Naming the first array that is another.
    """
    process = jax.process_index()
    for name, found in zip(arrays, _own_sums(arrays), strict=True):
        if expected[name][process] != found.hex():
            raise ValueError(f"{name} is not what was saved: its SHA-256 differs")


def sealed(note: Mapping[str, object]) -> dict[str, object]:
    """Add the sum of a note (plain JSON values) to it."""
    return {**note, SEAL: _seal(note)}


def unsealed(note: object) -> JsonObject:
    """Return a note without its sum.

    Raises
    ------
    ValueError
        If it carries none, or that of another note.
    """
    if not isinstance(note, dict) or SEAL not in note:
        raise ValueError("its note carries no SHA-256")
    rest = {name: value for name, value in note.items() if name != SEAL}
    if note[SEAL] != _seal(rest):
        raise ValueError("its note is not what was saved: its SHA-256 differs")
    return rest


def _seal(note: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(note, sort_keys=True).encode()).hexdigest()


def _own_sums(arrays: Mapping[str, Array]) -> list[bytes]:
    """Sum up what lies on this process's devices, arrays side by side: hashing lets other threads run."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_own_sum, arrays.values()))


def _own_sum(array: Array) -> bytes:
    parts = {_first_row(shard.index): shard.data for shard in array.addressable_shards}  # replicas count once
    total = hashlib.sha256()
    for _, part in sorted(parts.items()):
        total.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    return total.digest()


def _first_row(index: tuple[slice, ...]) -> int:
    return (index[0].start or 0) if index else 0
