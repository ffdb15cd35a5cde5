"""Kernels for accelerators, written and lowered only where a program is compiled for one.

A form that `jax.lax.platform_dependent` may choose is traced wherever the program is, and a kernel in Pallas takes
longer to trace than all else that a CPU traces. So what stands in the program is one operation with the shapes of its
results (`fused_or_products`). Compiled for CUDA, it becomes the kernel, or matrix products where the kernel fails its
trial, `NEOMFLEX_SWEEPS` is off, or the program is exported: JAX gives no promise that a program with Triton's
code will be understood by another version, and refuses to export it.

The trial of a kernel and a precision is that of the machine code (`trials.py`) where there is a card; without one,
where programs are compiled for a card elsewhere, it is that the kernel can be lowered at all.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.extend.core import Primitive
from jax.interpreters import mlir

from neomflex_jax.powerflow.sweeps.switch import SWITCH, Solved, Sweep, first_line, wanted

PLATFORM = "cuda"
Form = Callable[..., Solved]

_found: dict[tuple[Sweep, str], bool] = {}  # kernels, with a precision, and whether they can be used here
_one_at_a_time = Lock()  # threads compile at the same time
_fused = Primitive("neomflex_fused_sweep")
_fused.multiple_results = True


def fused_or_products(
    sweep: Sweep, fused: Form, products: Form, results: Sequence[jax.ShapeDtypeStruct], *arguments: Any
) -> Solved:
    """Call one of two functions with the same results, (`results`), of pytrees; which, is decided when it is compiled.

    Inside `jax.lax.platform_dependent`, for CUDA; neither differentiated nor mapped.
    """
    leaves, structure = jax.tree.flatten(arguments)
    found: list[Array] = _fused.bind(  # type: ignore[no-untyped-call]
        *leaves,
        sweep=sweep,
        dtype=results[0].dtype.name,
        fused=_of_leaves(fused, structure),
        products=_of_leaves(products, structure),
        results=tuple((each.shape, each.dtype.name) for each in results),
    )
    return found[0], found[1], found[2], found[3]


def _of_leaves(form: Form, structure: Any) -> Form:
    return lambda *leaves: form(*jax.tree.unflatten(structure, leaves))


def _shapes(*_: Any, results: tuple[tuple[tuple[int, ...], str], ...], **__: Any) -> list[Any]:
    return [jax.core.ShapedArray(shape, np.dtype(name)) for shape, name in results]


_fused.def_abstract_eval(_shapes)  # type: ignore[no-untyped-call]


def _lower(context: Any, *leaves: Any, sweep: Sweep, dtype: str, fused: Form, products: Form, results: Any) -> Any:
    is_exported = context.module_context.lowering_parameters.for_export
    chosen = fused if not is_exported and can_fuse(sweep, dtype) else products
    # settings of the trace, which is over
    with jax.enable_x64(dtype == "float64"), jax.default_matmul_precision("highest"):
        return mlir.lower_fun(chosen, multiple_results=True)(context, *leaves)


mlir.register_lowering(_fused, _lower)


def can_fuse(sweep: Sweep, dtype: str) -> bool:
    """Return True if a kernel can be used in a precision; one warning if not."""
    if not wanted():
        return False
    reason, key = "", (sweep, dtype)
    with _one_at_a_time:
        if key not in _found:
            reason = fault(*key)
            _found[key] = not reason
        usable = _found[key]
    if reason:  # outside the lock: what handles warnings may trace
        warnings.warn(
            f"no kernel of {sweep.value} for the accelerator: {reason}. Matrix products serve instead, with the same "
            f"answers, slower. {SWITCH}=off chooses them without this warning",
            RuntimeWarning,
            stacklevel=2,
        )
    return usable


def fault(sweep: Sweep, dtype: str) -> str:
    """Return why a kernel cannot be used in a precision, "" if it can."""
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="kernel") as pool:  # away from the settings of who asks
            pool.submit(_try, sweep, np.dtype(dtype)).result()
    except Exception as problem:  # Pallas, Triton, XLA or this code on a card nobody tried: products serve
        return f"{type(problem).__name__}: {first_line(problem)}"
    return ""


def _try(sweep: Sweep, dtype: np.dtype[np.floating]) -> None:
    """Solve a kernel's trial on the first card, or lower it where there is none; raises whatever goes wrong."""
    from neomflex_jax.powerflow.sweeps import fused_ac, fused_calibrated, trials

    try:
        card = jax.local_devices(backend=PLATFORM)[0]
    except RuntimeError:
        _lower_alone(sweep, dtype)
        return
    with jax.default_device(card):
        if sweep is Sweep.AC:
            trials.try_ac(dtype, fused_ac.solve_fused)
        else:
            trials.try_calibrated(dtype, fused_calibrated.solve_fused)


def _lower_alone(sweep: Sweep, dtype: np.dtype[np.floating]) -> None:
    """Lower a kernel for a small tree, for a card that is not here."""
    from neomflex_jax.powerflow.network.per_unit import per_unit
    from neomflex_jax.powerflow.sweeps import fused_ac, fused_calibrated, trials

    with jax.enable_x64(dtype == np.float64):
        grid = per_unit(trials.trial_feeder())
        n = grid.topology.n_bus

        def solve(p: Array, q: Array) -> tuple[Array, ...]:
            if sweep is Sweep.AC:
                return fused_ac.solve_fused(grid, p[:, 1:], q[:, 1:], 1e-6, 100)
            return fused_calibrated.solve_fused(grid, jnp.ones((3, n - 1)), jnp.ones(n - 1), p, q)

        some = jax.ShapeDtypeStruct((3, n), dtype)  # type: ignore[no-untyped-call]
        jax.jit(solve).trace(some, some).lower(lowering_platforms=(PLATFORM,))
