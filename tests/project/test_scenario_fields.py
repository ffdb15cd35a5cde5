"""Every field of a scenario says what it is, in which unit and what it may be, and that is what the dataclass takes."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scenario_reference import TABLES, docstrings_of, page, rows_of, table, type_name

from neomflex_jax.errors import InputError
from neomflex_jax.fields import GATHERED
from neomflex_jax.scenario import load_scenario

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/scenarios.md").read_text(encoding="utf-8")
NEEDED: dict[str, Any] = {
    "bus": 1,
    "from_bus": 1,
    "to_bus": 2,
    "capacity_mwh": 1.0,
    "power_mw": 1.0,
    "p_max_mw": 1.0,
    "s_mva": 1.0,
    "step_mvar": 1.0,
    "curtail_share": 0.5,
    "sessions": ((1.0, 2.0, 1.0, 1.0),),
    "agent": "a",
    "buses": (1,),
    "name": "a",
}
RANGE = re.compile(r"(?:(?P<above>above )?(?P<least>\d+)|\w+) \.\. (?:(?P<below>below )?(?P<most>\d+)|\w+)")


def instance_of(kind: type) -> Any:
    names = {field.name for field in dataclasses.fields(kind)}
    if kind is type(neom33 := load_scenario("neom33")):
        return neom33
    needed = {name: value for name, value in NEEDED.items() if name in names}
    return kind(**(needed | ({"s_mva": None} if "capacity_mwh" in names else {})))


def beyond(allowed: str) -> Iterator[Any]:
    """Values that a statement of what is allowed leaves out."""
    if allowed.startswith('"'):
        yield "no such choice"
    elif allowed.startswith("letters"):
        yield "a b"
    elif found := RANGE.fullmatch(allowed):
        if found["least"]:
            yield int(found["least"]) if found["above"] else int(found["least"]) - 1
        if found["most"]:
            yield int(found["most"]) if found["below"] else int(found["most"]) + 1
    elif found := re.fullmatch(r"(above|at least) (\d+)", allowed):
        yield int(found[2]) - (found[1] == "at least")


ROWS = [(title, kind, row) for title, kind in TABLES.items() for row in rows_of(kind)]
LIMITED = [(kind, row.name, value) for _, kind, row in ROWS for value in beyond(row.allowed)]
CHOICES = [(kind, row) for _, kind, row in ROWS if row.allowed.startswith('"')]


@pytest.mark.parametrize("kind", TABLES.values(), ids=lambda kind: kind.__name__)
def test_every_field_has_a_docstring(kind: type) -> None:
    said = docstrings_of(kind)
    assert [field.name for field in dataclasses.fields(kind) if not said.get(field.name)] == []


def test_every_number_has_a_unit() -> None:
    assert [row.name for *_, row in ROWS if "number" in row.kind and "bus" not in row.name and not row.unit] == []


def test_every_text_without_free_choice_says_its_choices() -> None:
    assert len(CHOICES) >= 18
    assert len(LIMITED) >= 85


@pytest.mark.parametrize(("kind", "name", "value"), LIMITED)
def test_what_is_not_allowed_is_refused(kind: type, name: str, value: Any) -> None:
    with pytest.raises(InputError):
        dataclasses.replace(instance_of(kind), **{name: value})


@pytest.mark.parametrize(("kind", "row"), CHOICES)
def test_every_choice_is_taken(kind: type, row: Any) -> None:
    further = {"control": {"vm_set_pu": 1.0, "dead_band_pu": 0.02}}.get(row.name, {})
    for choice in re.findall(r'"(\w*)"', row.allowed):
        dataclasses.replace(instance_of(kind), **{row.name: choice}, **(further if choice == "band" else {}))


def test_the_page_has_every_field_and_the_guide_names_it() -> None:
    written = page()
    for title, kind, row in ROWS:
        assert f"<code>{row.name}</code>" in written
        assert not title or f"`{title}`" in written
        own = {field.name: field for field in dataclasses.fields(kind)}.get(row.name)
        assert own is None or own.metadata != GATHERED
        assert re.search(rf"`[^`]*\b{row.name}\b[^`]*`", GUIDE), f"docs/scenarios.md does not name {title} {row.name}"


def test_cells_are_escaped() -> None:
    row = dataclasses.replace(ROWS[0][2], meaning="<b>&", default="<x>")
    assert ">&lt;b&gt;&amp;</td>" in table([row])
    assert "<code>&lt;x&gt;</code>" in table([row])


def test_types_are_said_in_words() -> None:
    assert type_name(float | None) == "number"
    assert type_name(tuple[int, ...]) == "list of whole numbers"
