"""Which column each of a feeder's elements follows: its own, or what falls to all of its like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.grid.elements import NOUNS, Element
from neomflex_jax.profiles.config import TABLES, SeriesConfig

DEMAND, SOLAR, STEADY = "Demand", "Solar", ""  # what elements without a column follow


@dataclass(frozen=True)
class Assigned:
    """An element with its columns."""

    element: Element
    p_column: str
    q_column: str | None = None  # None: its power factor stays
    is_mapped: bool = False  # False: p follows `DEMAND`, `SOLAR` or `STEADY`, per unit of the nominal power


def assign(config: SeriesConfig, elements: Sequence[Element]) -> tuple[Assigned, ...]:
    """Assign every element its columns.

    A load without one follows Demand, a static generator of sun, or of a type that states no source, follows Solar;
    other generators and storages stay at their nominal power.

    Raises
    ------
    InputError
        On a key that means no element, or several by one name, or two keys of one rank for one element.
    """
    p_of: dict[Element, str] = {}
    q_of: dict[Element, str] = {}
    for field, table in TABLES.items():
        own = [element for element in elements if element.table == table]
        p_of |= _columns(field, getattr(config, field), own)
        q_of |= _columns(f"{field}_q", getattr(config, f"{field}_q"), own)
    return tuple(
        Assigned(element, p_of[element], q_of.get(element), True)
        if element in p_of
        else Assigned(element, _fallback(element))
        for element in elements
    )


def _fallback(element: Element) -> str:
    if element.table == "load":
        return DEMAND
    return SOLAR if element.is_sunny else STEADY


def _columns(field: str, columns: Mapping[str, str], own: Sequence[Element]) -> dict[Element, str]:
    """Return the column of each element that a key means; an index, a name or a bus goes before a pattern."""
    exact: dict[Element, str] = {}
    by_pattern: dict[Element, str] = {}
    for key, column in columns.items():
        is_pattern = "*" in key or "?" in key
        found = _by_pattern(key, own) if is_pattern else _exactly(field, key, own)
        if not found:
            if not own:
                noun = NOUNS[TABLES[field.removesuffix("_q")]]
                raise InputError(f"[profiles] {field}: {key!r} means none, for the feeder has no {noun}")
            known = [name for element in own for name in (element.name, f"bus {element.bus}", str(element.index))]
            raise InputError(f"[profiles] {unknown_name(f'element of {field}', key, {name for name in known if name})}")
        kept = by_pattern if is_pattern else exact
        for element in found:
            if element in kept:
                raise InputError(f"[profiles] {field}: two lines mean {element.title}, one of them {key!r}; keep one")
            kept[element] = _filled(column, element)
    return by_pattern | exact


def _exactly(field: str, key: str, own: Sequence[Element]) -> list[Element]:
    named = [element for element in own if element.name == key]
    if len(named) > 1:
        rows = ", ".join(str(element.index) for element in named[:4])
        raise InputError(f"[profiles] {field}: {len(named)} are called {key!r} (rows {rows}); say which by its row")
    at_bus = [element for element in own if key == f"bus {element.bus}"]
    return named or [element for element in own if key == str(element.index)] or at_bus


def _by_pattern(key: str, own: Sequence[Element]) -> list[Element]:
    return [element for element in own if fnmatchcase(element.name or str(element.index), key)]


def _filled(column: str, element: Element) -> str:
    own = {"name": element.name, "index": element.index, "bus": element.bus}
    for word, value in own.items():
        column = column.replace(f"{{{word}}}", str(value))
    return column
