"""README and documentation: their Python examples run as printed, their commands exist, their links lead somewhere."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from command_options import options_of, parts_of

from neomflex_jax.cli import COMMANDS
from neomflex_jax.commands.sweep import Swept

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
}
README = PAGES["README.md"]


def examples_of(page):
    return re.findall(r"```python\n(.*?)```", PAGES[page], flags=re.DOTALL)


(SHORTEST,) = examples_of("README.md")
ADAPTERS, JAXMARL, STABLE_BASELINES = examples_of("docs/interfaces.md")


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


def test_every_install_that_they_name_is_an_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {
        name
        for page in PAGES.values()
        for group in re.findall(r'pip install (?:-e )?"[^"\[]*\[([\w,]+)\]"', page)
        for name in group.split(",")
    }
    assert {"adapters", "jaxmarl", "sb3"} <= named <= set(extras)


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_left_to_fill_in(page):
    assert not re.findall(r"@[A-Z]+@", PAGES[page])


@pytest.mark.parametrize("page", PAGES)
def test_every_file_it_links_to_exists(page):
    targets = [target for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGES[page]) if "://" not in target]
    assert targets or page.startswith("docs/")
    assert page != "README.md" or {"docs/scenarios.md", "docs/images/overview.png"} <= set(targets)
    assert [target for target in targets if not ((ROOT / page).parent / target).exists()] == []


def test_every_command_that_they_name_exists():
    named = {name for page in PAGES.values() for name in re.findall(r"\bneomflex ([a-z]+)\b", page)}
    assert {"train", "evaluate", "validate"} <= named <= set(COMMANDS)


def test_every_page_is_in_the_navigation_of_the_site():
    listed = set(re.findall(r": ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")} <= listed


def test_every_option_that_their_commands_name_exists():
    wrong = []
    for page, text in PAGES.items():
        for command, rest in re.findall(r"\bneomflex ([a-z]+)\b((?:[^`#;\n]|\\\n)*)", text):
            parts = [parts_of(COMMANDS[command]).get(word) for word in rest.split()[:1]]
            parts += [Swept] if command == "sweep" else []
            allowed = options_of(COMMANDS[command]).union(*(options_of(part) for part in parts if part), {"--help"})
            named = re.findall(r"(?<![\w-])(--[a-z][a-z-]*(?:\.[a-z][a-z-]*)?)", rest)
            wrong += [f"{page}: neomflex {command} {option}" for option in named if option not in allowed]
    assert wrong == []


def test_the_picture_is_small():
    assert (ROOT / "docs/images/overview.png").stat().st_size < 300_000


@pytest.mark.parametrize("target", ["demo", "test", "docs"])
def test_the_make_targets_exist(target):
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
