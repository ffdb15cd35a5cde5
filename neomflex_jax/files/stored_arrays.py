"""Arrays from .npz files, which may come from anybody: nothing is inflated that is not what the file should hold.

The reader says which type and shape each array must have; an array's own header is held against that first, and then
exactly so many bytes are read. So a file costs what is asked of it, whatever it announces. Members are stored or
deflated, as NumPy writes them; objects are no type here, and no header is evaluated.
"""

from __future__ import annotations

import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from neomflex_jax.errors import InputError, shown
from neomflex_jax.files.paths import is_file
from neomflex_jax.files.text import MIB

MAGIC = b"\x93NUMPY"
MOST_HEADER_BYTES = 4096
MOST_MEMBERS = 1000
ALIGNED_TO = 64
HEADER = re.compile(  # as NumPy writes it
    rb"\{'descr': '([<>|=]?(?:f[48]|[iu][1248]|b1|U\d{1,9}))', 'fortran_order': (True|False), "
    rb"'shape': \(([\d, ]{0,200})\), \} *\n"
)
UNREADABLE = (
    *(OSError, ValueError, TypeError, EOFError, NotImplementedError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)


@dataclass(frozen=True)
class Wanted:
    """What an array must be: its kind by NumPy's letter (floats f, integers i or u, truth b, text U), its shape."""

    kind: str
    shape: tuple[int | None, ...]  # None: any size


@dataclass(frozen=True)
class Announced:
    """What an array's header says it is."""

    dtype: np.dtype
    shape: tuple[int, ...]
    fortran_order: bool
    header_bytes: int

    @property
    def n_bytes(self) -> int:
        """Size of the array itself."""
        return self.dtype.itemsize * math.prod(self.shape)


class StoredArrays:
    """An open .npz file."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive
        members = archive.infolist()
        if len(members) > MOST_MEMBERS:
            raise ValueError(f"{len(members)} members")
        self._members = {member.filename.removesuffix(".npy"): member for member in members}
        if len(self._members) < len(members):
            raise ValueError("a name is given twice")

    @property
    def names(self) -> set[str]:
        """Names of the arrays."""
        return set(self._members)

    def read(self, name: str, wanted: Wanted, most_bytes: int) -> np.ndarray:
        """Read one array.

        Raises
        ------
        InputError
            If it is missing, another one than wanted, larger than `most_bytes`, or damaged.
        """
        if name not in self._members:
            raise InputError(f"{self._path}: array {name!r} is missing")
        member = self._members[name]
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(f"{self._path}: array {name!r} is neither stored nor deflated, as NumPy writes arrays")
        with self._archive.open(member) as stream:
            announced = _announced(stream)
            _check(f"{self._path}: array {name!r}", announced, wanted)
            if announced.n_bytes > most_bytes:
                raise InputError(f"{self._path}: array {name!r} has {announced.n_bytes} bytes, more than {most_bytes}")
            if announced.header_bytes + announced.n_bytes != member.file_size:
                raise ValueError(f"{name} has another size than its header says")
            return _values(stream, announced)

    def text(self, name: str, most_bytes: int) -> str:
        """Read an array that is one text; errors as in `read`."""
        text = str(self.read(name, Wanted("U", ()), most_bytes))
        text.encode("utf-8")  # raises at half a character
        return text


@contextmanager
def open_arrays(path: Path, what: str) -> Iterator[StoredArrays]:
    """Open an .npz file.

    Raises
    ------
    InputError
        If there is none, or it is damaged, while it is being read too; `what` names what it should be.
    """
    if not is_file(path):
        raise InputError(f"{path}: not a readable {what} file (no such file)")
    try:
        with zipfile.ZipFile(path) as archive:
            yield StoredArrays(path, archive)
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(f"{path}: not a readable {what} file ({str(error)[:80] or type(error).__name__})") from error


def _announced(stream: IO[bytes]) -> Announced:
    """Read an array's header."""
    start = _exactly(stream, len(MAGIC) + 2)
    length_bytes = 2 if start[len(MAGIC)] == 1 else 4
    length = int.from_bytes(_exactly(stream, length_bytes), "little")
    if not start.startswith(MAGIC) or length > MOST_HEADER_BYTES:
        raise ValueError("an array has no header of NumPy's")
    found = HEADER.fullmatch(_exactly(stream, length))
    if found is None:
        raise ValueError("an array's header is none that NumPy writes for plain numbers and texts")
    dtype, fortran_order, sizes = (part.decode() for part in found.groups())
    shape = tuple(int(text) for text in re.findall(r"\d+", sizes))
    header_bytes = len(start) + length_bytes + length
    return Announced(np.dtype(dtype), shape, fortran_order == "True", header_bytes)


def _check(where: str, announced: Announced, wanted: Wanted) -> None:
    fits = len(announced.shape) == len(wanted.shape) and all(
        size in (None, own) for own, size in zip(announced.shape, wanted.shape, strict=True)
    )
    if announced.dtype.kind != wanted.kind or not fits:
        sizes = ", ".join("any" if size is None else str(size) for size in wanted.shape)
        kinds = {"f": "floats", "i": "integers", "u": "integers of no sign", "b": "truth values", "U": "text"}
        raise InputError(
            f"{where} is {announced.dtype.str} of shape {shown(announced.shape)}; it must hold {kinds[wanted.kind]} of "
            f"shape ({sizes})"
        )


def _values(stream: IO[bytes], announced: Announced) -> np.ndarray:
    """Read what comes after a header, and the checksum at its end."""
    content = aligned_bytes(announced.n_bytes)
    place = content.data
    filled = 0
    while filled < len(content):
        part = stream.read(min(len(content) - filled, MIB))
        if not part:
            raise EOFError("an array is cut off")
        place[filled : filled + len(part)] = part
        filled += len(part)
    if stream.read(1):
        raise ValueError("an array is longer than its header says")
    if announced.dtype.kind == "b" and (content > 1).any():
        raise ValueError("a truth value is neither true nor false")
    values = np.ndarray(announced.shape, announced.dtype, content.data, order="F" if announced.fortran_order else "C")
    return values.astype(announced.dtype.newbyteorder("="), order="C", copy=False)


def aligned_bytes(n_bytes: int) -> np.ndarray:
    """Return memory (n_bytes,) that JAX takes over on a CPU as it is, without a copy."""
    content = np.empty(n_bytes + ALIGNED_TO, np.uint8)
    first = -content.ctypes.data % ALIGNED_TO
    return content[first : first + n_bytes]


def _exactly(stream: IO[bytes], count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise EOFError("an array is cut off")
    return content
