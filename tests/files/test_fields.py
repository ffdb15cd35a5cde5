"""Dataclasses from plain values: what converts, what does not, and that every error says where."""

import dataclasses
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.fields import FieldError, FrozenDict, build, check_choice, with_overrides
from neomflex_jax.files.toml_lines import TomlLines


@dataclass(frozen=True)
class Part:
    """A part that refuses some values."""

    low: float = 0.0
    high: float = 1.0
    on: bool = False

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise InputError(f"low = {self.low} is above high = {self.high}")


@dataclass(frozen=True)
class Item:
    """An entry of a list."""

    bus: int


@dataclass(frozen=True)
class Whole:
    """One field of each kind."""

    name: str
    size: int = 1
    ratio: float = 0.5
    limit: float | None = None
    part: Part = Part()
    items: tuple[Item, ...] = ()
    numbers: tuple[int, ...] = ()


def test_nested_values_become_nested_dataclasses() -> None:
    values = {"name": "a", "ratio": 2, "limit": 3, "part": {"high": 4}, "items": [{"bus": 5}], "numbers": [6, 7]}
    whole = build(Whole, values, "file")
    assert whole == Whole("a", 1, 2.0, 3.0, Part(high=4.0), (Item(5),), (6, 7))
    assert isinstance(whole.ratio, float)
    assert isinstance(whole.part.high, float)


def test_a_built_dataclass_survives_the_round_trip() -> None:
    whole = Whole("a", items=(Item(1), Item(2)), limit=None, part=Part(low=-1.0))
    assert build(Whole, dataclasses.asdict(whole), "file") == whole


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "file: field 'name' is missing"),
        ({"name": "a", "sise": 2}, "file: unknown field 'sise'; known: items, limit,"),
        ({"name": 1}, "file: name = 1 must be of type str"),
        ({"name": "a", "size": 1.0}, "file: size = 1.0 must be of type int"),
        ({"name": "a", "size": True}, "file: size = True must be of type int"),
        ({"name": "a", "ratio": True}, "file: ratio = True must be of type float"),
        ({"name": "a", "ratio": "0.5"}, "file: ratio = '0.5' must be of type float"),
        ({"name": "a", "ratio": math.nan}, "file: ratio is NaN"),
        ({"name": "a", "ratio": math.inf}, "ratio"),
        ({"name": "a", "limit": "none"}, "file: limit = 'none' must be of type float"),
        ({"name": "a", "part": 3}, "file: part must be a table of fields, not 3"),
        ({"name": "a", "part": {"on": 1}}, "file: part.on = 1 must be of type bool"),
        ({"name": "a", "part": {"low": 2.0}}, "file: part: low = 2.0 is above high = 1.0"),
        ({"name": "a", "items": {"bus": 1}}, "file: items = {'bus': 1} must be a list"),
        ({"name": "a", "items": [{"bus": 1}, {"bus": "x"}]}, "file: items[1].bus = 'x' must be of type int"),
        ({"name": "a", "numbers": [1, 2.5]}, "file: numbers[1] = 2.5 must be of type int"),
        (["name"], "file: must be a table of fields, not ['name']"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_place(values: Any, says: str) -> None:
    with pytest.raises(InputError) as caught:
        build(Whole, values, "file")
    assert says in str(caught.value)


def test_overrides_reach_the_dataclass_and_its_parts() -> None:
    changed = with_overrides(Whole("a"), {"size": 3, "high": 2, "on": True, "numbers": [4]})
    assert changed == Whole("a", size=3, part=Part(high=2.0, on=True), numbers=(4,))
    assert with_overrides(Whole("a"), {}) == Whole("a")


@pytest.mark.parametrize("overrides", [{"low": 5.0, "high": 6.0}, {"high": 6.0, "low": 5.0}])
def test_the_order_of_overrides_does_not_matter(overrides: dict[str, float]) -> None:
    assert with_overrides(Whole("a"), overrides).part == Part(5.0, 6.0)


def test_a_whole_part_and_one_of_its_fields_combine_in_either_order() -> None:
    given = {"part": Part(low=-3.0), "high": 2.0}
    expected = Part(low=-3.0, high=2.0)
    assert with_overrides(Whole("a"), given).part == expected
    assert with_overrides(Whole("a"), dict(reversed(given.items()))).part == expected


def test_ready_made_parts_and_items_are_taken_as_they_are() -> None:
    part, items = Part(low=-1.0), [Item(3)]
    assert with_overrides(Whole("a"), {"part": part, "items": items}) == Whole("a", part=part, items=(Item(3),))


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"sise": 2}, "unknown field 'sise'; known:"),
        ({"size": 2.5}, "size = 2.5 must be of type int"),
        ({"high": "much"}, "high = 'much' must be of type float"),
        ({"low": 2.0}, "low = 2.0 is above high = 1.0"),
        ({"items": 3}, "items = 3 must be a list"),
        ({"items": None}, "items = None must be a list"),
        ({"items": [Part()]}, "items[0]"),
        ({"items": [Item(1), {"bus": "x"}]}, "items[1].bus = 'x'"),
    ],
)
def test_an_override_that_does_not_fit_is_named(overrides: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        with_overrides(Whole("a"), overrides)
    assert says in str(caught.value)


def test_a_mixed_list_of_items_and_tables_is_taken() -> None:
    assert with_overrides(Whole("a"), {"items": [Item(1), {"bus": 2}]}).items == (Item(1), Item(2))


def test_a_choice_lists_what_is_allowed() -> None:
    check_choice("order", "file", ("random", "file"))
    with pytest.raises(InputError, match=r"order = 'fiel' is not one of 'random', 'file'"):
        check_choice("order", "fiel", ("random", "file"))


def test_an_unknown_name_suggests_the_nearest() -> None:
    assert str(unknown_name("fruit", "aple", ["pear", "apple"])).endswith("known: apple, pear. Did you mean 'apple'?")
    assert "Did you mean" not in str(unknown_name("fruit", "xyz", ["pear", "apple"]))


def test_of_many_names_that_are_listed_elsewhere_the_nearest_are_named() -> None:
    known = [f"{letter}-{number}" for letter in "abcdefgh" for number in range(100)]
    said = str(unknown_name("code", "c-477", known, listed_by="the book"))
    assert said.startswith("unknown code 'c-477'; known: c-77, c-47") and len(said) < 150
    assert said.endswith(", ... (800 in all, see the book). Did you mean 'c-77'?")
    far = str(unknown_name("code", "?", known, listed_by="the book"))
    assert far == "unknown code '?'; known: a-0, a-1, a-10, a-11, a-12, ... (800 in all, see the book)."
    assert "a-3," in str(unknown_name("code", "b-477", known[:200])), "without such a place all are named"
    assert str(unknown_name("code", "a", known[:12], listed_by="the book")).endswith(
        "known: a-0, a-1, a-10, a-11, a-2, a-3, a-4, a-5, a-6, a-7, a-8, a-9."
    )


# ---- further kinds of fields ----


@dataclass(frozen=True)
class Rich:
    """Fields of every kind that a scenario may come to use."""

    mode: Literal["slow", "fast", 3] = "slow"
    names: tuple[str, ...] = ()
    span: tuple[float, float] = (0.0, 1.0)
    level: int | str | None = None
    weights: tuple[float, ...] | float = 1.0
    parts: Mapping[str, Part] = FrozenDict()
    free: Mapping[str, Any] = FrozenDict()


RICH = {
    "mode": "fast",
    "names": ["a", "b"],
    "span": [1, 2],
    "level": "high",
    "weights": [1, 2.5],
    "parts": {"small": {"high": 0.5}, "on": {"on": True}},
    "free": {"power_flow": "ac", "buses": [1, [2]], "deep": {"x": 1}},
}


def test_tables_of_names_lists_choices_and_unions_become_hashable_values():
    rich = build(Rich, RICH, "file")
    assert rich.mode == "fast" and rich.names == ("a", "b") and rich.span == (1.0, 2.0) and rich.level == "high"
    assert rich.weights == (1.0, 2.5) and build(Rich, {"weights": 2}, "file").weights == 2.0
    assert rich.parts == {"small": Part(high=0.5), "on": Part(on=True)}
    assert rich.free == {"power_flow": "ac", "buses": (1, (2,)), "deep": {"x": 1}}
    assert build(Rich, {"level": None, "mode": 3}, "file").level is None
    assert hash(rich) == hash(build(Rich, dict(reversed(RICH.items())), "file"))
    assert rich != build(Rich, RICH | {"free": {}}, "file")


def test_tables_of_names_survive_json():
    rich = build(Rich, RICH, "file")
    assert build(Rich, json.loads(json.dumps(dataclasses.asdict(rich))), "file") == rich


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"mode": "fats"}, "file: mode = 'fats' is not one of 'slow', 'fast', 3"),
        ({"mode": 3.0}, "file: mode = 3.0 is not one of"),
        ({"names": ["a", 1]}, "file: names[1] = 1 must be of type str"),
        ({"span": [1.0]}, "file: span = [1.0] must be a list of 2"),
        ({"level": 1.5}, "file: level = 1.5 must be of type int or str"),
        ({"weights": "much"}, "file: weights = 'much' must be of type list or float"),
        ({"parts": [1]}, "file: parts must be a table of named values, not [1]"),
        ({"parts": {"small": {"hihg": 1}}}, "file: parts.small: unknown field 'hihg'"),
        ({"parts": {"small": {"low": 2.0}}}, "file: parts.small: low = 2.0 is above high = 1.0"),
    ],
)
def test_further_kinds_name_what_does_not_fit(values: Any, says: str) -> None:
    with pytest.raises(InputError) as caught:
        build(Rich, values, "file")
    assert says in str(caught.value)


# ---- lines ----


@dataclass(frozen=True)
class Shelf:
    """Refuses something deep inside."""

    name: str
    size: int = 1
    items: tuple[Item, ...] = ()
    part: Part = Part()
    parts: Mapping[str, Part] = FrozenDict()

    def __post_init__(self) -> None:
        for index, item in enumerate(self.items):
            if item.bus < 0:
                raise FieldError(f"bus {item.bus} is nowhere", "items", index, "bus")
        if self.size > 9:
            raise FieldError("too many", "size")
        if self.name == "all":
            raise FieldError("no part", "part", "low")


SHELF = """# a shelf
name = "a"   # line 2
size = 3
[[items]]
bus = 5
[[items]]
  # a remark
bus = 7
[part]
low = 0.5
high = 2
[parts.small]
high = 0.5
"""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("size = 3", "sise = 3", "file: line 3: unknown field 'sise'; known: items,"),
        ("size = 3", "size = 0.5", "file: line 3: size = 0.5 must be of type int"),
        ("size = 3", "size = 10", "file: line 3: too many"),
        ('name = "a"', "", "file: field 'name' is missing"),
        ("bus = 7", "", "file: line 6: items[1]: field 'bus' is missing"),
        ("bus = 7", 'bus = "x"', "file: line 8: items[1].bus = 'x' must be"),
        ("bus = 7", "bus = -7", "file: line 8: bus -7 is nowhere"),
        ("low = 0.5", "low = 3.0", "file: line 10: part: low = 3.0 is above high = 2.0"),
        ("low = 0.5\nhigh = 2", "high = -2", "file: line 10: part: low = 0.0 is above high = -2.0"),
        ("high = 0.5", "hihg = 0.5", "file: line 13: parts.small: unknown field 'hihg'"),
        ("[part]\nlow = 0.5\nhigh = 2", "[[part]]", "file: line 9: part must be a table of fields, not [{}]"),
        ('name = "a"', 'name = "all"', "file: line 10: no part"),
        ("low = 0.5", "bottom = 0", "file: line 10: part: unknown field 'bottom'"),
    ],
)
def test_errors_of_a_file_name_the_line(old: str, new: str, says: str) -> None:
    assert old in SHELF
    text = SHELF.replace(old, new, 1)
    with pytest.raises(InputError) as caught:
        build(Shelf, tomllib.loads(text), "file", lines=TomlLines(text))
    assert says in str(caught.value)
    with pytest.raises(InputError) as without:
        build(Shelf, tomllib.loads(text), "file")
    assert "line" not in str(without.value)


def test_a_refused_field_that_the_file_leaves_out_has_the_line_of_its_table() -> None:
    text = 'name = "all"\n\n[part]\nhigh = 2.0\n'
    with pytest.raises(InputError, match="file: line 3: no part"):
        build(Shelf, tomllib.loads(text), "file", lines=TomlLines(text))
    with pytest.raises(InputError, match="file: no part"):
        build(Shelf, {"name": "all"}, "file", lines=TomlLines('name = "all"'))
