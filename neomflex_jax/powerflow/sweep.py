"""The iteration of `ac` on a radial network, on a CPU: `fixed_point.py`'s, by backward and forward sweeps.

A sweep needs some forty operations a bus where an impedance matrix needs as many products as there are buses, but they
follow one another along the tree, which array programs are slow at. So the sweeps are machine code (`sweep_kernel.py`,
compiled when it is first needed), called from inside jit. One call runs on one core, however large its batch; calls
from several threads, which `batch.py` makes, run beside each other. XLA does not look inside: `jax.shard_map` has to be
told ``check_vma=False``, and a batch that jit alone spreads over devices is gathered.
"""

from __future__ import annotations

from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid.topology import Topology, spanning_tree
from neomflex_jax.native.code import lanes_of
from neomflex_jax.native.xla_call import register
from neomflex_jax.powerflow.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.sweep_kernel import OPERANDS, ROW_VECTORS, write_kernel


def can_sweep(grid: PerUnitFeeder) -> bool:
    """Tell whether this network is solved by sweeps here."""
    return grid.swept and jax.default_backend() == "cpu"


def solve_by_sweeps(
    grid: PerUnitFeeder, p: Array, q: Array, tolerance: float, max_iterations: int
) -> tuple[Array, Array, Array, Array]:
    """Solve cases of injections without the slack, shapes (..., n_bus - 1), per unit, to `tolerance` per unit.

    Returns
    -------
    rise_r, rise_i, converged, evaluations
        Voltages' rises ``u - w``, shapes (..., n_bus - 1), and of each case whether and when it stopped, shapes (...).
    """
    tree, n, dtype = _rows(grid.topology), p.shape[-1], np.dtype(p.dtype)
    lanes, axes = lanes_of(dtype), p.shape[:-1]
    p, q = p.reshape(-1, n), q.reshape(-1, n)
    n_cases = len(p)
    if n_cases < lanes:
        p, q = (jnp.pad(values, ((0, lanes - n_cases), (0, 0))) for values in (p, q))
    zeros = (jnp.zeros(n), jnp.zeros(n))
    admittance = zeros if grid.bus_admittance is None else [grid.network.leave(part) for part in grid.bus_admittance]
    by_row = [jnp.pad(values[tree.branch], (1, 0)) for values in (grid.r, grid.x)]
    by_row += [jnp.pad(jnp.asarray(values)[tree.bus], (1, 0)) for values in admittance]
    values = [
        jnp.asarray(value, dtype) for value in (tree.branches, tree.adds, *by_row, grid.slack_vm, p, q, tolerance)
    ]
    cases, rise, scratch = (
        jax.ShapeDtypeStruct(shape, kind)  # type: ignore[no-untyped-call]
        for shape, kind in ((p.shape[:1], np.int32), (p.shape, dtype), (((n + 1) * ROW_VECTORS * lanes,), dtype))
    )
    call = jax.ffi.ffi_call(_registered(dtype), (rise, rise, cases, cases, scratch))
    rise_r, rise_i, converged, evaluations, _ = call(tree.above, tree.row, *values, np.int32(max_iterations))
    rise_r, rise_i = (part[:n_cases].reshape(*axes, n) for part in (rise_r, rise_i))
    return rise_r, rise_i, (converged[:n_cases] > 0).reshape(axes), evaluations[:n_cases].reshape(axes)


class _Rows(NamedTuple):
    """Where the kernel keeps the buses: depth first, so that a bus and the one above it lie close together."""

    above: np.ndarray  # (n + 1,) int32, row of the bus above each row's; row 0 is the slack's
    row: np.ndarray  # (n,) int32, row of each bus without the slack
    bus: np.ndarray  # (n,) int32, which of these buses each row from 1 on holds
    branch: np.ndarray  # (n,) int32, branch above each row's bus
    branches: np.ndarray  # (n + 1,) 1 where other buses hang on a row's, 0 at an end
    adds: np.ndarray  # (n + 1,) 0 where a row is the last that hangs on the one above, 1 elsewhere


@lru_cache(maxsize=32)
def _rows(topology: Topology) -> _Rows:
    tree = spanning_tree(topology)
    below: list[list[int]] = [[] for _ in range(topology.n_bus)]
    for bus in tree.order[1:]:
        below[tree.parent[bus]].append(int(bus))
    order, waiting = [], [topology.slack]
    while waiting:
        order.append(waiting.pop())
        waiting += reversed(below[order[-1]])
    row = np.empty(topology.n_bus, np.int32)
    row[order] = np.arange(topology.n_bus)
    above = np.append(np.int32(0), row[tree.parent[order[1:]]])
    row = row[topology.non_slack]
    last = np.zeros(topology.n_bus, np.int32)  # row that hangs on each, 0 at an end
    last[above[1:]] = np.arange(1, topology.n_bus)
    branches, adds = (last > 0).astype(np.float32), (last[above] != np.arange(topology.n_bus)).astype(np.float32)
    # all of 32 bits: JAX 0.10.2 mixes up the precisions of programs that share a NumPy array of 64
    bus, branch = (part.astype(np.int32) for part in (np.argsort(row), tree.parent_branch[order[1:]]))
    return _Rows(above, row, bus, branch, branches, adds)


_names: dict[np.dtype[Any], str] = {}
_one_at_a_time = Lock()


def _registered(dtype: np.dtype[Any]) -> str:
    """Compile and register the kernel of one precision when it is first asked for; its name."""
    with _one_at_a_time:  # threads trace at the same time
        if dtype not in _names:
            name, in_p = f"neomflex_sweep_{dtype.name}", OPERANDS.index("p")
            register(name, write_kernel(dtype), len(OPERANDS), ((in_p, 0), (in_p, 1)))
            _names[dtype] = name
        return _names[dtype]
