"""SHA-256 of files of any size."""

from __future__ import annotations

import hashlib
from pathlib import Path

from neomflex_jax.errors import InputError, short_path


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal; raises `InputError` if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        raise InputError(f"{short_path(path)}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
