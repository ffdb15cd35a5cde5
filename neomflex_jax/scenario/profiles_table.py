"""The table ``[profiles]`` of a scenario file: `file` and `evaluation_file`, and beside them a `SeriesConfig`.

A scenario keeps the files in fields of their own, for they are what a command line replaces.
"""

from __future__ import annotations

from collections.abc import Mapping

from neomflex_jax.errors import shown
from neomflex_jax.fields import FieldError, KeyPath
from neomflex_jax.loose_types import JsonObject, JsonValue

FILES = {"file": "profiles", "evaluation_file": "evaluation_profiles"}
TABLE, FIELD = "profiles", "series"


def split_profiles(values: Mapping[str, JsonValue]) -> JsonObject:
    """Return a scenario's values with a table of this name split into the fields that it sets."""
    split = dict(values)
    table = split.get(TABLE)
    if not isinstance(table, Mapping):
        return split
    if FIELD in split:
        raise FieldError(f"{shown(FIELD)} is a part of the table [profiles]; state it once", TABLE)
    del split[TABLE]
    for name, field in FILES.items():
        if name in table:
            if field in split:
                raise FieldError(f"{name!r} of [profiles] and {field!r} say the same; keep one", TABLE, name)
            split[field] = table[name]
    if (table.get("test") or table.get("split_column")) and "file" in table:
        if "evaluation_file" in table:
            raise FieldError(
                "'evaluation_file' and days for test by a rule contradict; keep one", TABLE, "evaluation_file"
            )
        split.setdefault("evaluation_profiles", table["file"])
    return split | {FIELD: {name: value for name, value in table.items() if name not in FILES}}


def path_in_file(path: KeyPath) -> KeyPath:
    """Return where a file states a scenario's field."""
    return (TABLE, *path[1:]) if path[:1] == (FIELD,) else path
