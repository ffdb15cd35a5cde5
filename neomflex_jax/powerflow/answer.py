"""From a method's voltages and currents, in per unit and scaled, to a `PowerFlowResult` in the user's units."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.powerflow.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.result import PowerFlowResult


def injected_current(p: Array, q: Array, ur: Array, ui: Array) -> tuple[Array, Array]:
    """Real and imaginary current of a constant-power injection: i = conj(s / u)."""
    scale = 1.0 / (ur * ur + ui * ui)
    return (p * ur + q * ui) * scale, (p * ui - q * ur) * scale


def bus_current(grid: PerUnitFeeder, p: Array, q: Array, ur: Array, ui: Array) -> tuple[Array, Array]:
    """Everything that flows into the network at a bus, i = conj(s / u) - y u; all in the network's layout."""
    ir, ii = injected_current(p, q, ur, ui)
    if grid.bus_admittance is None:
        return ir, ii
    g, b = (grid.network.between(part, ur) for part in grid.bus_admittance)
    return ir - (g * ur - b * ui), ii - (g * ui + b * ur)


def root(squared: Array) -> Array:
    """Square root with a derivative of 0 at 0 (an open branch, an unloaded one) instead of an infinite one."""
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)


def root_or_nan(squared: Array) -> Array:
    """Square root, NaN below 0; derivatives there are 0, so that a caller who masks the NaN gets finite gradients."""
    return jnp.where(squared > 0, root(squared), jnp.nan)


def exact_answer(
    grid: PerUnitFeeder, p: Array, q: Array, ur: Array, ui: Array, *, converged: Array, iterations: Array
) -> PowerFlowResult:
    """Answer of a method that solves the AC equations; p, q, u of one case in the network's layout."""
    network = grid.network
    ir, ii = bus_current(grid, p, q, ur, ui)
    jr, ji = network.flows(ir, ii)
    dr, di = network.drop(ir, ii)
    off = (dr + network.no_load[0] - ur) ** 2 + (di + network.no_load[1] - ui) ** 2
    own_r, own_i = injected_current(p, q, ur, ui)
    full_r = grid.with_slack(network.leave(ur), grid.slack_vm)
    full_i = grid.with_slack(network.leave(ui), 0.0)
    current, loss, q_loss = branch_losses(grid, full_r, full_i, jr, ji)
    return assemble(
        grid,
        vm=jnp.sqrt(full_r**2 + full_i**2),
        va=jnp.arctan2(full_i, full_r),
        loss=loss,
        q_loss=q_loss,
        p_total=jnp.sum(p),
        q_total=jnp.sum(q),
        current=current,
        converged=converged,
        # u' = w + Z i obeys the network; its bus powers u' conj(i) miss s by (u' - u) conj(i)
        residual_mva=jnp.max(jnp.sqrt(off * (own_r**2 + own_i**2))) * grid.s_base_mva,
        iterations=iterations,
    )


def branch_losses(grid: PerUnitFeeder, ur: Array, ui: Array, jr: Array, ji: Array) -> tuple[Array, Array, Array]:
    """Branch currents, the larger end's, and the branches' summed active and reactive consumption.

    From voltages u (n_bus,) and the currents j of the series impedances, from -> to, (n_branch,), all per unit.
    """
    series = jr**2 + ji**2
    loss, q_loss = series @ grid.r, series @ grid.x
    if grid.charging is None:
        factor = 1.0 if grid.from_current is None else jnp.maximum(1.0, grid.from_current)
        return root(series) * factor, loss, q_loss
    g, b = grid.charging
    start, end = np.array(grid.topology.from_bus), np.array(grid.topology.to_bus)
    fr, fi, tr, ti = ur[start], ui[start], ur[end], ui[end]
    if grid.from_ratio is not None:
        cr, ci = grid.from_ratio
        fr, fi = fr * cr - fi * ci, fi * cr + fr * ci
    squared = fr**2 + fi**2 + tr**2 + ti**2
    from_end = root((jr + g * fr - b * fi) ** 2 + (ji + g * fi + b * fr) ** 2)
    to_end = root((jr - g * tr + b * ti) ** 2 + (ji - g * ti - b * tr) ** 2)
    if grid.from_current is not None:
        from_end = from_end * grid.from_current
    return jnp.maximum(from_end, to_end), loss + squared @ g, q_loss - squared @ b


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
) -> PowerFlowResult:
    """Undo the scaling and put units on; vm, va are of u at all buses, p_total and q_total the injections' sums."""
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
    )
