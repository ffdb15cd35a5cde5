"""The README's Python example runs as printed, and its commands exist."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from neomflex_jax.cli import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
SHORTEST, ADAPTERS, JAXMARL, STABLE_BASELINES = EXAMPLES


def run(example):
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_example_runs_and_prints_what_it_says():
    said = run(SHORTEST)
    assert "(1000, 3)" in said
    assert "0.2026" in said
    assert "0.9130" in said


def test_the_other_interfaces_examples_run():
    run(f"{ADAPTERS}\n{JAXMARL}")


def test_the_example_for_stable_baselines_runs():
    pytest.importorskip("stable_baselines3")
    run(STABLE_BASELINES)


def test_every_install_that_it_names_is_an_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {
        name for group in re.findall(r'pip install (?:-e )?"[^"\[]*\[([\w,]+)\]"', README) for name in group.split(",")
    }
    assert {"adapters", "jaxmarl", "sb3"} <= named <= set(extras)


def test_nothing_is_left_to_fill_in():
    assert not re.findall(r"@[A-Z]+@", README)


def test_every_file_it_links_to_exists():
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if not target.startswith("http")]
    assert "docs/scenarios.md" in targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_command_that_it_names_exists():
    named = set(re.findall(r"\bneomflex ([a-z]+)\b", README))
    assert {"train", "evaluate", "validate"} <= named <= set(COMMANDS)


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_make_targets_exist(target):
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
