"""Many cases at once, in pieces that fit a CPU's cache, spread over its cores.

An accelerator takes a batch whole. A CPU would stream every array of a large batch through memory at every iteration,
and hand the cores slices of operations too small to share; instead it gets chunks of cases, each solved to its end in
the cache of one core: one after another inside somebody's jit, on a thread for each core outside. (So no method may
call LAPACK: its batched kernels wait for the threads that the other cores' chunks hold, for ever.) Where somebody maps
a method over a batch inside a jit, nothing is cut: sweeps do their own cutting, and products of a whole batch use all
cores.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial
from threading import Lock
from typing import Any, Protocol, Self, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import DTypeLike

from neomflex_jax.jax_settings import nan_is_a_value
from neomflex_jax.loose_types import Keywords
from neomflex_jax.powerflow.piece_sizes import PieceSizes
from neomflex_jax.powerflow.result import PowerFlowResult

# p and q (n_cases, n_bus), and where ratios or shunts differ from case to case each one's; or those of loads
Cases: TypeAlias = tuple[Any, ...]


class Solver(Protocol):
    """What solves one case: a function, and a pytree."""

    def __call__(self, *case: Any, **named: Any) -> PowerFlowResult:
        """Solve one case."""

    @property
    def dtype(self) -> DTypeLike:
        """Precision of the network."""

    @property
    def n_node(self) -> int:
        """Number of nodes."""

    def as_solved_here(self, dtype: DTypeLike) -> Self:
        """Return the same as this process solves it."""

    def piece_sizes(self, fields: tuple[str, ...] | None = None) -> PieceSizes:
        """Sizes in which a CPU solves a batch."""


def solve_cases(solver: Solver, cases: Cases, fields: tuple[str, ...] | None = None) -> PowerFlowResult:
    """Solve cases, arguments of `PowerFlow`; the result's `fields`, None for all, get a leading axis (n_cases,)."""
    p_injection_mw, q_injection_mvar = cases[:2]
    n_cases, device = p_injection_mw.shape[0], getattr(p_injection_mw, "device", None)
    elsewhere = isinstance(device, jax.Device) and device.platform != "cpu"
    if n_cases == 1 or elsewhere:  # nothing to cut
        return _solve_at_once(solver, cases, fields)
    solver = solver.as_solved_here(jnp.result_type(p_injection_mw, q_injection_mvar, solver.dtype))
    sizes = solver.piece_sizes(fields)
    if n_cases <= sizes.uncut_cases:
        return _solve_at_once(solver, cases, fields)
    size = sizes.chunk_cases
    leaves = jax.tree.leaves((solver, cases))
    here = jnp.zeros(())  # a tracer inside a jit, even where all inputs are closed over
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in (here, *leaves))
    if traced or not isinstance(device, jax.Device):  # inside jit, or spread over devices
        return _solve_by_platform(solver, cases, fields, size)
    count = _piece_cases(n_cases, sizes, solver.n_node)
    if count == n_cases:
        return _solve_chunks(solver, cases, fields, size)
    return _solve_on_threads(solver, cases, fields, size, count, device)


def _solve_on_threads(
    solver: Solver,
    cases: Cases,
    fields: tuple[str, ...] | None,
    size: int,
    count: int,
    device: jax.Device,
) -> PowerFlowResult:
    """Solve pieces of `count` cases, in chunks of `size`, on a thread for each core."""
    n_cases = cases[0].shape[0]
    x64 = jax.dtypes.canonicalize_dtype(np.float64) == np.float64
    gathered = _Gathered(n_cases)

    def solve(first: int) -> None:
        start = min(first, n_cases - count)  # pieces of one length are one program: the last goes back a little
        # settings of JAX hold in the thread that made them
        with nan_is_a_value(), jax.enable_x64(x64), jax.default_device(device):
            solved = _solve_piece(solver, cases, start, fields, size, count)
        gathered.put(first, jax.tree.map(lambda leaf: np.asarray(leaf)[first - start :], solved))

    for _ in _pool().map(solve, range(0, n_cases, count)):
        pass
    with jax.default_device(device):
        return gathered.result(device if cases[0].committed else None)


def _piece_cases(n_cases: int, sizes: PieceSizes, n_bus: int) -> int:
    """Cases of a thread's call: whole chunks, one call a core if that makes them neither too small nor too large."""
    chunk = sizes.chunk_cases
    shared = -(-n_cases // (chunk * _cores()))
    fewest, most = (values // (n_bus * chunk) for values in sizes.piece_values)
    return min(max(1, fewest, min(shared, most)) * chunk, n_cases)


class _Gathered:
    """Results of all pieces, each written to its place by the thread that solved it.

    Large arrays are fresh memory, which costs a page fault every few kilobytes: one such array a field is the least.
    """

    def __init__(self, n_cases: int) -> None:
        self.n_cases, self.lock = n_cases, Lock()
        self.whole: PowerFlowResult | None = None

    def put(self, first: int, piece: PowerFlowResult) -> None:
        with self.lock:
            if self.whole is None:
                self.whole = jax.tree.map(lambda part: _aligned((self.n_cases, *part.shape[1:]), part.dtype), piece)
        for target, part in zip(jax.tree.leaves(self.whole), jax.tree.leaves(piece), strict=True):
            target[first : first + len(part)] = part

    def result(self, device: jax.Device | None) -> PowerFlowResult:
        """JAX arrays on the same memory, which must not be written any more."""
        whole, self.whole = self.whole, None
        return jax.device_put(whole, device, may_alias=True)


def _aligned(shape: tuple[int, ...], dtype: np.dtype[np.floating]) -> np.ndarray:
    """Uninitialised array that JAX can use without a copy: on a CPU its address must be a multiple of 64."""
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(n_bytes + 64, np.uint8)
    first = -memory.ctypes.data % 64
    return memory[first : first + n_bytes].view(dtype).reshape(shape)


@jax.jit(static_argnames="fields")
def _solve_at_once(solver: Solver, cases: Cases, fields: tuple[str, ...] | None) -> PowerFlowResult:
    return jax.vmap(lambda *case: _keep(solver(*case), fields))(*cases)


@jax.jit(static_argnames=("fields", "size"))
def _solve_by_platform(solver: Solver, cases: Cases, fields: tuple[str, ...] | None, size: int) -> PowerFlowResult:
    """Solve in chunks where this is compiled for a CPU, else at once."""
    chunks, at_once = partial(_solve_chunks, fields=fields, size=size), partial(_solve_at_once, fields=fields)
    return lax.platform_dependent(solver, cases, cpu=chunks, default=at_once)


@jax.jit(static_argnames=("fields", "size"))
def _solve_chunks(solver: Solver, cases: Cases, fields: tuple[str, ...] | None, size: int) -> PowerFlowResult:
    if len(cases[0]) <= size:
        return _solve_at_once(solver, cases, fields)
    return lax.map(lambda case: _keep(solver(*case), fields), cases, batch_size=size)


@jax.jit(static_argnames=("fields", "size", "count"))
def _solve_piece(
    solver: Solver,
    cases: Cases,
    start: Array | int,
    fields: tuple[str, ...] | None,
    size: int,
    count: int,
) -> PowerFlowResult:
    """Solve `count` cases from `start` on; cut out in here, for at the top level every slice is a call of its own."""
    piece = jax.tree.map(lambda values: lax.dynamic_slice_in_dim(values, start, count), cases)
    solved: PowerFlowResult = _solve_chunks(solver, piece, fields, size)
    return solved


def _keep(flow: PowerFlowResult, fields: tuple[str, ...] | None) -> PowerFlowResult:
    """Drop what is not asked for, so that XLA computes none of it."""
    if fields is None:
        return flow
    left_out: Keywords = {name: None for name in vars(flow) if name not in fields}
    return replace(flow, **left_out)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_cores(), thread_name_prefix="power-flow")
