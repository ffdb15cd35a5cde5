"""Controls and banks of capacitors in the tables of a feeder's folder; `folder.py` names these files.

A control's columns are the fields of its dataclass, in `control.py`: yes or no as 1 or 0, nodes with spaces between
them and 0 for ground.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from neomflex_jax.errors import InputError, shown
from neomflex_jax.files.paths import is_there
from neomflex_jax.files.spreadsheets import unguarded
from neomflex_jax.files.tables import number_in, read_table
from neomflex_jax.grid.unbalanced.control import (
    HIGHEST,
    KINDS,
    LOWEST,
    MEAN,
    CapacitorControl,
    Control,
    OtherControl,
    RegulatorControl,
)
from neomflex_jax.grid.unbalanced.folder import CAPACITOR_CONTROLS, EARTH, OTHER_CONTROLS, REGULATOR_CONTROLS

TABLES: dict[str, type[Control]] = {
    REGULATOR_CONTROLS: RegulatorControl,
    CAPACITOR_CONTROLS: CapacitorControl,
    OTHER_CONTROLS: OtherControl,
}
NODES = ("remote", "v_nodes")
ABOVE_ZERO = ("pt_ratio", "ct_primary_a", "ct_ratio", "remote_pt_ratio", "band", "v_set")
AT_LEAST_ZERO = ("delay_s", "delay_off_s", "dead_time_s", "tap_delay_s", "rev_delay_s", "max_tap_change")


def rows_of(controls: Sequence[Control], kind: type[Control], label: Callable[[int], str]) -> list[list[object]]:
    """Rows of the controls of one kind, for writing."""

    def cell(name: str, value: object) -> object:
        if name in NODES:
            return " ".join(label(node) for node in value)  # type: ignore[attr-defined]
        return int(value) if isinstance(value, bool) else value

    names = [field.name for field in dataclasses.fields(kind)]
    return [[cell(name, getattr(each, name)) for name in names] for each in controls if isinstance(each, kind)]


def read_controls(folder: Path, positions: Mapping[str, int]) -> tuple[Control, ...]:
    """Read the controls of a folder; none where it has no such files.

    Raises
    ------
    InputError
        Naming file, line and column.
    """
    found: list[Control] = []
    for name, kind in TABLES.items():
        if is_there(folder / name):
            found += _read(folder / name, kind, positions)
    names = [control.name for control in found]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{folder}: control {shown(twice[0])} is there twice; keep one")
    return tuple(found)


def _read(path: Path, kind: type[Control], positions: Mapping[str, int]) -> list[Control]:
    fields = dataclasses.fields(kind)
    table = read_table(path, tuple(field.name for field in fields))
    found: list[Control] = []
    for line, row in zip(table.index, table.to_dict("records"), strict=True):
        values: dict[str, object] = {}
        for field in fields:
            text = unguarded(str(row[field.name]).strip())
            try:
                values[field.name] = _value(field.name, str(field.type), text, positions)
            except ValueError as wanted:
                raise InputError(
                    f"{path}: line {line}, column {shown(field.name)}: {shown(text)} must be {wanted}"
                ) from None
        found.append(kind(**cast("Any", values)))
    return found


def _value(name: str, kind: str, text: str, positions: Mapping[str, int]) -> object:
    """Value of a cell; raises `ValueError` saying what it must be."""
    if name in NODES:
        nodes = text.split()
        if any(node not in positions for node in nodes) or (name == "remote" and len(nodes) not in (0, 2)):
            raise ValueError(f"nodes of the feeder{', two or none of them' if name == 'remote' else ''}")
        return tuple(positions[node] for node in nodes)
    if name == "kind" and text not in KINDS:
        raise ValueError(f"one of {', '.join(KINDS)}")
    if name in ("phase", "pt_phase", "ct_phase") and not (text in (HIGHEST, LOWEST, MEAN) or text.isdecimal()):
        raise ValueError(f"the number of a phase, or one of {HIGHEST}, {LOWEST}, {MEAN}")
    if kind == "str":
        return text
    number = number_in(text)
    if not math.isfinite(number):
        raise ValueError("a finite number")
    if name in ABOVE_ZERO and number <= 0:
        raise ValueError("above 0")
    if name in AT_LEAST_ZERO and number < 0:
        raise ValueError("at least 0")
    if kind == "bool":
        if number not in (0, 1):
            raise ValueError("0 or 1")
        return bool(number)
    if kind == "int":
        if number != round(number) or abs(number) > 1e6:
            raise ValueError("a whole number")
        return int(number)
    return number


def node_label(labels: Sequence[object]) -> Callable[[int], str]:
    """Function that gives a node's label, that of ground too."""
    return lambda node: str(labels[node]) if node >= 0 else EARTH
