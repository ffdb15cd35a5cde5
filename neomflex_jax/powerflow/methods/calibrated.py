"""LinDistFlow with the losses put back, every branch's fitted to AC power flows: the surrogate to train on.

    J    lossless branch currents, LinDistFlow's
    l_b = |J_b|^2 (a_b + b_b Re J_b + c_b Im J_b)                   squared current of branch b
    v^2 = lindistflow(s - l),  l at a bus = half of ``z_b l_b`` of every branch that ends there

per unit, injections s positive into the grid, z = r + jx. On a radial feeder the last line is exact for the true l: it
is the DistFlow equation (M. E. Baran, F. F. Wu, IEEE Trans. Power Delivery 4(1), 1989) summed along the tree. In the
true l stands 1 / v^2 and what is lost further down, both nearly linear in the branch's own flow where injections move
together: so a, b and c are fitted to `ac` on given injections, branch by branch (`calibrated_fit.py`); LinDistFlow has
a = 1, b = c = 0. Losses are the sum of ``z_b l_b``, currents the root of l. Shunts and charging draw what they draw at
the samples' mean voltages. Angles are LinDistFlow's of the same injections.

Neglected: how l depends on the flows elsewhere. Good on injections like those it was fitted to, and nowhere else: fit
it on the scenario's own. Its errors have both signs, and an optimiser finds those that flatter it. Not for final
numbers; validate against AC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from neomflex_jax.grid.parts import STATIC
from neomflex_jax.grid.topology import Topology
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow.methods.lindistflow import squared_voltages
from neomflex_jax.powerflow.methods.linear import enter_linear, keep_voltages, linear_flows, linear_result, with_slack
from neomflex_jax.powerflow.methods.method import Method
from neomflex_jax.powerflow.methods.needs import GENERATORS
from neomflex_jax.powerflow.methods.results import root, root_or_nan
from neomflex_jax.powerflow.network.dense import DenseNetwork
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.piece_sizes import PieceSizes, product_sizes, sweep_sizes
from neomflex_jax.powerflow.result import PowerFlowResult
from neomflex_jax.powerflow.sweeps.door import (
    Sweep,
    calibrated_by_sweeps,
    calibrated_fused,
    can_sweep,
    only_accelerators,
)

Case = tuple[PerUnitFeeder, "Calibrated", Array, Array]  # with p and q injections, (n_bus,)
Voltages = tuple[Array, Array, Array, Array]  # magnitudes (n_bus,), active and reactive losses (), solved () bool


# what the sweep writes: all else of a result needs the products' arrays
SWEPT_FIELDS = {"vm_pu", "loss_mw", "slack_p_mw", "slack_q_mvar", "converged", "iterations"}


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Calibrated(Method):
    """LinDistFlow with fitted losses; what it was fitted to is per unit."""

    name: str = field(default="calibrated", kw_only=True, metadata=STATIC)
    can = frozenset({GENERATORS})
    fitted = True
    sweep = Sweep.CALIBRATED
    gain: Array  # (3, n_branch) a, b, c
    vm_squared: Array  # (n_bus - 1,) squared magnitudes of u at which shunts and charging draw

    __repr__ = one_line

    def piece_sizes(self, grid: PerUnitFeeder, fields: tuple[str, ...] | None) -> PieceSizes:
        """Sizes in which a CPU solves a batch; where the sweep writes all `fields`, there is nothing beside it."""
        if not grid.swept:
            return product_sizes(grid, iterates=False)
        return sweep_sizes(grid, sweep_is_all=fields is not None and {*fields} <= SWEPT_FIELDS)

    def solve(self, grid: PerUnitFeeder, p_injection_mw: Array, q_injection_mvar: Array) -> PowerFlowResult:
        """Solve one case, shapes (n_bus,)."""
        voltages, va, current, added = solve_by_products(grid, self, p_injection_mw, q_injection_mvar)
        if can_sweep(grid, self.sweep, p_injection_mw.dtype) or only_accelerators(grid):  # XLA drops what nobody reads
            voltages = _by_sweeps(grid, self, p_injection_mw, q_injection_mvar)
        vm, loss, q_loss, solved = voltages
        return linear_result(
            grid,
            p_injection_mw,
            q_injection_mvar,
            vm=vm,
            va=va,
            loss=loss,
            q_loss=q_loss,
            current=current,
            converged=solved,
            added=added,
        )


def solve_by_products(
    grid: PerUnitFeeder, fit: Calibrated, p_injection_mw: Array, q_injection_mvar: Array
) -> tuple[Voltages, Array, tuple[Array, Array], Array | None]:
    """Solve one case with the network's products.

    Returns
    -------
    voltages, va, current, added
        Also the angles (n_bus,), the branches' currents (n_branch,) and the generators' reactive power (n_generator,).
    """
    p, q = enter_linear(grid, p_injection_mw, q_injection_mvar, fit.vm_squared)
    jr, ji = linear_flows(grid, p, keep_voltages(grid, p, q)[0])
    gain = fit.gain[0] + fit.gain[1] * jr + fit.gain[2] * ji
    squared = (jr**2 + ji**2) * gain
    p_loss, q_loss = grid.r * squared, grid.x * squared
    p, q = p - _half_at_ends(grid, p_loss), q - _half_at_ends(grid, q_loss)
    q, added = keep_voltages(grid, p, q)
    vm_squared, va = squared_voltages(grid, p, q)
    vm, va, solved = with_slack(grid, root_or_nan(vm_squared), va)
    return (vm, jnp.sum(p_loss), jnp.sum(q_loss), solved), va, (jr * root(gain), ji * root(gain)), added


def _half_at_ends(grid: PerUnitFeeder, values: Array) -> Array:
    """Half of every branch's value, (n_branch,), added up at the buses where it ends, in the network's layout."""
    if isinstance(grid.network, DenseNetwork):
        return grid.network.enter(values @ _ends(grid.topology).astype(values.dtype))
    start, end = np.array(grid.topology.from_bus), np.array(grid.topology.to_bus)
    at_bus = jnp.zeros(grid.topology.n_bus, values.dtype).at[start].add(0.5 * values).at[end].add(0.5 * values)
    return grid.network.enter(at_bus[grid.topology.non_slack])


@lru_cache(maxsize=32)
def _ends(topology: Topology) -> np.ndarray:
    """Matrix (n_branch, n_bus - 1) with a half where a branch ends."""
    ends, branch = np.zeros((topology.n_branch, topology.n_bus), np.float32), np.arange(topology.n_branch)
    ends[branch, np.array(topology.from_bus)] += 0.5
    ends[branch, np.array(topology.to_bus)] += 0.5
    return ends[:, topology.non_slack]


def _by_products(grid: PerUnitFeeder, fit: Calibrated, p_injection_mw: Array, q_injection_mvar: Array) -> Voltages:
    """Solve cases of any leading axes."""

    def solve(p: Array, q: Array) -> Voltages:
        return solve_by_products(grid, fit, p, q)[0]

    for _ in p_injection_mw.shape[:-1]:
        solve = jax.vmap(solve)
    return solve(p_injection_mw, q_injection_mvar)


@jax.custom_jvp
def _by_sweeps(grid: PerUnitFeeder, fit: Calibrated, p_injection_mw: Array, q_injection_mvar: Array) -> Voltages:
    """Solve one case; `vmap` over the injections becomes one call, and derivatives are those of the products."""
    return _batched(grid, fit, p_injection_mw, q_injection_mvar)


@_by_sweeps.defjvp
def _derivative(primals: Case, tangents: Case) -> tuple[Voltages, Voltages]:
    _, change = jax.jvp(_by_products, primals, tangents)
    return _by_sweeps(*primals), change


@jax.custom_batching.custom_vmap
def _batched(grid: PerUnitFeeder, fit: Calibrated, p_injection_mw: Array, q_injection_mvar: Array) -> Voltages:
    forms: dict[str, Callable[..., Voltages]] = {"cuda": partial(calibrated_fused, _by_products)}
    if not only_accelerators(grid):
        forms["cpu"] = _on_cpu
    return lax.platform_dependent(grid, fit, p_injection_mw, q_injection_mvar, **forms, default=_by_products)


def _on_cpu(grid: PerUnitFeeder, fit: Calibrated, p_injection_mw: Array, q_injection_mvar: Array) -> Voltages:
    return calibrated_by_sweeps(grid, fit.gain, fit.vm_squared, p_injection_mw, q_injection_mvar)


@_batched.def_vmap
def _rule(
    axis_size: int,
    in_batched: tuple[PerUnitFeeder, Calibrated, bool, bool],
    grid: PerUnitFeeder,
    fit: Calibrated,
    p: Array,
    q: Array,
) -> tuple[Voltages, tuple[bool, ...]]:
    model_batched, (p_batched, q_batched) = in_batched[:2], in_batched[2:]
    if any(jax.tree.leaves(model_batched)):  # every case its own impedances
        axes = jax.tree.map(lambda batched: 0 if batched else None, in_batched)
        return jax.vmap(_by_products, in_axes=tuple(axes))(grid, fit, p, q), (True,) * 4
    p = p if p_batched else jnp.broadcast_to(p, (axis_size, *p.shape))
    q = q if q_batched else jnp.broadcast_to(q, (axis_size, *q.shape))
    return _batched(grid, fit, p, q), (True,) * 4
