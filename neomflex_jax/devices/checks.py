"""What the devices' fields must be; every refusal names device, field, value and what is allowed."""

import math
import re
from collections.abc import Sequence

from neomflex_jax.errors import InputError


def refuse(device: str, allowed: str, **fields: object) -> InputError:
    """Build the error for fields of a device, such as "battery at bus 7"."""
    given = ", ".join(f"{name} = {value!r}" for name, value in fields.items())
    return InputError(f"{device}: {given} must {allowed}")


def check_above_zero(device: str, **fields: float) -> None:
    """Raise `InputError` unless every field is finite and above 0."""
    for name, value in fields.items():
        if not 0 < value < math.inf:
            raise refuse(device, "be above 0 and finite", **{name: value})


def check_not_negative(device: str, **fields: float) -> None:
    """Raise `InputError` unless every field is finite and at least 0."""
    for name, value in fields.items():
        if not 0 <= value < math.inf:
            raise refuse(device, "be at least 0 and finite", **{name: value})


def check_name(device: str, name: str) -> None:
    """Raise `InputError` unless the name is empty or fit for the name of a column."""
    if not re.fullmatch(r"[A-Za-z0-9_-]*", name):
        raise refuse(device, "be made of letters, digits, _ and -", name=name)


def check_phases(device: str, phases: Sequence[int]) -> None:
    """Raise `InputError` unless the phases are some of 1, 2 and 3, each once."""
    if len(set(phases)) < len(phases) or not set(phases) <= {1, 2, 3}:
        raise refuse(device, "be some of 1, 2 and 3, each once", phases=list(phases))
