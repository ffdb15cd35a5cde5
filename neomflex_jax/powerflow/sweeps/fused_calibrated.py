"""`calibrated` on a tree as one kernel of an accelerator: one sweep back and one forth, as in `calibrated_kernel.py`.

    backward, from the ends:    S_k = s_k + sum of the S below              flows without losses
                                l_k = |S_k|^2 (a_k + b_k P_k + c_k Q_k)     squared current
                                L_k = z_k l_k + sum of the L below          losses at and below the branch
    forward, from the slack:    v_k^2 = v_above^2 + 2 Re(z_k conj(S_k - L_k)) + |z_k|^2 l_k

S is positive towards the slack. It reads the injections and writes the voltages, 12 bytes a bus; the rows are those of
`fused_rows.py`. Derivatives are those of the products.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.sweeps.depth_first import depth_first
from neomflex_jax.powerflow.sweeps.fused_rows import (
    LANES,
    PLACE,
    Rows,
    Sums,
    backward,
    forward,
    fused_call,
    rows_of_cases,
    tiles,
    tree_of,
)
from neomflex_jax.powerflow.sweeps.row_coefficients import coefficients

OWN_P, OWN_Q, R, X, HALF_Z_SQUARED, A, B, C, SLACK_VM, PER_BASE = range(10)  # of a row, as `calibrated_kernel` has them
N_SCRATCH = 5  # four sums, of which the first is also v^2's, and half the change of v^2


def solve_fused(
    grid: PerUnitFeeder,
    gain: Array,
    vm_squared: Array,
    p_injection_mw: Array,
    q_injection_mvar: Array,
    *,
    interpret: bool = False,
) -> tuple[Array, Array, Array, Array]:
    """Solve cases of injections, shapes (..., n_bus), with `Calibrated`'s arrays.

    Returns
    -------
    vm, loss, q_loss, solved
        Magnitudes of u, shapes (..., n_bus), and of each case the losses per unit and whether all its magnitudes are
        real, shapes (...).
    """
    p, q = p_injection_mw, q_injection_mvar
    tree, n, dtype, axes = depth_first(grid.topology), p.shape[-1], np.dtype(p.dtype), p.shape[:-1]
    by_row = [jnp.pad(jnp.asarray(part, dtype), (1, 0)) for part in coefficients(grid, gain, vm_squared)]
    by_row += [jnp.full(n, value, dtype) for value in (grid.slack_vm, 1.0 / grid.s_base_mva)]
    p, q = rows_of_cases(p), rows_of_cases(q)
    shapes = [(p.shape, dtype), *[(p.shape[1:], dtype)] * 2, (p.shape[1:], np.int32)]
    results = tuple(jax.ShapeDtypeStruct(shape, kind) for shape, kind in shapes)  # type: ignore[no-untyped-call]
    shared = tree_of(grid.topology, np.argsort(tree.row), np.append(0, tree.branch)), jnp.stack(by_row)
    found = fused_call(_kernel, shared, (p, q), results, N_SCRATCH, interpret)
    vm, loss, q_loss, solved = (part[..., : math.prod(axes)] for part in found)
    return vm.T.reshape(*axes, n), loss.reshape(axes), q_loss.reshape(axes), solved.reshape(axes) > 0


def _kernel(
    tree: Rows,
    numbers: Rows,
    p: Rows,
    q: Rows,
    vm: Rows,
    loss: Rows,
    q_loss: Rows,
    solved: Rows,
    *scratch: Rows,
) -> None:
    """Solve this program's tiles."""
    *sums, half_change = scratch

    def tile(cases: object) -> None:
        def pass_branch(row: Array, below: Sums) -> Sums:
            place, (p_flow, q_flow, lost, q_lost) = tree[PLACE, row], below
            r, x = numbers[R, row], numbers[X, row]
            p_flow += p[place, cases] * numbers[PER_BASE, row] + numbers[OWN_P, row]
            q_flow += q[place, cases] * numbers[PER_BASE, row] + numbers[OWN_Q, row]
            gain = numbers[A, row] + numbers[B, row] * p_flow + numbers[C, row] * q_flow
            squared = (p_flow * p_flow + q_flow * q_flow) * gain
            half_change[row, :] = r * (p_flow - lost) + x * (q_flow - q_lost) - numbers[HALF_Z_SQUARED, row] * squared
            return p_flow, q_flow, lost + r * squared, q_lost + x * squared

        def voltage(row: Array, above: Sums, kept: Sums) -> tuple[Sums, Sums]:
            squared = above[0] + 2.0 * half_change[row, :]
            is_real = squared > 0.0
            found = jnp.where(is_real, jnp.sqrt(squared), jnp.nan)
            vm[tree[PLACE, row], cases] = found
            return (squared,), (jnp.where(is_real & (found < jnp.inf), kept[0], 0),)

        _, _, loss[cases], q_loss[cases] = backward(tree, sums, pass_branch)
        slack_vm = jnp.full(LANES, numbers[SLACK_VM, 0])
        vm[tree[PLACE, 0], cases] = slack_vm
        everywhere = (jnp.ones(LANES, jnp.int32),)
        (solved[cases],) = forward(tree, sums[:1], voltage, (slack_vm * slack_vm,), everywhere)

    tiles(p.shape[1], tile)
