"""The door to machine code: it opens if this process can sweep; if not, one warning, and matrix products serve as well.

It is asked whenever `ac` or `calibrated` is traced on a radial network or any method on one with phases, whatever the
trace is compiled for: sweeps, the kernel of an accelerator and products all go into it, and the platform takes one
(`jax.lax.platform_dependent`). It finds out by trying: the kernel is written, compiled, registered and has to solve a
small network whose answer is known (`trials.py`), once for each kernel and precision. What is found holds until the
process ends, and so does what ``NEOMFLEX_SWEEPS`` says at the first question: programs that are traced already would
not follow a change. LLVM is loaded at the first question, only here; an accelerator's kernels ask in `accelerator.py`,
once they are compiled.
"""

from __future__ import annotations

import platform
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from neomflex_jax.powerflow.network.branch_arrays import BranchArrays, Case, PortArrays
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.network.setting import Own
from neomflex_jax.powerflow.sweeps.sum_arrays import SumArrays as SumArrays
from neomflex_jax.powerflow.sweeps.switch import SWITCH as SWITCH
from neomflex_jax.powerflow.sweeps.switch import Solved, first_line
from neomflex_jax.powerflow.sweeps.switch import Sweep as Sweep
from neomflex_jax.powerflow.sweeps.switch import wanted as wanted

# Where the call frame's offsets and the C convention of a function from pointer to pointer are those of the kernels.
# Elsewhere a call could end the process, which no trial would survive.
SYSTEMS, PROCESSORS = ("Linux", "Darwin"), ("x86_64", "aarch64", "arm64")


@dataclass
class Door:
    """What this process has found out."""

    is_open: bool | None = None  # None: nobody has asked yet
    passed: set[tuple[Sweep, str]] = field(default_factory=set)  # kernels, with a precision, that solved their trial
    lock: Lock = field(default_factory=Lock)  # threads trace at the same time

    def lets_pass(self, sweep: Sweep, dtype: DTypeLike) -> bool:
        """Return True if a kernel can be used in a precision; the first that cannot closes the door for all."""
        key, reason = (sweep, np.dtype(dtype).name), ""
        with self.lock:
            if self.is_open is None:
                self.is_open = wanted()
            if self.is_open and key not in self.passed:
                reason = fault(*key)
                self.is_open = not reason
                if not reason:
                    self.passed.add(key)
            usable = self.is_open
        if reason:  # outside the lock: what handles warnings may trace
            warnings.warn(
                f"no sweeps in machine code: {reason}. `ac` and `calibrated` take matrix products instead, with the "
                f"same answers, slower. {SWITCH}=off chooses them without this warning",
                RuntimeWarning,
                stacklevel=2,
            )
        return usable


_door = Door()


def can_sweep(grid: PerUnitFeeder, sweep: Sweep | None, dtype: DTypeLike) -> bool:
    """Return True if a sweep solves this network on this process's CPU, in either precision; never for None.

    Raises
    ------
    InputError
        If ``NEOMFLEX_SWEEPS`` is neither empty nor ``off``.
    """
    return grid.swept and sweep is not None and cpu_device() is not None and _door.lets_pass(sweep, dtype)


def can_sum(dtype: DTypeLike) -> bool:
    """Return True if sums are machine code on this process's CPU, for feeders with phases; raises as `can_sweep`."""
    return cpu_device() is not None and _door.lets_pass(Sweep.SUMS, dtype)


def sums_by_quantity(sums: SumArrays, given: Array) -> Array:
    """Call `sum_sweep.sums_by_quantity`; only where `can_sum` is True, and on CPUs."""
    from neomflex_jax.powerflow.sweeps import sum_sweep  # loads LLVM

    return sum_sweep.sums_by_quantity(sums, given)


def sums_by_case(sums: SumArrays, given: Array) -> Array:
    """Call `sum_sweep.sums_by_case`; only where `can_sum` is True, and on CPUs."""
    from neomflex_jax.powerflow.sweeps import sum_sweep  # loads LLVM

    return sum_sweep.sums_by_case(sums, given)


def magnitudes_by_case(sums: SumArrays, start: Array, given: Array) -> Array:
    """Call `sum_sweep.magnitudes_by_case`; only where `can_sum` is True, and on CPUs."""
    from neomflex_jax.powerflow.sweeps import sum_sweep  # loads LLVM

    return sum_sweep.magnitudes_by_case(sums, start, given)


def can_iterate(dtype: DTypeLike, *, with_settings: bool = False) -> bool:
    """Return True if the loads' branches of feeders with phases iterate in machine code on this process's CPU."""
    sweep = Sweep.BRANCHES_SETTING if with_settings else Sweep.BRANCHES
    return cpu_device() is not None and _door.lets_pass(sweep, dtype)


def solve_by_branches(
    sums: SumArrays,
    branches: BranchArrays,
    case: Case,
    own: tuple[PortArrays, Array] | None,
    tolerance: float,
    max_iterations: int,
) -> tuple[Array, ...]:
    """Call `branch_sweep.solve_by_branches` or, with ports and changes of a case's own, `solve_with_ports`.

    Only where `can_iterate` is True, and on CPUs.
    """
    from neomflex_jax.powerflow.sweeps import branch_sweep  # loads LLVM

    if own is None:
        return branch_sweep.solve_by_branches(sums, branches, case, tolerance, max_iterations)
    return branch_sweep.solve_with_ports(sums, branches, case, *own, tolerance, max_iterations)


def only_accelerators(grid: PerUnitFeeder) -> bool:
    """Return True where a network could be swept, and there is no CPU to ask: an accelerator may have a kernel."""
    return grid.swept and cpu_device() is None and wanted()


def cpu_device() -> jax.Device | None:
    """Return this process's first CPU as a device of JAX; None where ``JAX_PLATFORMS`` leaves it out."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def ac_by_sweeps(
    grid: PerUnitFeeder, own: Own | None, p: Array, q: Array, tolerance: float, max_iterations: int
) -> tuple[Array, Array, Array, Array]:
    """Call `ac_sweep.solve_by_sweeps` or, with parts of a case's own, `setting_sweep`'s; on CPUs, where `can_sweep`."""
    from neomflex_jax.powerflow.sweeps import ac_sweep, setting_sweep  # loads LLVM

    if own is None:
        return ac_sweep.solve_by_sweeps(grid, p, q, tolerance, max_iterations)
    return setting_sweep.solve_by_sweeps(grid, own, p, q, tolerance, max_iterations)


def calibrated_by_sweeps(
    grid: PerUnitFeeder, gain: Array, vm_squared: Array, p_injection_mw: Array, q_injection_mvar: Array
) -> tuple[Array, Array, Array, Array]:
    """Call `calibrated_sweep.solve_by_sweeps`; only where `can_sweep` is True, and on CPUs."""
    from neomflex_jax.powerflow.sweeps.calibrated_sweep import solve_by_sweeps  # loads LLVM

    return solve_by_sweeps(grid, gain, vm_squared, p_injection_mw, q_injection_mvar)


def ac_fused(
    products: Callable[..., Solved],
    grid: PerUnitFeeder,
    own: None,
    p: Array,
    q: Array,
    tolerance: float,
    max_iterations: int,
) -> Solved:
    """Call `fused_ac.solve_fused`, or `products` where there is no kernel; what is compiled for an accelerator."""
    from neomflex_jax.powerflow.sweeps.accelerator import fused_or_products

    def fused(grid: PerUnitFeeder, own: None, p: Array, q: Array) -> Solved:
        from neomflex_jax.powerflow.sweeps.fused_ac import solve_fused  # loads Pallas

        return solve_fused(grid, p, q, tolerance, max_iterations)

    shapes = _shapes(p.dtype, p.shape, p.shape) + _shapes(bool, p.shape[:-1]) + _shapes(np.int32, p.shape[:-1])
    return fused_or_products(Sweep.AC, fused, products, shapes, grid, own, p, q)


def calibrated_fused(
    products: Callable[..., Solved], grid: PerUnitFeeder, fit: Any, p_injection_mw: Array, q_injection_mvar: Array
) -> Solved:
    """Call `fused_calibrated.solve_fused`, or `products` where there is no kernel, as `ac_fused` does.

    `fit` has `Calibrated`'s arrays.
    """
    from neomflex_jax.powerflow.sweeps.accelerator import fused_or_products

    def fused(grid: PerUnitFeeder, fit: Any, p: Array, q: Array) -> Solved:
        from neomflex_jax.powerflow.sweeps.fused_calibrated import solve_fused  # loads Pallas

        return solve_fused(grid, fit.gain, fit.vm_squared, p, q)

    shape = p_injection_mw.shape
    shapes = _shapes(p_injection_mw.dtype, shape, shape[:-1], shape[:-1]) + _shapes(bool, shape[:-1])
    return fused_or_products(Sweep.CALIBRATED, fused, products, shapes, grid, fit, p_injection_mw, q_injection_mvar)


def fused_fault(sweep: Sweep, dtype: str) -> str:
    """Return why a kernel for CUDA cannot be used in a precision, "" if it can: where there is a card, by trying."""
    from neomflex_jax.powerflow.sweeps import accelerator

    return accelerator.fault(sweep, dtype)


def _shapes(dtype: DTypeLike, *shapes: tuple[int, ...]) -> list[jax.ShapeDtypeStruct]:
    return [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]  # type: ignore[no-untyped-call]


def fault(sweep: Sweep, dtype: str) -> str:
    """Return why a kernel cannot be used in a precision, "" if it can."""
    system, processor = platform.system(), platform.machine()
    if system not in SYSTEMS or processor not in PROCESSORS or sys.maxsize < 2**63 - 1:
        return f"it is not made for {system or 'this system'} on {processor or 'this processor'}"
    try:
        # in a thread of its own: who asks is in the middle of a trace, with settings of JAX that hold in their thread
        with ThreadPoolExecutor(1, thread_name_prefix="machine-code") as pool:
            pool.submit(_try, sweep, dtype).result()
    except ImportError as problem:
        return f"llvmlite does not load ({first_line(problem)}; `pip install --force-reinstall llvmlite` may mend it)"
    except Exception as problem:  # LLVM, XLA or this code on a processor nobody tried: whatever it is, products serve
        return f"{type(problem).__name__}: {first_line(problem)}"
    return ""


def _try(sweep: Sweep, dtype: str) -> None:
    """Compile a kernel and solve its trial with it; raises whatever goes wrong."""
    from neomflex_jax.powerflow.sweeps import (  # loads LLVM
        ac_sweep,
        branch_sweep,
        branch_trial,
        calibrated_sweep,
        setting_sweep,
        sum_sweep,
        trials,
    )

    number = np.dtype(dtype)
    with jax.default_device(cpu_device()):
        {
            Sweep.AC: lambda: trials.try_ac(number, ac_sweep.solve_by_sweeps),
            Sweep.AC_SETTING: lambda: trials.try_ac_with_settings(number, setting_sweep.solve_by_sweeps),
            Sweep.CALIBRATED: lambda: trials.try_calibrated(number, calibrated_sweep.solve_by_sweeps),
            Sweep.SUMS: lambda: trials.try_sums(
                number, sum_sweep.sums_by_quantity, sum_sweep.sums_by_case, sum_sweep.magnitudes_by_case
            ),
            Sweep.BRANCHES: lambda: branch_trial.try_branches(number, branch_sweep.solve_by_branches),
            Sweep.BRANCHES_SETTING: lambda: branch_trial.try_ports(number, branch_sweep.solve_with_ports),
        }[sweep]()
