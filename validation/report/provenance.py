"""What a report rests on beside the data: versions, git commit, machine. No path, user or host name."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from neomflex_jax._version import __version__

PACKAGES = ("jax", "numpy", "pandapower")
OPTIONAL = {
    "numba": "numba",
    "power-grid-model": "power_grid_model",
    "opendssdirect.py": "opendssdirect",
}  # distribution: module
ROOT = Path(__file__).parents[2]


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that compute."""
    installed = {name: version(name) for name in PACKAGES}
    installed |= {name: version(name) for name, module in OPTIONAL.items() if find_spec(module) is not None}
    return {"neomflex_jax": __version__, "python": platform.python_version()} | installed


def git_commit(root: Path = ROOT) -> str | None:
    """Return the commit of the checkout that the package is in, ``-dirty`` if files differ; None if it is in none."""
    if not (root / ".git").exists():  # installed: git would find whatever repository lies around it
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("-dirty" if changed else "")


def machine() -> Mapping[str, object]:
    """Return system, processor and number of cores."""
    return {"system": platform.system(), "processor": platform.machine(), "cpu_count": os.cpu_count()}


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
