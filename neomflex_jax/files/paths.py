"""What stands at a path, also where the system would not hear of such a name: too long, or with a zero byte in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def is_file(path: Path) -> bool:
    """Return True if the path is a plain file."""
    return _ask(path.is_file)


def is_folder(path: Path) -> bool:
    """Return True if the path is a folder."""
    return _ask(path.is_dir)


def is_there(path: Path) -> bool:
    """Return True if anything has this path."""
    return _ask(path.exists)


def _ask(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except (OSError, ValueError):
        return False
