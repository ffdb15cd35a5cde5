"""`make` finds a Python that suits by itself, whatever else is called Python on a machine."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OTHERS = {
    "gone": "echo 'not found' >&2; exit 127",  # a version manager's entry for a version that is switched off
    "too old": "exit 1",
}


def make(path: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Ask `make` what it would do to set up its environment where these programs are all there is."""
    for name, body in programs.items():
        program = path / name.replace("_", ".")
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
    found = shutil.which("make")
    assert found is not None, "the project's commands are those of make"
    variables = {name: value for name, value in os.environ.items() if name != "PYTHON"} | {"PATH": str(path)}
    command = [found, "--dry-run", "--file", ROOT / "Makefile", f"VENV={path}/venv", f"{path}/venv/created"]
    return subprocess.run(command, cwd=path, env=variables, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["python3_11", "python3_12", "python3_13", "python3", "python"])
@pytest.mark.parametrize("other", OTHERS)
def test_make_takes_the_python_that_suits(tmp_path: Path, name: str, other: str) -> None:
    every = dict.fromkeys(["python3_11", "python3_12", "python3_13", "python3", "python"], OTHERS[other])
    done = make(tmp_path, **every | {name: f'exec {sys.executable} "$@"'})
    assert done.returncode == 0, done.stderr
    assert f"{name.replace('_', '.')} -m venv" in done.stdout


def test_make_says_what_it_needs_where_no_python_suits(tmp_path: Path) -> None:
    done = make(tmp_path, python3=OTHERS["gone"])
    assert done.returncode != 0
    assert "No Python from 3.11 on" in done.stderr
    assert "make PYTHON=" in done.stderr


def test_make_asks_for_the_pythons_that_the_package_allows() -> None:
    least = re.search(r"version_info < \((\d+), (\d+)\)", (ROOT / "Makefile").read_text())
    assert least is not None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={'.'.join(least.groups())}"
