"""The rate at which a network's matrix products run with nothing between them: what bounds the `ac` method."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array, lax
from machine import available_cores

from neomflex_jax.powerflow import PowerFlow

CHAINED = 8  # products after one another in one call, as the iterations of a power flow are


@dataclass(frozen=True)
class Products:
    """One evaluation's products ``Z i`` of one case."""

    per_second: float
    flops: float  # as XLA counts them


def products_alone(solver: PowerFlow, n_cases: int, seconds: float = 0.3) -> Products:
    """Measure on all cores, in the chunks and threads in which a batch of `n_cases` is solved."""
    grid, size = solver.grid, min(n_cases, solver.piece_sizes().chunk_cases)
    per_core = max(1, n_cases // (size * available_cores())) if n_cases > size else 1
    cores = available_cores() if n_cases > size else 1

    def chain(currents: tuple[Array, Array]) -> Array:
        for _ in range(CHAINED):
            currents = grid.network.drop(*currents)
        return currents[0]

    enter = grid.network.enter(jnp.ones((size, grid.topology.n_bus - 1), jnp.float32))
    batch = jnp.broadcast_to(enter, (per_core, *enter.shape))
    chunks = jax.jit(lambda batch: lax.map(chain, (batch, batch)))
    once = jax.jit(grid.network.drop).lower(enter, enter).compile().cost_analysis()
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(lambda _: chunks(batch).block_until_ready(), range(cores)))
        best, end = float("inf"), time.perf_counter() + seconds
        while time.perf_counter() < end:
            before = time.perf_counter()
            list(pool.map(lambda _: chunks(batch).block_until_ready(), range(cores)))
            best = min(best, time.perf_counter() - before)
    return Products(cores * per_core * size * CHAINED / best, once["flops"] / size)
