"""The door to machine code: may this process sweep? If not, one warning, and matrix products give the same answers.

It is asked whenever `ac` or `calibrated` is traced on a radial network, and finds out by trying: the kernel is written,
compiled, registered and has to solve a small network whose answer is known (`trials.py`), once for each method
and precision. What is found holds until the process ends, and so does what ``NEOMFLEX_SWEEPS`` says at the first
question: programs that are traced already would not follow a change. Nothing here loads LLVM before somebody asks.
"""

from __future__ import annotations

import os
import platform
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock

import jax
import numpy as np
from jax.typing import DTypeLike

from neomflex_jax.errors import InputError
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder

SWITCH = "NEOMFLEX_SWEEPS"
# Where the call frame's offsets and the C convention of a function from pointer to pointer are those of the kernels.
# Elsewhere a call could end the process, which no trial would survive.
SYSTEMS, PROCESSORS = ("Linux", "Darwin"), ("x86_64", "aarch64", "arm64")


@dataclass
class Door:
    """What this process has found out."""

    is_open: bool | None = None  # None: nobody has asked yet
    passed: set[tuple[str, str]] = field(default_factory=set)  # method and precision of kernels that answer right
    lock: Lock = field(default_factory=Lock)  # threads trace at the same time

    def lets_pass(self, method: str, dtype: DTypeLike) -> bool:
        """Tell whether a method's kernel of a precision can be used; the first refusal closes the door for all."""
        key, reason = (method, np.dtype(dtype).name), ""
        with self.lock:
            if self.is_open is None:
                self.is_open = wanted()
            if self.is_open and key not in self.passed:
                reason = fault(*key)
                self.is_open = not reason
                if not reason:
                    self.passed.add(key)
            answer = self.is_open
        if reason:  # outside the lock: what handles warnings may trace
            warnings.warn(
                f"no sweeps in machine code: {reason}. `ac` and `calibrated` take matrix products instead, with the "
                f"same answers, slower. {SWITCH}=off chooses them without this warning",
                RuntimeWarning,
                stacklevel=2,
            )
        return answer


_door = Door()


def can_sweep(grid: PerUnitFeeder, method: str, dtype: DTypeLike) -> bool:
    """Tell whether a network is solved by sweeps here, by `ac` or `calibrated` in single or double precision.

    Raises
    ------
    InputError
        If ``NEOMFLEX_SWEEPS`` is neither empty nor ``off``.
    """
    return grid.swept and jax.default_backend() == "cpu" and _door.lets_pass(method, dtype)


def wanted() -> bool:
    """Read the environment variable."""
    chosen = os.environ.get(SWITCH, "")
    if chosen.strip().lower() not in ("", "off"):
        raise InputError(
            f"environment variable {SWITCH} = {chosen!r} must be 'off' (matrix products) or not set "
            "(machine code where it can be made)"
        )
    return not chosen.strip()


def fault(method: str, dtype: str) -> str:
    """Say why a kernel cannot be used, "" if it can."""
    system, processor = platform.system(), platform.machine()
    if system not in SYSTEMS or processor not in PROCESSORS or sys.maxsize < 2**63 - 1:
        return f"it is not made for {system or 'this system'} on {processor or 'this processor'}"
    try:
        # in a thread of its own: who asks is in the middle of a trace, with settings of JAX that hold in their thread
        with ThreadPoolExecutor(1, thread_name_prefix="machine-code") as pool:
            pool.submit(_try, method, dtype).result()
    except ImportError as problem:
        return f"llvmlite does not load ({_first_line(problem)}; `pip install --force-reinstall llvmlite` may mend it)"
    except Exception as problem:  # LLVM, XLA or this code on a processor nobody tried: whatever it is, products answer
        return f"{type(problem).__name__}: {_first_line(problem)}"
    return ""


def _try(method: str, dtype: str) -> None:
    from neomflex_jax.powerflow.sweeps.trials import TRIALS  # loads LLVM

    TRIALS[method](np.dtype(dtype))


def _first_line(problem: Exception) -> str:
    return next(iter(str(problem).strip().splitlines()), "no reason given").rstrip(".")
