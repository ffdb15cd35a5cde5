"""Whatever a message, a remark or a help text tells the user to call, run or set is there."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import tomllib
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pandapower
import pandapower.networks
import pandapower.topology
import pytest
from command_options import options_of, parts_of

import neomflex_jax as nf
import validation
from neomflex_jax.agents.gradient import GradientConfig
from neomflex_jax.agents.sac import SacConfig
from neomflex_jax.cli import COMMANDS
from neomflex_jax.devices import Device
from neomflex_jax.grid.columns import FeederColumns
from neomflex_jax.grid.from_pandapower.json_file import OTHER_READERS
from neomflex_jax.powerflow import METHODS
from neomflex_jax.scenario import Scenario

ROOT = Path(nf.__file__).parents[1]
SOURCES = [path for room in ("neomflex_jax", "validation") for path in sorted((ROOT / room).rglob("*.py"))]
FOREIGN_OPTIONS = {"--porcelain", "--untracked-files", "--logdir", "--force-reinstall", "--help"}
MODULES = {"neomflex_jax": nf, "nf": nf, "pandapower": pandapower}


@cache
def trees() -> list[ast.Module]:
    """Syntax trees of all modules."""
    return [ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES]


@cache
def texts() -> dict[str, bool]:
    """Every text in the modules, an f-string as one with ``{}`` for what it puts in; True: only docstrings have it."""
    found: dict[str, bool] = {}
    for tree in trees():
        nodes = list(ast.walk(tree))
        docstrings = {
            id(node.body[0].value)
            for node in nodes
            if isinstance(node, ast.FunctionDef | ast.Module) and is_documented(node)
        }
        strings = [node for node in nodes if isinstance(node, ast.JoinedStr)]
        within = {id(part) for string in strings for part in ast.walk(string) if part is not string}
        for node in nodes:
            if isinstance(node, ast.JoinedStr):
                found["".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)] = False
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in within:
                found[node.value] = found.get(node.value, True) and id(node) in docstrings
    return found


def messages() -> Iterator[str]:
    """Texts that modules raise, warn of or print."""
    for node in (node for tree in trees() for node in ast.walk(tree)):
        called = node.func if isinstance(node, ast.Call) else None
        name = getattr(called, "attr", getattr(called, "id", ""))
        if name in ("InputError", "FieldError", "warn", "print", "refuse", "refuse_values"):
            parts = (part for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str))
            yield "".join(str(part.value) for part in parts)


def is_documented(node: Any) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def named(pattern: str, *, docstrings: bool = False) -> list[tuple[str, ...]]:
    """Everything that a pattern finds in the texts of all modules, each once."""
    found = {
        groups if isinstance(groups, tuple) else (groups,)
        for text, is_docstring in texts().items()
        if docstrings or not is_docstring
        for groups in re.findall(pattern, text)
    }
    assert found, pattern
    return sorted(found)


def resolves(dotted: str) -> bool:
    """Whether a dotted name leads somewhere: attributes, or modules that are not imported yet."""
    first, *rest = dotted.split(".")
    place: Any = MODULES[first]
    for depth, name in enumerate(rest, start=1):
        if not hasattr(place, name):
            module = (
                ".".join([place.__name__ if depth == 1 else first, *rest[:depth]]) if inspect.ismodule(place) else ""
            )
            try:
                place = importlib.import_module(module)
            except (ImportError, ValueError):
                return False
        else:
            place = getattr(place, name)
    return True


@pytest.mark.parametrize(
    "dotted",
    [dotted for (dotted,) in named(r"(?<![\w./-])((?:pandapower|nf|neomflex_jax)(?:\.[A-Za-z]\w*)+)", docstrings=True)],
)
def test_functions_that_texts_name_are_there(dotted: str) -> None:
    assert resolves(dotted), dotted


def test_readers_that_a_message_puts_in_are_there() -> None:
    assert all(hasattr(pandapower, name) for name in OTHER_READERS.values())


OF_SWEEP = {option for config in (SacConfig, GradientConfig) for option in options_of(config)}  # each with many values
ALL_OPTIONS = OF_SWEEP.union(*(options_of(command) for command in COMMANDS.values()))


@pytest.mark.parametrize("option", [option for (option,) in named(r"(?<![\w-])(--[a-z][a-z-]*(?:\.[a-z][a-z-]*)?)")])
def test_options_that_texts_name_are_there(option: str) -> None:
    assert option in ALL_OPTIONS | FOREIGN_OPTIONS


COMMAND_LINE = r"(?<![\w-])neomflex ([a-z]+)([^`;)\n]*)"


@pytest.mark.parametrize(("command", "rest"), named(COMMAND_LINE, docstrings=True))
def test_commands_that_texts_name_are_there_and_take_these_options(command: str, rest: str) -> None:
    assert command in COMMANDS
    parts, words = parts_of(COMMANDS[command]), rest.split()
    if parts and words and re.fullmatch("[a-z]+", words[0]):
        assert words[0] in parts
    options = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]*)", rest))
    assert options <= options_of(COMMANDS[command]) | {"--help"}


@pytest.mark.parametrize("extra", [extra for (extra,) in named(r"(?:neomflex-jax|'\.|\"\.)\[(\w+)\]", docstrings=True)])
def test_extras_that_texts_name_are_there(extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert extra in project["optional-dependencies"]


@pytest.mark.parametrize("table", [table for (table,) in named(r"\[\[([a-z_]+)\]\]")])
def test_tables_of_a_scenario_that_texts_name_are_there(table: str) -> None:
    assert table in {field.name for field in dataclasses.fields(Scenario)}


@pytest.mark.parametrize("table", [table for (table,) in named(r"(?<![\w.])net\.([a-z_0-9]+)(?![\w.]*\()")])
def test_tables_of_a_net_that_texts_name_are_there(table: str) -> None:
    assert table in pandapower.create_empty_network() or table in ("json", "p", "x")


def known_names() -> set[str]:
    """Fields of scenarios and their parts, arguments of public functions, methods, names that `nf` has."""
    kinds, names = [Scenario], set(METHODS) | set(dir(nf)) | {each.name for each in dataclasses.fields(FeederColumns)}
    for public in (validation.validate, nf.bind):
        names |= set(inspect.signature(public).parameters)
    names |= set(vars(Device))
    while kinds:
        kind = kinds.pop()
        for name, hint in typing.get_type_hints(kind).items():
            names.add(name)
            kinds += [
                one for one in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(one) and one not in kinds
            ]
    return names | {option[2:] for option in ALL_OPTIONS}


def test_names_in_backticks_are_known() -> None:
    said = {name for text in messages() for name in re.findall(r"`([a-z_]+)`", text)}
    assert "calibrated" in said
    assert said <= known_names() | {"runpp", "redirect"}  # a function of pandapower, a command of OpenDSS
