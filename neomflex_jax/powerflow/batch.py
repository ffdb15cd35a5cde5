"""Many cases at once, in pieces that fit a CPU's cache, spread over its cores.

An accelerator takes a batch whole. A CPU would stream every array of a large batch through memory at every iteration,
and hand the cores slices of operations too small to share; instead it gets chunks of cases, each solved to its end in
the cache of one core. Inside somebody's jit the chunks run one after another, at the top level on a thread for each core.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax import Array, lax

from neomflex_jax.powerflow.result import PowerFlowResult

if TYPE_CHECKING:
    from neomflex_jax.powerflow.solver import PowerFlow

CHUNK_VALUES = 8192  # bus values of one kind in a chunk: about ten such arrays live at a time, 330 kB in float32
FEWEST_CASES = 16  # fewer leave vector units idle


def chunk_cases(n_bus: int) -> int:
    """Cases of a chunk, a power of two."""
    return max(FEWEST_CASES, 1 << (CHUNK_VALUES // n_bus).bit_length() - 1) if n_bus < CHUNK_VALUES else FEWEST_CASES


def solve_cases(solver: PowerFlow, p_injection_mw: Array, q_injection_mvar: Array) -> PowerFlowResult:
    """Solve cases of shape (n_cases, n_bus)."""
    n_cases, n_bus = p_injection_mw.shape
    size = chunk_cases(n_bus)
    if jax.default_backend() != "cpu" or n_cases <= size:
        return _solve_at_once(solver, p_injection_mw, q_injection_mvar)
    if isinstance(p_injection_mw, jax.core.Tracer) or isinstance(q_injection_mvar, jax.core.Tracer):
        return _solve_chunks(solver, p_injection_mw, q_injection_mvar, size)
    workers = min(_cores(), -(-n_cases // size))
    share = -(-n_cases // (size * workers)) * size
    parts = [slice(start, min(start + share, n_cases)) for start in range(0, n_cases, share)]

    x64, device = jax.config.jax_enable_x64, jax.config.jax_default_device

    def solve(part: slice) -> PowerFlowResult:
        with jax.enable_x64(x64), jax.default_device(device):  # what the caller's thread has set, ours has not
            return jax.block_until_ready(_solve_chunks(solver, p_injection_mw[part], q_injection_mvar[part], size))

    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *_pool().map(solve, parts))


@jax.jit
def _solve_at_once(solver: PowerFlow, p_injection_mw: Array, q_injection_mvar: Array) -> PowerFlowResult:
    return jax.vmap(solver)(p_injection_mw, q_injection_mvar)


@jax.jit(static_argnames="size")
def _solve_chunks(solver: PowerFlow, p_injection_mw: Array, q_injection_mvar: Array, size: int) -> PowerFlowResult:
    return lax.map(lambda case: solver(*case), (p_injection_mw, q_injection_mvar), batch_size=size)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_cores(), thread_name_prefix="power-flow")
