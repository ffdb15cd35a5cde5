"""Many cases at once, in pieces that fit a CPU's cache, spread over its cores.

An accelerator takes a batch whole. A CPU would stream every array of a large batch through memory at every iteration,
and hand the cores slices of operations too small to share; instead it gets chunks of cases, each solved to its end in
the cache of one core: one after another inside somebody's jit, on a thread for each core outside. (So no method may
call LAPACK: its batched kernels wait for the threads that the other cores' chunks hold, for ever.) Where somebody maps
`ac` over a batch inside a jit, nothing but its iteration is cut, and on a tree alone: dense products of a whole batch
use all cores.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from neomflex_jax.powerflow.dense import DenseNetwork
from neomflex_jax.powerflow.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.result import PowerFlowResult

if TYPE_CHECKING:
    from neomflex_jax.powerflow.solver import PowerFlow

CHUNK_VALUES = 32768  # bus values of one kind in a chunk, 130 kB in float32; about ten such arrays live at a time
FEWEST_CASES = 8  # fewer leave vector units idle
TREE_CASES = (32, 128)  # a tree's slots are rows of cases: short rows cost time, and long ones cache
TREE_CHUNK_VALUES = 65536  # its operations are small, and each costs time of its own


def chunk_cases(grid: PerUnitFeeder) -> int:
    """Cases of a chunk, a power of two."""
    n_bus = grid.topology.n_bus
    if isinstance(grid.network, DenseNetwork):
        cases = max(FEWEST_CASES, CHUNK_VALUES // n_bus)
    else:
        fewest, most = TREE_CASES
        cases = min(max(fewest, TREE_CHUNK_VALUES // n_bus), most)
    return 1 << (cases.bit_length() - 1)


def cases_at_once(grid: PerUnitFeeder) -> int:
    """Cases to iterate together inside somebody's jit and vmap, where what is not iterated stays whole."""
    if jax.default_backend() != "cpu" or isinstance(grid.network, DenseNetwork):
        return sys.maxsize
    return chunk_cases(grid)


def solve_cases(
    solver: PowerFlow, p_injection_mw: Array, q_injection_mvar: Array, fields: tuple[str, ...] | None = None
) -> PowerFlowResult:
    """Solve cases of shape (n_cases, n_bus); `fields` as in `power_flow`."""
    n_cases = p_injection_mw.shape[0]
    size = chunk_cases(solver.grid)
    if jax.default_backend() != "cpu" or n_cases <= size:
        return _solve_at_once(solver, p_injection_mw, q_injection_mvar, fields)
    device = getattr(p_injection_mw, "device", None)
    leaves = jax.tree.leaves((solver, p_injection_mw, q_injection_mvar))
    here = jnp.zeros(())  # a tracer inside a jit, even where all inputs are closed over
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in (here, *leaves))
    if traced or not isinstance(device, jax.Device):  # inside jit, or spread over devices
        return _solve_chunks(solver, p_injection_mw, q_injection_mvar, fields, size)
    workers = min(_cores(), -(-n_cases // size))
    share = -(-n_cases // (size * workers)) * size
    starts = range(0, n_cases, share)
    x64 = jax.dtypes.canonicalize_dtype(np.float64) == np.float64

    def solve(start: int) -> PowerFlowResult:
        with jax.enable_x64(x64), jax.default_device(device):  # what the caller's thread has set, ours has not
            count = min(share, n_cases - start)
            solved = _solve_share(solver, p_injection_mw, q_injection_mvar, start, fields, size, count)
            return jax.block_until_ready(solved)  # type: ignore[no-untyped-call]

    return _joined(list(_pool().map(solve, starts)))


@jax.jit(static_argnames="fields")
def _solve_at_once(
    solver: PowerFlow, p_injection_mw: Array, q_injection_mvar: Array, fields: tuple[str, ...] | None
) -> PowerFlowResult:
    return jax.vmap(lambda p, q: _keep(solver(p, q), fields))(p_injection_mw, q_injection_mvar)


@jax.jit(static_argnames=("fields", "size"))
def _solve_chunks(
    solver: PowerFlow, p_injection_mw: Array, q_injection_mvar: Array, fields: tuple[str, ...] | None, size: int
) -> PowerFlowResult:
    return lax.map(lambda case: _keep(solver(*case), fields), (p_injection_mw, q_injection_mvar), batch_size=size)


@jax.jit(static_argnames=("fields", "size", "count"))
def _solve_share(
    solver: PowerFlow,
    p_injection_mw: Array,
    q_injection_mvar: Array,
    start: Array | int,
    fields: tuple[str, ...] | None,
    size: int,
    count: int,
) -> PowerFlowResult:
    """Solve `count` cases from `start` on; cut out in here, for at the top level every slice is a call of its own."""
    p, q = (lax.dynamic_slice_in_dim(values, start, count) for values in (p_injection_mw, q_injection_mvar))
    solved: PowerFlowResult = _solve_chunks(solver, p, q, fields, size)
    return solved


@jax.jit
def _joined(shares: list[PowerFlowResult]) -> PowerFlowResult:
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *shares)


def _keep(flow: PowerFlowResult, fields: tuple[str, ...] | None) -> PowerFlowResult:
    """Drop what is not asked for, so that XLA computes none of it."""
    if fields is None:
        return flow
    left_out: dict[str, Any] = {name: None for name in vars(flow) if name not in fields}
    return replace(flow, **left_out)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_cores(), thread_name_prefix="power-flow")
