"""Frozen dataclasses from plain values (a TOML or JSON tree), with errors that name file, line, field, value and type.

Fields may be dataclasses, ``str``, ``int``, ``float``, ``bool``, ``Literal``, ``X | Y``, tuples, and tables of named
values (``Mapping[str, X]``, which arrive as `FrozenDict`).
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from neomflex_jax.errors import MOST_SHOWN, InputError, shown, unknown_name
from neomflex_jax.loose_types import FieldValue

T = TypeVar("T")
KeyPath = tuple[str | int, ...]  # names of tables and fields, positions in lists
LARGEST = 1e30  # of a number: its products with others still fit into float32
LARGEST_INTEGER = 2**63 - 1
GATHERED = {"gathered": True}  # metadata of a field that holds what `gather` finds, and that no file names


class FieldError(InputError):
    """A dataclass refuses one of its fields, or something deeper: ``FieldError(message, "batteries", 2, "bus")``.

    Raised in ``__post_init__``; `build` then knows the line. The path adds nothing to the message.
    """

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = path


class FrozenDict(dict[str, FieldValue]):
    """A dict that hashes by its contents, as fields of a frozen dataclass should; do not change one."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))


def build(
    kind: type[T], values: Mapping[str, FieldValue], where: str, *, lines: Callable[[KeyPath], int | None] | None = None
) -> T:
    """Build the dataclass `kind` from nested plain values.

    Parameters
    ----------
    kind, values
        The dataclass, and its fields by name.
    where
        What errors begin with: a file's name.
    lines
        Line of a field by its path, for files that have lines; see `toml_lines.TomlLines`.

    Raises
    ------
    InputError
        On an unknown or missing field, a value of another type, or one that the dataclass refuses.
    """
    return _build(kind, values, _Place(where, (), lines))


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a value stands."""

    where: str
    path: KeyPath = ()
    lines: Callable[[KeyPath], int | None] | None = None

    def __truediv__(self, key: str | int) -> _Place:
        return dataclasses.replace(self, path=(*self.path, key))

    def refuse(self, message: str, joint: str = " ", deeper: KeyPath = ()) -> NoReturn:
        """Raise with file, line and path before the message; the line is that of `deeper` if it has one."""
        line = None
        for end in range(len(deeper), -1, -1) if self.lines is not None else ():
            line = line or self.lines((*self.path, *deeper[:end]))  # type: ignore[misc]
        parts = [f"[{key}]" if isinstance(key, int) else f".{key[:MOST_SHOWN]}" for key in self.path]
        path = "".join(parts).lstrip(".")
        before = [self.where] * bool(self.where) + ([f"line {line}"] if line is not None else [])
        raise InputError(": ".join([*before, f"{path}{joint}{message}" if path else message])) from None


def _build(kind: type[T], values: FieldValue, place: _Place) -> T:
    if not isinstance(values, Mapping):
        place.refuse(f"must be a table of fields, not {shown(values)}")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = _hints(kind)
    values = _gathered(kind, None, values, place)
    for name in values:
        if name not in fields:
            known = [field.name for field in fields.values() if field.metadata != GATHERED]
            place.refuse(str(unknown_name("field", name, known, listed_by=_fields_in(kind))), ": ", (name,))
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            place.refuse(f"field {name!r} is missing", ": ")
    converted = {name: _convert(hints[name], value, place / name) for name, value in values.items()}
    try:
        return kind(**converted)
    except FieldError as error:
        place.refuse(str(error), ": ", error.path)
    except InputError as error:
        place.refuse(str(error), ": ", _first_named(str(error), converted))


def _gathered(
    kind: type[T], instance: T | None, values: Mapping[str, FieldValue], place: _Place
) -> Mapping[str, FieldValue]:
    """Values by field of a dataclass that takes more tables than it has fields; see `Scenario.gather`."""
    gather = getattr(kind, "gather", None)
    if gather is None:
        return values

    def rows_of(row: type, name: str) -> tuple[FieldValue, ...]:
        return _convert_list((row, ...), values[name], place / name)

    try:
        gathered: Mapping[str, FieldValue] = gather(values, rows_of, instance)
    except FieldError as error:
        place.refuse(str(error), ": ", error.path)
    return gathered


def _first_named(message: str, given: Mapping[str, FieldValue]) -> KeyPath:
    """Find the given field whose value the message states first, as ``name = ...``."""
    stated = [name for name in re.findall(r"\b(\w+) = ", message) if name in given]
    return tuple(stated[:1])


_hints: Callable[[type], dict[str, Any]] = cache(get_type_hints)  # kinds of fields: classes and forms of typing's


def _convert(kind: Any, value: FieldValue, place: _Place) -> FieldValue:
    origin = get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return value if isinstance(value, kind) else _build(kind, value, place)  # type: ignore[arg-type]
    if origin is tuple:
        return _convert_list(get_args(kind), value, place)
    if origin in (types.UnionType, Union):
        return _convert_choice(get_args(kind), value, place)
    if origin is Literal:
        if (type(value), value) not in [(type(choice), choice) for choice in get_args(kind)]:
            place.refuse(f"= {shown(value)} is not one of {', '.join(map(repr, get_args(kind)))}")
        return value
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            place.refuse(f"must be a table of named values, not {shown(value)}")
        return FrozenDict(
            {str(name): _convert(get_args(kind)[1], entry, place / name) for name, entry in value.items()}
        )
    if kind is Any:
        return _frozen(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and is_number:
        return _number(value, place)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        place.refuse(f"= {shown(value)} must be of type {_type_name(kind)}")
    if kind is int and abs(value) > LARGEST_INTEGER:
        place.refuse(f"= {shown(value)} is too large; at most {LARGEST_INTEGER}")
    return value


def _number(value: int | float, place: _Place) -> float:
    if isinstance(value, float) and not math.isfinite(value):
        place.refuse(f"is {'NaN' if math.isnan(value) else 'infinite'}; give a number")
    if abs(value) > LARGEST:
        place.refuse(f"= {shown(value)} is too large; at most {LARGEST:g}")
    return float(value)


def _convert_list(items: tuple[Any, ...], value: FieldValue, place: _Place) -> tuple[FieldValue, ...]:
    if not isinstance(value, list | tuple):
        place.refuse(f"= {shown(value)} must be a list")
    if len(items) == 2 and items[1] is Ellipsis:
        items = (items[0],) * len(value)
    if len(value) != len(items):
        place.refuse(f"= {shown(value)} must be a list of {len(items)}")
    return tuple(
        _convert(kind, entry, place / index) for index, (kind, entry) in enumerate(zip(items, value, strict=True))
    )


def _convert_choice(kinds: tuple[Any, ...], value: FieldValue, place: _Place) -> FieldValue:
    """Convert to the first of several kinds that takes the value."""
    if value is None and type(None) in kinds:
        return None
    others = [kind for kind in kinds if kind is not type(None)]
    for kind in others:
        try:
            return _convert(kind, value, place)
        except InputError:
            if kind is others[-1] and (len(others) == 1 or isinstance(value, list | tuple | Mapping)):
                raise  # it says what is wrong inside
    place.refuse(f"= {shown(value)} must be of type {' or '.join(map(_type_name, others))}")


def _frozen(value: FieldValue) -> FieldValue:
    """Make a free value hashable: lists become tuples, tables `FrozenDict`."""
    if isinstance(value, Mapping):
        return FrozenDict({str(name): _frozen(entry) for name, entry in value.items()})
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def _type_name(kind: Any) -> str:
    return "list" if get_origin(kind) is tuple else getattr(kind, "__name__", str(kind))


def _fields_in(kind: type) -> str:
    """Return the page on which a dataclass of many fields says that they are listed, "" if it says none."""
    return str(getattr(kind, "fields_in", ""))


def with_overrides(instance: T, overrides: Mapping[str, FieldValue]) -> T:
    """Replace fields by name, in the dataclass itself or in a dataclass it holds (one level down).

    Raises
    ------
    InputError
        On a field that is in neither.
    """
    overrides = _gathered(type(instance), instance, overrides, _Place(""))
    own = {field.name for field in dataclasses.fields(instance)}  # type: ignore[arg-type]
    parts = {name: getattr(instance, name) for name in own if dataclasses.is_dataclass(getattr(instance, name))}
    holders = {field.name: name for name, part in parts.items() for field in dataclasses.fields(part)}
    for name in overrides:
        if name not in own and name not in holders:
            hidden = {field.name for field in dataclasses.fields(instance) if field.metadata == GATHERED}  # type: ignore[arg-type]
            known = own - hidden | set(holders)
            raise unknown_name("field", name, known, listed_by=_fields_in(type(instance)))
    hints = _hints(type(instance))
    top = _Place("")
    changes = {name: _convert(hints[name], value, top / name) for name, value in overrides.items() if name in own}
    for holder in {holders[name] for name in overrides if name not in own}:  # all of a part's fields at once
        part = changes.get(holder, parts[holder])
        inner = _hints(type(part))
        given = {name: value for name, value in overrides.items() if name not in own and holders[name] == holder}
        converted = {name: _convert(inner[name], value, top / name) for name, value in given.items()}
        changes[holder] = dataclasses.replace(part, **converted)
    return dataclasses.replace(instance, **changes) if changes else instance  # type: ignore[type-var]


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise `InputError` unless the value is one of the allowed."""
    if value not in allowed:
        raise InputError(f"{name} = {shown(value)} is not one of {', '.join(repr(choice) for choice in allowed)}")
