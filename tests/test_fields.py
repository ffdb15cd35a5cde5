"""Dataclasses from plain values: what converts, what does not, and that every error says where."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import pytest

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.fields import build, check_choice, with_overrides


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
        ({"name": "a", "sise": 2}, "unknown field in file 'sise'; known: items, limit,"),
        ({"name": 1}, "file: name = 1 must be of type str"),
        ({"name": "a", "size": 1.0}, "file: size = 1.0 must be of type int"),
        ({"name": "a", "size": True}, "file: size = True must be of type int"),
        ({"name": "a", "ratio": True}, "file: ratio = True must be of type float"),
        ({"name": "a", "ratio": "0.5"}, "file: ratio = '0.5' must be of type float"),
        ({"name": "a", "ratio": math.nan}, "file: ratio is NaN"),
        ({"name": "a", "ratio": math.inf}, "ratio"),
        ({"name": "a", "limit": "none"}, "file: limit = 'none' must be of type float"),
        ({"name": "a", "part": 3}, "file: part must be a table of fields, not 3"),
        ({"name": "a", "part": {"on": 1}}, "file: part: on = 1 must be of type bool"),
        ({"name": "a", "part": {"low": 2.0}}, "file: part: low = 2.0 is above high = 1.0"),
        ({"name": "a", "items": {"bus": 1}}, "file: items = {'bus': 1} must be a list"),
        ({"name": "a", "items": [{"bus": 1}, {"bus": "x"}]}, "file: items[1]: bus = 'x' must be of type int"),
        ({"name": "a", "numbers": [1, 2.5]}, "file: numbers[1] = 2.5 must be of type int"),
        (["name"], "file must be a table of fields, not ['name']"),
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
        ({"items": [Item(1), {"bus": "x"}]}, "items[1]: bus = 'x'"),
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
