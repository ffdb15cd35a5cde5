"""What `dc`, `lindistflow` and `calibrated` share: injections at the slack's voltage, lossless flows, one result."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.powerflow.methods.results import assemble, branch_currents, charging_losses
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.result import PowerFlowResult


def enter_linear(
    grid: PerUnitFeeder, p_injection_mw: Array, q_injection_mvar: Array, vm_squared: Array | None = None
) -> tuple[Array, Array]:
    """Per-unit injections in the network's layout, shunts and charging among them.

    These draw what they draw at squared voltages `vm_squared`, (n_bus - 1,), or at the slack's.
    """
    enter = grid.network.enter
    if grid.generators is not None:
        p_injection_mw = grid.generators.producing(p_injection_mw)
    p, q = enter(grid.without_slack(p_injection_mw)), enter(grid.without_slack(q_injection_mvar))
    if grid.bus_admittance is not None:
        squared = grid.slack_vm**2 if vm_squared is None else enter(vm_squared)
        p, q = p - grid.bus_admittance[0] * squared, q + grid.bus_admittance[1] * squared
    return p, q


def keep_voltages(grid: PerUnitFeeder, p: Array, q: Array) -> tuple[Array, Array | None]:
    """Add to q what generators need to keep their voltages; all per unit, p and q in the network's layout.

    Returns
    -------
    q, added
        The sum, and what was added, (n_generator,), None without generators.
    """
    if grid.generators is None:
        return q, None
    kept = grid.generators.kept(p, q)
    return kept, (kept - q)[np.array(grid.generators.place)]


def linear_flows(grid: PerUnitFeeder, p: Array, q: Array) -> tuple[Array, Array]:
    """Branch currents of the injections ``(p, -q) / v0`` without any losses, shapes (n_branch,)."""
    per_volt = 1.0 / grid.slack_vm  # one division, not one a bus
    return grid.network.flows(p * per_volt, -q * per_volt)


def with_slack(grid: PerUnitFeeder, vm: Array, va: Array) -> tuple[Array, Array, Array]:
    """Magnitudes and angles of u at all buses from those without the slack, (n_bus - 1,).

    Returns
    -------
    vm, va, solved
        Shapes (n_bus,), (n_bus,) and (): solved is True if every magnitude is finite and above 0.
    """
    solved = jnp.all(jnp.isfinite(vm) & (vm > 0))
    return grid.with_slack(vm, grid.slack_vm), grid.with_slack(va, 0.0), solved


def linear_result(
    grid: PerUnitFeeder,
    p_injection_mw: Array,
    q_injection_mvar: Array,
    *,
    vm: Array,
    va: Array,
    loss: Array,
    q_loss: Array,
    current: tuple[Array, Array],
    converged: Array,
    added: Array | None = None,
) -> PowerFlowResult:
    """Make the result from u's magnitude and angle, (n_bus,), the series losses and currents, (n_branch,).

    `added`: reactive power of the generators, (n_generator,), of `keep_voltages`.
    """
    generators, held = grid.generators, {}
    if generators is not None and added is not None:
        p_injection_mw = generators.producing(p_injection_mw)
        added_mvar = added * grid.s_base_mva
        q_injection_mvar = q_injection_mvar.at[np.array(generators.bus)].add(added_mvar)
        held = {"held_p_mw": generators.p_mw.astype(vm.dtype), "held_q_mvar": added_mvar}
    own_p, own_q = grid.without_slack(p_injection_mw), grid.without_slack(q_injection_mvar)
    flat = jnp.zeros_like(vm)
    charging_p, charging_q = charging_losses(grid, vm, flat)
    return assemble(
        grid,
        vm=vm,
        va=va,
        loss=loss + charging_p,
        q_loss=q_loss + charging_q,
        p_total=jnp.sum(own_p),
        q_total=jnp.sum(own_q),
        current=branch_currents(grid, vm, flat, *current),
        converged=converged,
        residual_mva=mismatch_mva(grid, own_p, own_q, vm * jnp.cos(va), vm * jnp.sin(va)),
        iterations=jnp.zeros((), jnp.int32),
        **held,
    )


def mismatch_mva(grid: PerUnitFeeder, p: Array, q: Array, ur: Array, ui: Array) -> Array:
    """Largest bus mismatch ``|s - u conj(Y u)|`` of a given voltage profile (n_bus,), branch by branch.

    In float32 rounding of u alone makes about 1e-4 MVA on short branches; the linear methods miss by more.
    """
    topology = grid.topology
    closed = np.array(topology.in_service)
    start, end = np.array(topology.from_bus)[closed], np.array(topology.to_bus)[closed]
    fr, fi, cr, ci = ur[start], ui[start], None, None
    if grid.from_ratio is not None:
        cr, ci = grid.from_ratio[0][closed], grid.from_ratio[1][closed]
        fr, fi = fr * cr - fi * ci, fi * cr + fr * ci
    dr, di = fr - ur[end], fi - ui[end]
    r, x = grid.r[closed], grid.x[closed]
    squared = r**2 + x**2
    jr, ji = (dr * r + di * x) / squared, (di * r - dr * x) / squared
    drawn_r, drawn_i = (jr, ji) if cr is None else (jr * cr + ji * ci, ji * cr - jr * ci)
    ir = jnp.zeros_like(ur).at[start].add(drawn_r).at[end].add(-jr)
    ii = jnp.zeros_like(ui).at[start].add(drawn_i).at[end].add(-ji)
    if grid.bus_admittance is not None:
        g, b = (grid.with_slack(grid.network.leave(part), 0.0) for part in grid.bus_admittance)
        ir, ii = ir + g * ur - b * ui, ii + g * ui + b * ur
    others = topology.non_slack
    missing_p = p - (ur * ir + ui * ii)[others]
    missing_q = q - (ui * ir - ur * ii)[others]
    return jnp.max(jnp.sqrt(missing_p**2 + missing_q**2)) * grid.s_base_mva
