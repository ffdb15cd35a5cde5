"""Values in one line, for notebooks and error messages: what a thing is, not every number in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

WIDTH = 80
PART = 30  # of a nested value, at most


def one_line(thing: DataclassInstance) -> str:
    """Write a dataclass with what fits a line: arrays by type and shape, the fields that are left out as three dots.

    A class takes it by ``__repr__ = one_line``. Works on what jit, vmap and grad put in the place of arrays.
    """
    fields = [f"{field.name}={_short(getattr(thing, field.name, None))}" for field in dataclasses.fields(thing)]
    name = type(thing).__name__
    shown: list[str] = []
    for index, text in enumerate(fields):
        rest = ", ..." if index + 1 < len(fields) else ""
        if len(name) + len(", ".join([*shown, text])) + len(rest) + 2 > WIDTH:
            shown.append("...")
            break
        shown.append(text)
    return f"{name}({', '.join(shown)})"


def _short(value: object) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__name__}(...)"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        # a number on the host as such, any other array by type and shape: a look must not wait for a device
        shape = tuple(value.shape)
        if isinstance(value, np.ndarray | np.generic) and shape == () and value.dtype.kind in "biuf":
            return f"{value.item():.6g}" if value.dtype.kind == "f" else str(value.item())
        return f"{value.dtype}[{','.join(str(size) for size in shape)}]"
    if isinstance(value, Mapping):
        return f"{{{len(value)} entries}}"
    if isinstance(value, tuple | list) and (len(value) > 3 or any(not isinstance(x, int | str) for x in value)):
        return f"({len(value)} entries)"
    return cut(repr(value))


def cut(text: str) -> str:
    """Leave out the middle of a long text, and every line break."""
    flat = " ".join(text.split())
    half = (PART - 3) // 2
    return flat if len(flat) <= PART else f"{flat[:half]}...{flat[-half:]}"
