"""AC power flow where more voltages than the slack's are held, by generators or by further external grids.

    p + jq = v conj(Y v),  v = vm e^{j va}

per unit, with Y the bus admittances and p + jq what is injected. Unknown are va at every bus but those of external
grids, and vm at every bus that nothing holds; q of a generator, and p and q of an external grid, follow from v.
Newton's method in polar form, started from the angles of the DC power flow: W. F. Tinney, C. E. Hart, "Power flow
solution by Newton's method", IEEE Trans. Power Apparatus and Systems 86, 1967. `ac` and `newton` both take it, for the
impedances on which they iterate elsewhere belong to a feeder with one slack.

The Jacobian is written down and factorised, some (2 n_bus)^2 numbers a case. Limits of q are not enforced, as
`pandapower.runpp` does not by default. Derivatives come from the implicit function theorem at the solution.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from neomflex_jax.powerflow.methods.results import assemble, at_voltage, branch_currents, charging_losses, series_losses
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.result import PowerFlowResult
from neomflex_jax.powerflow.stopping import AcConfig

RESISTIVE = 1e-3  # share of r below which x says nothing of a branch's flow
MOST_STEPS = 30  # Newton's method needs five or so; what it has not found then, it will not find


def solve_held(
    grid: PerUnitFeeder, p_injection_mw: Array, q_injection_mvar: Array, config: AcConfig
) -> PowerFlowResult:
    """Solve one case, shapes (n_bus,); what generators produce comes on top of the injections."""
    assert grid.held is not None
    n, base = grid.topology.n_bus, grid.s_base_mva
    bus, at_slack = np.array(grid.held.bus), np.array(grid.held.is_slack)
    angle_given, vm_given = np.zeros(n, bool), np.zeros(n, bool)
    angle_given[[grid.topology.slack, *bus[at_slack]]] = True
    vm_given[[grid.topology.slack, *bus]] = True
    dtype = p_injection_mw.dtype
    vm_set = jnp.ones(n, dtype).at[grid.topology.slack].set(grid.slack_vm).at[bus].set(grid.held.vm_pu)
    va_set = jnp.zeros(n, dtype).at[bus].set(jnp.deg2rad(grid.held.va_degree))
    produced = jnp.zeros(n, dtype).at[bus].set(grid.held.p_mw) / base
    p_nominal, q_nominal = p_injection_mw / base, q_injection_mvar / base
    y = bus_admittances(grid)

    def injected(x: Array) -> tuple[Array, Array]:
        p, q = at_voltage(grid.dependence, p_nominal, q_nominal, x[n:])
        return p + produced, q

    def powers(x: Array) -> Array:
        v = x[n:] * jnp.exp(1j * x[:n])
        return v * jnp.conj(y @ v)

    def unbalance(x: Array) -> Array:
        s, (p, q) = powers(x), injected(x)
        return jnp.concatenate(
            [jnp.where(angle_given, x[:n] - va_set, s.real - p), jnp.where(vm_given, x[n:] - vm_set, s.imag - q)]
        )

    start = jnp.concatenate([_lossless_angles(grid, p_nominal + produced, va_set, angle_given), vm_set])
    x, (converged, steps) = lax.custom_root(unbalance, start, _newton(config, dtype), _solve_linear, has_aux=True)
    s, (p, q) = powers(x), injected(x)
    found_q = jnp.where(vm_given & ~angle_given, s.imag, q)
    off_p, off_q = jnp.where(angle_given, 0.0, s.real - p), jnp.where(vm_given, 0.0, s.imag - q)
    v = x[n:] * jnp.exp(1j * x[:n])
    j = _series_currents(grid, v)
    series, charging = series_losses(grid, j.real, j.imag), charging_losses(grid, v.real, v.imag)
    others = grid.topology.non_slack
    return assemble(
        grid,
        vm=x[n:],
        va=jnp.mod(x[:n] + jnp.pi, 2 * jnp.pi) - jnp.pi,
        loss=series[0] + charging[0],
        q_loss=series[1] + charging[1],
        p_total=jnp.sum(p[others]),
        q_total=jnp.sum(found_q[others]),
        current=branch_currents(grid, v.real, v.imag, j.real, j.imag),
        converged=converged > 0,
        residual_mva=jnp.max(jnp.sqrt(off_p**2 + off_q**2)) * base,
        iterations=steps.astype(jnp.int32),
    )


def bus_admittances(grid: PerUnitFeeder) -> Array:
    """Y of the whole grid, shunts and charging included, complex, (n_bus, n_bus)."""
    topology, n = grid.topology, grid.topology.n_bus
    start, end = np.array(topology.from_bus), np.array(topology.to_bus)
    series, ratio = _series_admittances(grid), _from_ratio(grid)
    half = 0.0 if grid.charging is None else grid.charging[0] + 1j * grid.charging[1]
    y = jnp.zeros((n, n), series.dtype)
    y = y.at[start, start].add(jnp.abs(ratio) ** 2 * (series + half)).at[end, end].add(series + half)
    y = y.at[start, end].add(-jnp.conj(ratio) * series).at[end, start].add(-ratio * series)
    if grid.shunt is not None:
        y = y.at[np.arange(n), np.arange(n)].add(grid.shunt[0] + 1j * grid.shunt[1])
    return y


def _series_admittances(grid: PerUnitFeeder) -> Array:
    """1 / (r + jx), (n_branch,), 0 where the branch is open."""
    closed = np.array(grid.topology.in_service)
    return jnp.where(closed, 1.0 / (jnp.where(closed, grid.r, 1.0) + 1j * grid.x), 0.0)


def _from_ratio(grid: PerUnitFeeder) -> Array:
    """Voltage behind the ideal transformer at the from end over that bus's, complex, (n_branch,)."""
    return jnp.ones_like(grid.r) + 0j if grid.from_ratio is None else grid.from_ratio[0] + 1j * grid.from_ratio[1]


def _series_currents(grid: PerUnitFeeder, v: Array) -> Array:
    start, end = np.array(grid.topology.from_bus), np.array(grid.topology.to_bus)
    return (_from_ratio(grid) * v[start] - v[end]) * _series_admittances(grid)


def _lossless_angles(grid: PerUnitFeeder, p: Array, va_set: Array, angle_given: np.ndarray) -> Array:
    """Angles of the DC power flow, (n_bus,); a branch with next to no reactance counts by its resistance."""
    topology, n = grid.topology, grid.topology.n_bus
    start, end = np.array(topology.from_bus), np.array(topology.to_bus)
    x = jnp.where(jnp.abs(grid.x) < RESISTIVE * jnp.abs(grid.r), grid.r, grid.x)
    closed, ratio = np.array(topology.in_service), _from_ratio(grid)
    b = jnp.where(closed, jnp.abs(ratio) / jnp.where(closed, x, 1.0), 0.0)
    turned = -jnp.angle(ratio) * b
    rows = jnp.zeros((n, n), p.dtype).at[start, start].add(b).at[end, end].add(b)
    rows = rows.at[start, end].add(-b).at[end, start].add(-b)
    if grid.shunt is not None:  # at 1 pu; where loads are stated as shunts, case145's, no start without them is near
        p = p - grid.shunt[0]
    given = jnp.where(angle_given, va_set, p.at[start].add(turned).at[end].add(-turned))
    return jnp.linalg.solve(jnp.where(angle_given[:, None], jnp.eye(n, dtype=p.dtype), rows), given)


def _newton(config: AcConfig, dtype: jnp.dtype) -> Callable[..., tuple[Array, tuple[Array, Array]]]:
    """Make the function that goes Newton's steps from a start until one is so short that the next is the last.

    A step of size d leaves an error of some d^2: after one below the root of the tolerance, one more is gone.
    """
    short, most = config.tolerance(dtype) ** 0.5, min(config.max_iterations, MOST_STEPS)

    def solve(unbalance: Callable[[Array], Array], start: Array) -> tuple[Array, tuple[Array, Array]]:
        def keep_going(carry: tuple[Array, Array, Array, Array]) -> Array:
            _, _, before, count = carry
            return (before > short) & (count < most)  # a NaN stops

        def body(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            x, last, _, count = carry
            step = jnp.linalg.solve(jax.jacfwd(unbalance)(x), unbalance(x))
            return x - step, jnp.max(jnp.abs(step)), last, count + 1

        far = jnp.full((), jnp.inf, start.dtype)
        x, last, _, count = lax.while_loop(keep_going, body, (start, far, far, jnp.zeros((), start.dtype)))
        ok = (last <= short) & jnp.all(x[len(x) // 2 :] > 0)
        return x, (ok.astype(start.dtype), count)

    return solve


def _solve_linear(linear: Callable[[Array], Array], right_side: Array) -> Array:
    return jnp.linalg.solve(jax.jacfwd(linear)(jnp.zeros_like(right_side)), right_side)
