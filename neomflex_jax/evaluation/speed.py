"""How many power flows a second a bound method solves, as part of one compiled program, the way training uses it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.powerflow import PowerFlow

BATCH_SIZE = 4096
MOST_VALUES = 2**18  # buses x cases of a batch
TURNS = 4


def default_batch_size(n_node: int) -> int:
    """Cases of a batch: 4096, fewer on feeders of more than 64 buses, so that every method's memory stays moderate."""
    return min(BATCH_SIZE, max(16, MOST_VALUES // n_node))


def flows_per_second(
    solvers: Mapping[str, PowerFlow],
    p_injection_mw: np.ndarray,
    q_injection_mvar: np.ndarray,
    batch_size: int,
    seconds: float,
) -> dict[str, float]:
    """Measure all methods on the same batch, in JAX's precision of the moment, compilation left out.

    Samples (n, n_node) are repeated to fill the batch. Each method's calls are repeated for `seconds`, in turns with
    the others, so that a busy machine hurts all alike; the best call counts.
    """
    size = (batch_size, p_injection_mw.shape[1])
    p, q = (jnp.asarray(np.resize(values, size), float) for values in (p_injection_mw, q_injection_mvar))
    calls = [_timed(solver, p, q) for solver in solvers.values()]
    best, spent = [float("inf")] * len(calls), [0.0] * len(calls)
    for turn in range(1, TURNS + 1):
        for index, call in enumerate(calls):
            while not np.isfinite(best[index]) or spent[index] < seconds * turn / TURNS:
                took = call()
                best[index], spent[index] = min(best[index], took), spent[index] + took
    return {name: batch_size / took for name, took in zip(solvers, best, strict=True)}


def _timed(solver: PowerFlow, p: Array, q: Array) -> Callable[[], float]:
    """Return a function, compiled already, that solves the batch once and returns the seconds that this took."""

    def case(solver: PowerFlow, p: Array, q: Array) -> tuple[Array, ...]:
        flow = solver(p, q)
        answer = (flow.vm_pu, flow.loss_mw, flow.converged)
        return (*answer, flow.va_degree) if solver.model.angles_only else answer

    solve = jax.jit(jax.vmap(case, in_axes=(None, 0, 0)))
    jax.block_until_ready(solve(solver, p, q))  # type: ignore[no-untyped-call]

    def call() -> float:
        before = time.perf_counter()
        jax.block_until_ready(solve(solver, p, q))  # type: ignore[no-untyped-call]
        return time.perf_counter() - before

    return call
