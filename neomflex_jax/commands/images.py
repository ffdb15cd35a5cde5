"""The files that commands draw into: their names' endings, asked for before anything is computed."""

from __future__ import annotations

from pathlib import Path

from neomflex_jax.errors import InputError

IMAGES = (".png", ".pdf", ".svg")


def check_image(path: Path | None, endings: tuple[str, ...] = IMAGES) -> None:
    """Raise `InputError` if a picture's name has none of these endings; None names no picture."""
    if path is not None and path.suffix not in endings:
        raise InputError(f"{path}: the name must end in one of {', '.join(endings)}")
