"""The README's Python example runs as printed, and its commands exist."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def run(example):
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_example_runs_and_prints_what_it_says():
    said = run(EXAMPLES[0])
    assert "(1000, 3)" in said
    assert "0.2026" in said
    assert "0.9130" in said


def test_the_other_interfaces_examples_run():
    run("\n".join(EXAMPLES[1:3]))


def test_the_example_for_stable_baselines_runs():
    pytest.importorskip("stable_baselines3")
    run(EXAMPLES[3])


def test_every_install_that_it_names_is_an_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {
        name for group in re.findall(r'pip install (?:-e )?"[^"\[]*\[([\w,]+)\]"', README) for name in group.split(",")
    }
    assert {"adapters", "jaxmarl", "sb3"} <= named <= set(extras)


def test_nothing_is_left_to_fill_in():
    assert not re.findall(r"@[A-Z]+@", README)


def test_every_file_it_links_to_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_make_targets_exist(target):
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
