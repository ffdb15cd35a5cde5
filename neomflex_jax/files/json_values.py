"""JSON from files and from texts inside files: plain values, not too deep, every name once, integers of 64 bits."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from neomflex_jax.errors import InputError, shown
from neomflex_jax.files.text import MIB, read_text
from neomflex_jax.loose_types import JsonObject, JsonValue

MOST_LEVELS = 100  # lists and tables inside each other
TOO_DEEP = f"lists and tables inside each other, more than {MOST_LEVELS} deep"
LARGEST_INTEGER = 2**63 - 1
HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")  # how JSON writes what may be half of a character


def read_json(path: Path, what: str = "JSON file", most_bytes: int = 64 * MIB) -> JsonValue:
    """Read a JSON file.

    Raises
    ------
    InputError
        If there is none, or it is not what `parse_json` takes.
    """
    return parse_json(f"{path}", read_text(path, what, most_bytes))


def read_json_object(path: Path, what: str = "JSON file", most_bytes: int = 64 * MIB) -> JsonObject:
    """Read a JSON file that holds an object, ``{...}``; errors as in `read_json`."""
    values = read_json(path, what, most_bytes)
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds {shown(values)}, not a JSON object")
    return values


def parse_json(where: str, text: str, advice: str = "") -> JsonValue:
    """Parse JSON.

    Parameters
    ----------
    where
        What errors begin with.
    advice
        What they end with.

    Raises
    ------
    InputError
        If it is none, cut short, too deep, gives a name twice in one object, or holds a larger integer than 64 bits.
    """
    after = f"; {advice}" if advice else ""

    def unique(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise InputError(f"{where}: an object holds one name twice, {shown(_first_twice(names))}{after}")
        return found

    try:
        values = json.loads(text, object_pairs_hook=unique)
        if HALF_CHARACTER.search(text):
            json.dumps(values, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise InputError(f"{where}: not JSON that is read here ({TOO_DEEP}){after}") from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where}: not JSON, or cut short ({str(error)[:120]}){after}") from error
    check_plain(where, values)
    return values


def check_plain(where: str, values: JsonValue) -> None:
    """Raise `InputError` unless a tree of plain values is of bounded depth and its integers have 64 bits."""
    level: list[JsonValue] = [values]
    for _ in range(MOST_LEVELS):
        below: list[JsonValue] = []
        for value in level:
            if isinstance(value, dict):
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
            elif isinstance(value, int) and not -LARGEST_INTEGER <= value <= LARGEST_INTEGER:
                raise InputError(f"{where}: {shown(value)} is too large for an integer; at most {LARGEST_INTEGER}")
        level = below
        if not level:
            return
    raise InputError(f"{where}: {TOO_DEEP}")


def plain_values(value: object) -> JsonValue:
    """Return nested plain values for JSON, of lists, dataclasses, arrays, paths ...; NaN and infinity are None."""
    if isinstance(value, Mapping):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain_values(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, np.ndarray | np.generic):
        return plain_values(value.tolist())
    if isinstance(value, float):
        return value + 0.0 if math.isfinite(value) else None  # + 0.0: no -0
    return str(value) if isinstance(value, Path) else value


def _first_twice(names: list[str]) -> str:
    seen: set[str] = set()
    return next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
