"""A feeder in per unit, in the shape that all methods share.

For a radial feeder with path matrix ``T`` (buses x branches, see `grid.feeder.path_matrix`) and branch impedances
``z = r + jx``, the bus impedance matrix without the slack is ``Z = T diag(z) T'``, and the branch currents are
``-T' i`` for bus current injections ``i`` (positive into the grid). Source: R. D. Zimmerman, "Comprehensive
distribution power flow", PhD thesis, Cornell, 1995; the matrix is the BIBC/BCBV product of J.-H. Teng, IEEE Trans.
Power Delivery 18(3), 2003.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from neomflex_jax.grid.feeder import STATIC, Feeder, HostArray, Topology, path_matrix
from neomflex_jax.powerflow.result import PowerFlowResult


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class PerUnitFeeder:
    """Per-unit impedances and the matrices made from them; n = n_bus - 1 buses without the slack."""

    r: HostArray  # (n_branch,)
    x: HostArray  # (n_branch,)
    r_bus: HostArray  # (n, n) real part of the bus impedance matrix
    x_bus: HostArray  # (n, n) imaginary part
    path: HostArray  # (n, n_branch)
    slack_vm: HostArray  # ()
    i_base_ka: HostArray  # ()
    max_i_ka: HostArray  # (n_branch,)
    topology: Topology = field(metadata=STATIC)
    s_base_mva: float = field(metadata=STATIC)

    def without_slack(self, injection: Array) -> Array:
        """Bus injections in per unit, without the slack's entry, shape (n,)."""
        slack = self.topology.slack
        return jnp.concatenate([injection[:slack], injection[slack + 1 :]]) / self.s_base_mva

    def with_slack(self, values: Array, slack_value: ArrayLike) -> Array:
        """Put the slack's value back in its place, shape (n_bus,)."""
        slack = self.topology.slack
        parts = (values[:slack], jnp.asarray(slack_value, values.dtype)[None], values[slack:])
        return jnp.concatenate(parts)

    def branch_flow(self, injection: Array) -> Array:
        """Flow in each branch, from -> to, that balances the bus injections below it, shape (n_branch,)."""
        return -(injection @ self.path)


def per_unit(feeder: Feeder) -> PerUnitFeeder:
    """Convert to per unit once, at the entrance of the power flow.

    Computes in float64 on the host while the feeder's arrays are NumPy arrays, and inside jit when they are traced; the
    result is in JAX's precision of the moment.
    """
    z_base_ohm = feeder.vn_kv**2 / feeder.s_base_mva
    path = path_matrix(feeder.topology)
    r, x = feeder.r_ohm / z_base_ohm, feeder.x_ohm / z_base_ohm
    grid = PerUnitFeeder(
        r=r,
        x=x,
        r_bus=path @ (r[:, None] * path.T),
        x_bus=path @ (x[:, None] * path.T),
        path=path,
        slack_vm=feeder.slack_vm_pu,
        i_base_ka=feeder.s_base_mva / (np.sqrt(3.0) * feeder.vn_kv),
        max_i_ka=feeder.max_i_ka,
        topology=feeder.topology,
        s_base_mva=feeder.s_base_mva,
    )
    return jax.tree.map(jnp.asarray, grid)


def injected_current(p: Array, q: Array, vr: Array, vi: Array) -> tuple[Array, Array]:
    """Real and imaginary current of a constant-power injection: i = conj(s / v)."""
    scale = 1.0 / (vr * vr + vi * vi)
    return (p * vr + q * vi) * scale, (p * vi - q * vr) * scale


def root(squared: Array) -> Array:
    """Square root with a derivative of 0 at 0 (an open branch, an unloaded one) instead of an infinite one."""
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)


def root_or_nan(squared: Array) -> Array:
    """Square root, NaN below 0; derivatives there are 0, so that a caller who masks the NaN gets finite gradients."""
    return jnp.where(squared > 0, root(squared), jnp.nan)


def sweep_mismatch_mva(grid: PerUnitFeeder, p: Array, q: Array, vr: Array, vi: Array) -> Array:
    """Largest bus power that is out of balance after a fixed-point sweep from a voltage profile v.

    The currents ``i = conj(s / v)`` and the voltages ``v' = v0 + Z i`` that they produce satisfy the network's
    equations exactly; the bus powers ``v' conj(i)`` miss the given s by ``(v' - v) conj(i)``.
    """
    ir, ii = injected_current(p, q, vr, vi)
    dr = grid.slack_vm + grid.r_bus @ ir - grid.x_bus @ ii - vr
    di = grid.x_bus @ ir + grid.r_bus @ ii - vi
    return jnp.max(jnp.sqrt((dr * dr + di * di) * (ir * ir + ii * ii))) * grid.s_base_mva


def voltage_mismatch_mva(grid: PerUnitFeeder, p: Array, q: Array, vm: Array, va: Array) -> Array:
    """Largest bus mismatch ``|s - v conj(Y v)|`` of a given voltage profile, branch by branch.

    In float32 rounding of v alone makes about 1e-4 MVA on short branches; the linear methods miss by more.
    """
    topology = grid.topology
    vr = grid.with_slack(vm * jnp.cos(va), grid.slack_vm)
    vi = grid.with_slack(vm * jnp.sin(va), 0.0)
    closed = np.array(topology.in_service)
    ends = np.eye(topology.n_bus)[list(topology.from_bus)] - np.eye(topology.n_bus)[list(topology.to_bus)]
    ends = ends * closed[:, None]
    squared = jnp.where(closed, grid.r**2 + grid.x**2, 1.0)
    dr, di = ends @ vr, ends @ vi
    ir = ends.T @ ((dr * grid.r + di * grid.x) / squared)
    ii = ends.T @ ((di * grid.r - dr * grid.x) / squared)
    others = topology.non_slack
    missing_p = p - (vr * ir + vi * ii)[others]
    missing_q = q - (vi * ir - vr * ii)[others]
    return jnp.max(jnp.sqrt(missing_p**2 + missing_q**2)) * grid.s_base_mva


def linear_result(
    grid: PerUnitFeeder, p: Array, q: Array, *, vm: Array, va: Array, loss: Array, q_loss: Array
) -> PowerFlowResult:
    """Assemble the answer of a method that does not iterate, from voltages and losses in per unit.

    Branch currents come from the lossless flows at the slack's voltage, as in LinDistFlow.
    """
    flow_p, flow_q = grid.branch_flow(p), grid.branch_flow(q)
    current = root(flow_p**2 + flow_q**2) / grid.slack_vm
    return assemble(
        grid,
        vm=vm,
        va=va,
        loss=loss,
        slack_p=loss - jnp.sum(p),
        slack_q=q_loss - jnp.sum(q),
        current=current,
        converged=jnp.all(jnp.isfinite(vm)) & jnp.isfinite(loss) & jnp.all(vm > 0),
        residual_mva=voltage_mismatch_mva(grid, p, q, vm, va),
        iterations=jnp.zeros((), jnp.int32),
    )


def assemble(
    grid: PerUnitFeeder,
    *,
    vm: Array,
    va: Array,
    loss: Array,
    slack_p: Array,
    slack_q: Array,
    current: Array,
    converged: Array,
    residual_mva: Array,
    iterations: Array,
) -> PowerFlowResult:
    """Turn per-unit answers, slack left out, into a `PowerFlowResult`."""
    branch_i_ka = current * grid.i_base_ka
    return PowerFlowResult(
        vm_pu=grid.with_slack(vm, grid.slack_vm),
        va_degree=grid.with_slack(jnp.rad2deg(va), 0.0),
        loss_mw=loss * grid.s_base_mva,
        slack_p_mw=slack_p * grid.s_base_mva,
        slack_q_mvar=slack_q * grid.s_base_mva,
        branch_i_ka=branch_i_ka,
        branch_loading_percent=100.0 * branch_i_ka / grid.max_i_ka,
        converged=converged,
        residual_mva=residual_mva,
        iterations=iterations,
    )
