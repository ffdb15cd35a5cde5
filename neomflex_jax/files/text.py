"""Text files: UTF-8, or what a byte order mark at their beginning says; the mark is no part of the text."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from neomflex_jax.errors import InputError, short_path
from neomflex_jax.files.paths import is_file, is_folder

MIB = 1024 * 1024
MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}  # Windows' shells write these

PACKED = {b"PK\x03\x04": "an Excel workbook or another archive", b"\x1f\x8b\x08": "compressed"}


def read_text(path: Path, what: str = "text file", most_bytes: int = 64 * MIB) -> str:
    """Read a whole text file, its line ends as they are.

    Parameters
    ----------
    what
        What the file should be, for errors: ``JSON file``.
    most_bytes
        Its largest size.

    Raises
    ------
    InputError
        If there is none, it cannot be read, is no text or too large.
    """
    with open_text(path, what) as file:
        size = path.stat().st_size
        if size > most_bytes:
            raise InputError(f"{path}: larger than {most_bytes / MIB:g} MiB, too large for a {what}")
        return file.read(most_bytes + 1)


@contextmanager
def open_text(path: Path, what: str = "text file") -> Iterator[TextIO]:
    """Open a text file to read it piece by piece; errors as in `read_text`, while it is being read too."""
    if is_folder(path):
        raise InputError(f"{path}: is a folder; give a {what} in it")
    if not is_file(path):
        raise InputError(f"{short_path(path)}: no such file")
    try:
        with path.open("rb") as file:
            start = file.read(4)
        encoding = MARKS.get(start[:2], "utf-8-sig")
        for mark, kind in PACKED.items():
            if start.startswith(mark):
                raise InputError(f"{path}: is {kind}, and no {what}; save its content as one")
        with path.open(newline="", encoding=encoding) as text:
            yield text
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeError as error:
        raise InputError(f"{path}: not a readable {what} ({error}); save it as UTF-8") from error
