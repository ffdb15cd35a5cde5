"""The page of every field of a scenario, made of the dataclasses that read it and of what stands below each field.

A field's docstring says what it is, then ``Unit: MW.`` unless its name does, then ``Allowed: 0 .. 1.`` where a type
alone does not say it. Types and defaults are the dataclasses' own.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from typing import Any, get_args, get_origin, get_type_hints

from neomflex_jax.devices.registry import PACKAGED
from neomflex_jax.fields import GATHERED
from neomflex_jax.profiles.config import SeriesConfig
from neomflex_jax.scenario import Scenario
from neomflex_jax.scenario.loading import LoadingConfig
from neomflex_jax.scenario.observation import ObservationConfig
from neomflex_jax.scenario.parts import Limits, Rules, Territory, Variant
from neomflex_jax.scenario.profiles_table import FILES
from neomflex_jax.scenario.reward import RewardConfig
from neomflex_jax.scenario.uncertainty import Uncertainty

TABLES: dict[str, type] = {  # a file's tables in the order of docs/scenarios.md; "": what stands above all tables
    "": Scenario,
    "[profiles]": SeriesConfig,
    "[[territories]]": Territory,
    **{f"[[{kind.table}]]": kind for kind in PACKAGED},
    "[limits]": Limits,
    "[loading]": LoadingConfig,
    "[reward]": RewardConfig,
    "[observation]": ObservationConfig,
    "[uncertainty]": Uncertainty,
    "[rules]": Rules,
    "[[variants]]": Variant,
}
UNITS = {
    "mw": "MW",
    "mwh": "MWh",
    "mvar": "Mvar",
    "mva": "MVA",
    "pu": "pu",
    "percent": "%",
    "hours": "h",
    "bus": "bus number",
}
SAID = re.compile(r"\s*(?:Unit: (?P<unit>[^.]*)\.)?\s*(?:Allowed: (?P<allowed>.*)\.)?$", re.DOTALL)
NAMES = re.compile(r"(?<![\w])(\w+_\w+)")  # of fields, within a sentence
INTRODUCTION = """# Every field of a scenario

Made of the dataclasses that read scenario files, with their types, units and defaults. What the fields do together,
with examples: [scenarios.md](scenarios.md). A field that does not exist, a value of another type or out of its range is
refused with file, line, field, value and what is allowed. "none" is a field that is left out."""


@dataclass(frozen=True)
class Row:
    """One field."""

    name: str
    kind: str
    unit: str
    default: str
    allowed: str
    meaning: str


def page() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for title, kind in TABLES.items():
        heading = f"## `{title}`" if title else "## At the top of the file"
        summary = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        parts.append("\n\n".join([heading, summary if title else "", table(list(rows_of(kind)))]))
    return "\n\n".join(parts) + "\n"


def table(rows: list[Row]) -> str:
    """Return rows as a table in HTML, whose cells wrap and know their column where a screen is too narrow for it."""
    columns = [field.name for field in dataclasses.fields(Row)]
    head = "".join(f"<th>{'type' if name == 'kind' else name}</th>" for name in columns)
    body = "\n".join(f"<tr>{''.join(cell(name, getattr(row, name)) for name in columns)}</tr>" for row in rows)
    return f'<div class="fields"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'


def cell(column: str, text: str) -> str:
    """Return one cell; names and what stands in files are code."""
    is_code = column == "name" or (column == "default" and text not in ("required", "none"))
    inner = escape(text, quote=False)
    if is_code:
        inner = f"<code>{inner}</code>"
    elif '"' not in text:
        inner = NAMES.sub(r"<code>\1</code>", inner)
    return f'<td data-column="{column}">{inner}</td>'


def rows_of(kind: type) -> Iterator[Row]:
    """Return a row for each field that a file may state in the table of a dataclass."""
    hints, said = get_type_hints(kind), docstrings_of(kind)
    if kind is SeriesConfig:
        meanings = docstrings_of(Scenario)
        for name, field in FILES.items():
            yield Row(name, "text", "", default_of(Scenario, field), "", meanings[field])
    for field in dataclasses.fields(kind):
        if field.metadata == GATHERED or is_a_table(hints[field.name]):
            continue
        meaning = said[field.name]
        found = SAID.search(meaning)
        assert found is not None, "both parts are optional"
        yield Row(
            name=field.name,
            kind=type_name(hints[field.name]),
            unit=found["unit"] or unit_by_name(field.name, hints[field.name]),
            default=default_of(kind, field.name),
            allowed=found["allowed"] or "",
            meaning=meaning[: found.start()].strip(),
        )


@cache
def docstrings_of(kind: type) -> Mapping[str, str]:
    """Return what stands below each field of a class or of those that it is made of, in one line."""
    said: dict[str, str] = {}
    for part in reversed([part for part in kind.__mro__ if part.__module__.startswith("neomflex_jax")]):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(part))).body
        assert isinstance(tree, ast.ClassDef)
        for field, below in zip(tree.body, tree.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
                text = ast.literal_eval(below.value)
                said[field.target.id] = " ".join(text.split())
    return said


def is_a_table(hint: Any) -> bool:
    """Return whether a field holds what a file states in a table of its own."""
    inner = get_args(hint)[:1] if get_origin(hint) is tuple else (hint,)
    return any(dataclasses.is_dataclass(each) for each in inner)


def unit_by_name(name: str, hint: Any) -> str:
    """Return the unit that a number's name ends with, "" where it is none."""
    numeric = {int, float} & {hint, *get_args(hint)}
    return UNITS.get(name.rpartition("_")[2], "") if numeric else ""


def default_of(kind: type, name: str) -> str:
    """Return a field's default as a scenario file writes it."""
    field = {each.name: each for each in dataclasses.fields(kind)}[name]
    if field.default is dataclasses.MISSING:
        return "required"
    return "none" if field.default is None or field.default == {} else written(field.default)


def written(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return f"[{', '.join(map(written, value))}]" if isinstance(value, tuple) else f"{value}"


def type_name(hint: Any) -> str:
    """Return a type in words."""
    words = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        if isinstance(inner, types.UnionType):
            return f"list of {' or '.join(f'{words[each]}s' for each in get_args(inner))}"
        return "list of lists of numbers" if get_origin(inner) is tuple else f"list of {words[inner]}s"
    if isinstance(hint, types.UnionType):
        first, *others = (each for each in get_args(hint) if each is not type(None))
        return " or ".join(map(type_name, (first, *others))) if set(others) <= {str} else type_name(first)
    if get_origin(hint) is Mapping:
        return f"table of {type_name(get_args(hint)[1])}s by name"
    return words[hint]
