"""Frozen dataclasses from plain values (a TOML or JSON tree), with errors that name file, field, value and type."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from neomflex_jax.errors import InputError, unknown_name

T = TypeVar("T")


def build(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build the dataclass `kind` from nested plain values.

    Raises
    ------
    InputError
        On an unknown or missing field, a value of another type, or one that the dataclass refuses.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{where} must be a table of fields, not {values!r}")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    for name in values:
        if name not in fields:
            raise unknown_name(f"field in {where}", name, fields)
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise InputError(f"{where}: field {name!r} is missing")
    converted = {name: _convert(hints[name], value, f"{where}: {name}") for name, value in values.items()}
    try:
        return kind(**converted)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _convert(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if isinstance(value, kind):  # type: ignore[arg-type]
            return value
        return build(kind, value, where)  # type: ignore[arg-type]
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"{where} = {value!r} must be a list")
        item = get_args(kind)[0]
        return tuple(_convert(item, entry, f"{where}[{index}]") for index, entry in enumerate(value))
    if get_origin(kind) is types.UnionType:
        return None if value is None else _convert(get_args(kind)[0], value, where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise InputError(f"{where} = {value!r} must be of type {kind.__name__}")
    if kind is float and not math.isfinite(value):
        raise InputError(f"{where} is {'NaN' if math.isnan(value) else 'infinite'}; give a number")
    return value


def with_overrides(instance: T, overrides: Mapping[str, Any]) -> T:
    """Replace fields by name, in the dataclass itself or in a dataclass it holds (one level down).

    Raises
    ------
    InputError
        On a field that is in neither.
    """
    own = {field.name for field in dataclasses.fields(instance)}  # type: ignore[arg-type]
    parts = {name: getattr(instance, name) for name in own if dataclasses.is_dataclass(getattr(instance, name))}
    holders = {field.name: name for name, part in parts.items() for field in dataclasses.fields(part)}
    for name in overrides:
        if name not in own and name not in holders:
            raise unknown_name("field", name, own | set(holders))
    hints = get_type_hints(type(instance))
    changes = {name: _convert(hints[name], value, name) for name, value in overrides.items() if name in own}
    for holder in {holders[name] for name in overrides if name not in own}:  # all of a part's fields at once
        part = changes.get(holder, parts[holder])
        inner = get_type_hints(type(part))
        given = {name: value for name, value in overrides.items() if name not in own and holders[name] == holder}
        changes[holder] = dataclasses.replace(
            part, **{name: _convert(inner[name], value, name) for name, value in given.items()}
        )
    return dataclasses.replace(instance, **changes) if changes else instance  # type: ignore[type-var]


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise `InputError` unless the value is one of the allowed."""
    if value not in allowed:
        raise InputError(f"{name} = {value!r} is not one of {', '.join(repr(choice) for choice in allowed)}")
