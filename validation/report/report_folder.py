"""The folder of a report: which files are the report's, and which of them have changed since it was written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from neomflex_jax.errors import InputError
from neomflex_jax.files.json_values import read_json_object
from neomflex_jax.folders.results import ResultKind, sha256_of

REPORT, PAGE, STEPS = "report.json", "report.md", "pandapower_steps.csv"
MAX_BYTES = 64 * 1024 * 1024


def _before_markers(folder: Path) -> tuple[str, ...]:
    """Return the names of the files of a report from before folders had markers."""
    try:
        path = folder / REPORT
        content = read_json_object(path, "report", MAX_BYTES)
        if {"schema_version", "verdict", "judged", "runpp_options"} <= content.keys():
            figures = [name for run in content["runs"] for name in run.get("figures", {})]
            return (*VALIDATION.files, *(name for name in figures if Path(name).name == name and name.endswith(".png")))
    except (InputError, AttributeError, TypeError):
        pass  # another program's
    return ()


def hashes_of(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 by name of those of these files that are there."""
    return {name: sha256_of(folder / name) for name in sorted(names) if (folder / name).is_file()}


VALIDATION = ResultKind("validation", (REPORT, PAGE), (REPORT, PAGE, STEPS), _before_markers)
