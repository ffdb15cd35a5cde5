"""How much memory the machine, its container or its job still has."""

from __future__ import annotations

from pathlib import Path

from neomflex_jax.errors import InputError
from neomflex_jax.files.text import read_text

MEMORY_INFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def free_bytes_here() -> float | None:
    """Return the bytes of main memory that may still be taken; None where nobody says."""
    known = [each for each in (_available_bytes(), _bytes_of_group()) if each is not None]
    return min(known) if known else None


def _available_bytes() -> float | None:
    """Return what Linux says is available."""
    found = [line.split()[1] for line in _lines(MEMORY_INFO) if line.startswith("MemAvailable:")]
    return float(found[0]) * 1024 if found else None


def _bytes_of_group() -> float | None:
    """Return what the container or job may still take; files that are only cached do not count as taken."""
    said = [_lines(CGROUP / name) for name in ("memory.max", "memory.current", "memory.stat")]
    if not all(said) or said[0] == ["max"]:
        return None
    cached = [line.split()[1] for line in said[2] if line.startswith("inactive_file ")]
    return float(said[0][0]) - float(said[1][0]) + float(cached[0] if cached else 0)


def _lines(path: Path) -> list[str]:
    """Return the lines of a file in which the system says something, none where it does not."""
    try:
        return read_text(path).split("\n")[:-1]
    except InputError:
        return []
