"""Which sweeps have a kernel, and whether this process wants them: what the door and `accelerator.py` both ask."""

from __future__ import annotations

import os
from enum import Enum

from jax import Array

from neomflex_jax.errors import InputError

SWITCH = "NEOMFLEX_SWEEPS"
Solved = tuple[Array, Array, Array, Array]  # of every kernel: each a number a bus, or one a case


class Sweep(Enum):
    """The kernels behind the door."""

    AC = "ac"
    AC_SETTING = "ac with settings"
    CALIBRATED = "calibrated"
    SUMS = "sums"  # of feeders with phases
    BRANCHES = "loads' branches"  # of these, the whole iteration
    BRANCHES_SETTING = "loads' branches with settings"


def wanted() -> bool:
    """Return False if the environment variable says ``off``."""
    chosen = os.environ.get(SWITCH, "")
    if chosen.strip().lower() not in ("", "off"):
        raise InputError(
            f"environment variable {SWITCH} = {chosen!r} must be 'off' (matrix products) or not set "
            "(machine code where it can be made)"
        )
    return not chosen.strip()


def first_line(problem: Exception) -> str:
    """First line of an error's message, for a sentence to go on after it."""
    return next(iter(str(problem).strip().splitlines()), "no reason given").rstrip(".")
