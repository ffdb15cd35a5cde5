"""From a method's voltages and currents, in per unit and scaled, to a `PowerFlowResult` in the user's units.

Losses of a radial grid need no branch flow: with ``u - w = Z i`` they are ``sum over branches of z |J|^2 = i* Z i``,
the sum of ``(u - w) conj(i)`` over the buses, i all that flows into the network at a bus.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder, Polynomial
from neomflex_jax.powerflow.result import PowerFlowResult


def injected_current(p: Array, q: Array, ur: Array, ui: Array) -> tuple[Array, Array]:
    """Real and imaginary current of a constant-power injection: i = conj(s / u)."""
    scale = 1.0 / (ur * ur + ui * ui)
    return (p * ur + q * ui) * scale, (p * ui - q * ur) * scale


def at_voltage(
    dependence: tuple[Polynomial, Polynomial] | None,
    p: Array,
    q: Array,
    vm: Array,
    steady: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """What is injected at scaled voltages of magnitude vm, of p and q stated at 1 pu; the arrays in one layout.

    `steady` is the part of p and of q that follows no voltage.
    """
    if dependence is None:
        return p, q
    (p0, p1, p2), (q0, q1, q2) = dependence
    of_p, of_q = p0 + p1 * vm + p2 * vm**2, q0 + q1 * vm + q2 * vm**2
    if steady is None:
        return p * of_p, q * of_q
    return steady[0] + (p - steady[0]) * of_p, steady[1] + (q - steady[1]) * of_q


def bus_current(grid: PerUnitFeeder, p: Array, q: Array, ur: Array, ui: Array) -> tuple[Array, Array]:
    """Everything that flows into the network at a bus, i = conj(s / u) - y u; all in the network's layout."""
    if grid.dependence is not None:
        follows = jax.tree.map(lambda values: grid.network.aligned(values, ur), (grid.dependence, grid.steady))
        p, q = at_voltage(follows[0], p, q, jnp.sqrt(ur * ur + ui * ui), follows[1])
    ir, ii = injected_current(p, q, ur, ui)
    if grid.bus_admittance is None:
        return ir, ii
    g, b = (grid.network.aligned(part, ur) for part in grid.bus_admittance)
    return ir - (g * ur - b * ui), ii - (g * ui + b * ur)


def root(squared: Array) -> Array:
    """Square root with a derivative of 0 at 0 (an open branch, an unloaded one) instead of an infinite one."""
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)


def root_or_nan(squared: Array) -> Array:
    """Square root, NaN below 0; derivatives there are 0, so that a caller who masks the NaN gets finite gradients."""
    return jnp.where(squared > 0, root(squared), jnp.nan)


def exact_result(
    grid: PerUnitFeeder, p: Array, q: Array, rise_r: Array, rise_i: Array, *, converged: Array, iterations: Array
) -> PowerFlowResult:
    """Make an exact method's result from p, q and the rise u - w of one case, all without the slack, (n_bus - 1,)."""
    network = grid.network
    wr, wi = (network.leave(part) for part in grid.no_load())
    ur, ui = wr + rise_r, wi + rise_i
    if grid.dependence is not None:
        dependence, steady = jax.tree.map(network.leave, (grid.dependence, grid.steady))
        p, q = at_voltage(dependence, p, q, jnp.sqrt(ur * ur + ui * ui), steady)
    ir, ii = own_r, own_i = injected_current(p, q, ur, ui)
    if grid.bus_admittance is not None:
        g, b = (network.leave(part) for part in grid.bus_admittance)
        ir, ii = own_r - (g * ur - b * ui), own_i - (g * ui + b * ur)
    inner_r, inner_i = network.enter(ir), network.enter(ii)
    jr, ji = network.flows(*grid.carried(inner_r, inner_i))
    dr, di = (network.leave(part) for part in grid.drop(inner_r, inner_i))
    off = (dr - rise_r) ** 2 + (di - rise_i) ** 2
    full_r, full_i = grid.with_slack(ur, grid.slack_vm), grid.with_slack(ui, 0.0)
    if grid.topology.is_radial:
        loss, q_loss = jnp.sum(rise_r * ir + rise_i * ii), jnp.sum(rise_i * ir - rise_r * ii)
    else:
        loss, q_loss = series_losses(grid, jr, ji)
    charging_loss, charging_q = charging_losses(grid, full_r, full_i)
    return assemble(
        grid,
        vm=jnp.sqrt(full_r**2 + full_i**2),
        va=jnp.arctan2(full_i, full_r),
        loss=loss + charging_loss,
        q_loss=q_loss + charging_q,
        p_total=jnp.sum(p),
        q_total=jnp.sum(q),
        current=branch_currents(grid, full_r, full_i, jr, ji),
        converged=converged,
        # u' = w + Z i obeys the network; its bus powers u' conj(i) miss s by (u' - u) conj(i)
        residual_mva=jnp.max(jnp.sqrt(off * (own_r**2 + own_i**2))) * grid.s_base_mva,
        iterations=iterations,
    )


def series_losses(grid: PerUnitFeeder, jr: Array, ji: Array) -> tuple[Array, Array]:
    """Active and reactive consumption of the series impedances from their currents, (n_branch,), per unit."""
    series = jr**2 + ji**2
    return series @ grid.r, series @ grid.x


def charging_losses(grid: PerUnitFeeder, ur: Array, ui: Array) -> tuple[Array, Array]:
    """Active and reactive consumption of the branches' charging at voltages u, (n_bus,), per unit."""
    if grid.charging is None:
        return jnp.zeros_like(ur[0]), jnp.zeros_like(ur[0])
    fr, fi, tr, ti = _branch_voltages(grid, ur, ui)
    squared = fr**2 + fi**2 + tr**2 + ti**2
    return squared @ grid.charging[0], -squared @ grid.charging[1]


def branch_currents(
    grid: PerUnitFeeder,
    ur: Array,
    ui: Array,
    jr: Array,
    ji: Array,
    arriving: tuple[Array, Array] | None = None,
) -> Array:
    """Magnitude of the larger end's current, (n_branch,).

    From voltages u (n_bus,) and the currents j of the series impedances, from -> to, (n_branch,), all per unit; what
    arrives of them at the to ends, where that is another.
    """
    ar, ai = (jr, ji) if arriving is None else arriving
    if grid.charging is None and arriving is not None:
        ends, larger = ((jr, ji), arriving), _larger(grid.from_current, (jr, ji), arriving)
    elif grid.charging is None:
        factor = 1.0 if grid.from_current is None else jnp.maximum(1.0, grid.from_current)
        ends, larger = ((jr, ji), (jr, ji)), root(jr**2 + ji**2) * factor
    else:
        g, b = grid.charging
        fr, fi, tr, ti = _branch_voltages(grid, ur, ui)
        from_end = jr + g * fr - b * fi, ji + g * fi + b * fr
        to_end = ar - g * tr + b * ti, ai - g * ti - b * tr
        ends, larger = (from_end, to_end), _larger(grid.from_current, from_end, to_end)
    if grid.rated_ends is None:
        return larger
    start, end = np.array(grid.topology.from_bus), np.array(grid.topology.to_bus)
    u, rows = jax.lax.complex(ur, ui), np.array(grid.rated_ends.branch)
    ratio = jnp.ones_like(jr) + 0j if grid.from_ratio is None else jax.lax.complex(*grid.from_ratio)
    carried = grid.rated_ends.currents((u[start], u[end]), ratio, *(jax.lax.complex(*part) for part in ends))
    from_current = None if grid.from_current is None else grid.from_current[rows]
    return larger.at[rows].set(_larger(from_current, *((part.real, part.imag) for part in carried)))


def _larger(from_current: Array | None, from_end: tuple[Array, Array], to_end: tuple[Array, Array]) -> Array:
    """Magnitude of the larger of both ends' currents, real and imaginary part each; the from end's by its rating."""
    at_from, at_to = (root(real**2 + imaginary**2) for real, imaginary in (from_end, to_end))
    return jnp.maximum(at_from if from_current is None else at_from * from_current, at_to)


def _branch_voltages(grid: PerUnitFeeder, ur: Array, ui: Array) -> tuple[Array, Array, Array, Array]:
    """Voltages of the branches' ends, the from end's behind its transformer: real and imaginary, from and to."""
    start, end = np.array(grid.topology.from_bus), np.array(grid.topology.to_bus)
    fr, fi = ur[start], ui[start]
    if grid.from_ratio is not None:
        cr, ci = grid.from_ratio
        fr, fi = fr * cr - fi * ci, fi * cr + fr * ci
    return fr, fi, ur[end], ui[end]


def assemble(
    grid: PerUnitFeeder,
    *,
    vm: Array,
    va: Array,
    loss: Array,
    q_loss: Array,
    p_total: Array,
    q_total: Array,
    current: Array,
    converged: Array,
    residual_mva: Array,
    iterations: Array,
    held_p_mw: Array | None = None,
    held_q_mvar: Array | None = None,
    held_at_limit: Array | None = None,
) -> PowerFlowResult:
    """Make the result in the user's units; vm, va are of u at all buses, p_total and q_total the injections' sums."""
    slack_p, slack_q = loss - p_total, q_loss - q_total
    if grid.shunt is not None:
        squared = vm**2
        slack_p, slack_q = slack_p + squared @ grid.shunt[0], slack_q - squared @ grid.shunt[1]
    if grid.scale is not None:
        vm, va = vm / grid.scale[0], va - grid.scale[1]
        va = jnp.mod(va + jnp.pi, 2 * jnp.pi) - jnp.pi
    branch_i_ka = current * grid.i_base_ka
    return PowerFlowResult(
        vm_pu=vm,
        va_degree=jnp.rad2deg(va),
        loss_mw=loss * grid.s_base_mva,
        slack_p_mw=slack_p * grid.s_base_mva,
        slack_q_mvar=slack_q * grid.s_base_mva,
        branch_i_ka=branch_i_ka,
        branch_loading_percent=100.0 * branch_i_ka / grid.max_i_ka,
        converged=converged,
        residual_mva=residual_mva,
        iterations=iterations,
        held_p_mw=held_p_mw,
        held_q_mvar=held_q_mvar,
        held_at_limit=held_at_limit,
    )
