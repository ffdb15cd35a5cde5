"""Which column each of a feeder's elements follows: its own, or what falls to all of its like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Protocol, TypeVar

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.grid.elements import NOUNS, Element
from neomflex_jax.loose_types import BusLabel
from neomflex_jax.profiles.config import SESSION_TABLES, SOLAR_TABLES, TABLES, UNITS, SeriesConfig
from neomflex_jax.profiles.sessions import SessionDevice

DEMAND, SOLAR, STEADY = "Demand", "Solar", ""  # what elements without a column follow


@dataclass(frozen=True)
class Assigned:
    """An element with its columns."""

    element: Element
    p_column: str
    q_column: str | None = None  # None: its power factor stays
    is_mapped: bool = False  # False: p follows `DEMAND`, `SOLAR` or `STEADY`, per unit of the nominal power


class Named(Protocol):
    """What a key of ``[profiles]`` can match."""

    @property
    def index(self) -> int:
        """Its row."""
        ...

    @property
    def name(self) -> str:
        """Its name, empty if it has none."""
        ...

    @property
    def bus(self) -> BusLabel:
        """Label of its bus."""
        ...

    @property
    def title(self) -> str:
        """What a message calls it."""
        ...


NamedT = TypeVar("NamedT", bound=Named)


@dataclass(frozen=True)
class SolarDevice:
    """A device whose power follows the sun, with the column of its own sun."""

    table: str  # one of `SOLAR_TABLES`
    index: int  # its row in the table
    name: str  # its label
    bus: BusLabel
    rating_mw: float  # its power at a value of 1
    column: str | None = None  # None: Solar

    @property
    def title(self) -> str:
        """What a message calls it."""
        return f"{SOLAR_TABLES[self.table]} {self.name!r}"

    def per_rating(self, config: SeriesConfig) -> float:
        """Return the share of the rating that a value of 1 in its column is."""
        in_mw = UNITS[config.unit]
        return 1.0 if in_mw is None else in_mw / self.rating_mw


def assign_solar(config: SeriesConfig, devices: Sequence[SolarDevice]) -> tuple[SolarDevice, ...]:
    """Assign every device the column of its own sun, if it has one; errors as in `assign`."""
    columns: dict[SolarDevice, str] = {}
    for table, noun in SOLAR_TABLES.items():
        own = [device for device in devices if device.table == table]
        columns |= _columns(table, getattr(config, table), own, f"the scenario has no {noun}")
    return tuple(replace(device, column=columns.get(device)) for device in devices)


def assign_sessions(config: SeriesConfig, table: str, devices: Sequence[SessionDevice]) -> tuple[SessionDevice, ...]:
    """Assign every device of a table the charger of the file whose sessions it has: the one mapped, or of its name.

    Raises
    ------
    InputError
        As `assign`, or if a device with sessions of its own is mapped.
    """
    chargers = _columns(table, getattr(config, table), devices, f"the scenario has no {SESSION_TABLES[table]}")
    for device in devices:
        if device.every_day and device in chargers:
            raise InputError(f"[profiles] {table}: {device.title} has sessions of its own; leave them or the line out")
    return tuple(
        device if device.every_day else replace(device, charger=chargers.get(device, device.name)) for device in devices
    )


def assign(config: SeriesConfig, elements: Sequence[Element]) -> tuple[Assigned, ...]:
    """Assign every element its columns.

    A load without one follows Demand, a static generator of sun, or of a type that states no source, follows Solar;
    other generators and storages stay at their nominal power.

    Raises
    ------
    InputError
        On a key that matches no element, a name that several have, or two keys of one rank for one element.
    """
    p_of: dict[Element, str] = {}
    q_of: dict[Element, str] = {}
    for field, table in TABLES.items():
        own = [element for element in elements if element.table == table]
        p_of |= _columns(field, getattr(config, field), own, f"the feeder has no {NOUNS[table]}")
        q_of |= _columns(f"{field}_q", getattr(config, f"{field}_q"), own, f"the feeder has no {NOUNS[table]}")
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


def _columns(field: str, columns: Mapping[str, str], own: Sequence[NamedT], none: str) -> dict[NamedT, str]:
    """Return the column of each that a key matches; an index, a name or a bus goes before a pattern."""
    exact: dict[NamedT, str] = {}
    by_pattern: dict[NamedT, str] = {}
    for key, column in columns.items():
        is_pattern = "*" in key or "?" in key
        found = _by_pattern(key, own) if is_pattern else _exactly(field, key, own)
        if not found:
            if not own:
                raise InputError(f"[profiles] {field}: {key!r} matches nothing: {none}")
            known = [name for each in own for name in (each.name, f"bus {each.bus}", str(each.index))]
            names, where = {name for name in known if name}, "names, buses and rows of the feeder"
            raise InputError(f"[profiles] {unknown_name(f'element of {field}', key, names, listed_by=where)}")
        kept = by_pattern if is_pattern else exact
        for each in found:
            if each in kept:
                raise InputError(f"[profiles] {field}: two lines mean {each.title}, one of them {key!r}; keep one")
            kept[each] = _filled(column, each)
    return by_pattern | exact


def _exactly(field: str, key: str, own: Sequence[NamedT]) -> list[NamedT]:
    named = [each for each in own if each.name == key]
    if len(named) > 1:
        rows = ", ".join(str(each.index) for each in named[:4])
        raise InputError(f"[profiles] {field}: {len(named)} are called {key!r} (rows {rows}); say which by its row")
    at_bus = [each for each in own if key == f"bus {each.bus}"]
    return named or [each for each in own if key == str(each.index)] or at_bus


def _by_pattern(key: str, own: Sequence[NamedT]) -> list[NamedT]:
    return [each for each in own if fnmatchcase(each.name or str(each.index), key)]


def _filled(column: str, each: Named) -> str:
    for word, value in {"name": each.name, "index": each.index, "bus": each.bus}.items():
        column = column.replace(f"{{{word}}}", str(value))
    return column
