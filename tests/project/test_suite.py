"""The suite itself: its fast part passes on a machine that is busy with something else."""

import ast
from collections.abc import Iterator
from pathlib import Path

from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parents[1]


def uses_of_the_clock(source: str) -> Iterator[int]:
    """Lines outside tests marked slow that use the module `time`, but for the work that a process has done itself."""
    tree = ast.parse(source)
    slow = [node for node in tree.body if "pytest.mark.slow" in map(ast.unparse, getattr(node, "decorator_list", ()))]
    for top in tree.body:
        for node in ast.walk(top) if top not in slow else ():
            imported = isinstance(node, ast.ImportFrom) and node.module == "time"
            used = isinstance(node, ast.Attribute) and ast.unparse(node.value) == "time" and node.attr != "process_time"
            if imported or used:
                yield node.lineno


def test_nothing_in_the_fast_suite_sleeps_or_reads_a_clock() -> None:
    found = {path.name: list(uses_of_the_clock(path.read_text(encoding="utf-8"))) for path in TESTS.rglob("test_*.py")}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_uses_of_the_clock_are_seen() -> None:
    slow = "@pytest.mark.slow\ndef test_it():\n    time.sleep(1)\n"
    assert list(uses_of_the_clock(f"import time\n{slow}")) == []
    assert list(uses_of_the_clock(slow.replace("@pytest.mark.slow", "@pytest.fixture"))) == [3]
    assert list(uses_of_the_clock("from time import sleep\n")) == [1]


def test_hypothesis_sets_no_deadline_and_draws_the_same_examples_everywhere() -> None:
    assert settings.default.deadline is None
    assert settings.default.derandomize
    assert HealthCheck.too_slow in settings.default.suppress_health_check
