"""AC power flow on admittances, for feeders that have no impedance matrix.

In these, more voltages than the slack's are held, by generators or by further external grids, or a branch has another
impedance from its `to` end:

``d <- d - J^-1 F(d)`` with the equations F of `network/held.py` and their Jacobian J at the state that they start from,
factorised once; a case that this does not lead anywhere starts again by Newton's steps, on the same product. `newton`
factorises the Jacobian in each where that fails too, for in meshed transmission grids BiCGSTAB can stagnate. Sources:
simplified and full Newton methods, J. M. Ortega, W. C. Rheinboldt, "Iterative Solution of Nonlinear Equations in
Several Variables", 1970, chapter 7. `ac` and `newton` both take it, for the impedances on which they iterate elsewhere
belong to a feeder with one slack.

Limits of q are kept where asked for, as `pandapower.runpp` does with ``enforce_q_lims``: all generators beyond one are
set to it and give up their voltage, and the rest is solved again, until none is beyond one; none ever takes its voltage
back. Derivatives come from the implicit function theorem at the solution, with those at a limit staying there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from neomflex_jax.powerflow.methods.newton_steps import LinearSolve, Voltage, krylov_solve, newton_steps
from neomflex_jax.powerflow.methods.results import assemble, at_voltage, branch_currents, charging_losses, series_losses
from neomflex_jax.powerflow.network.held import HeldNetwork
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.result import PowerFlowResult
from neomflex_jax.powerflow.stopping import AcConfig

MOST_SIMPLE_STEPS = 40  # a day of ordinary operation needs some ten


def solve_held(
    grid: PerUnitFeeder,
    p_injection_mw: Array,
    q_injection_mvar: Array,
    config: AcConfig,
    steps_by: tuple[LinearSolve, ...] = (krylov_solve,),
) -> PowerFlowResult:
    """Solve one case, shapes (n_bus,); what generators produce comes on top of the injections."""
    network = _as_set(grid)
    bus, base = np.array(network.bus, int), grid.s_base_mva
    p_nominal, q_nominal = p_injection_mw / base, q_injection_mvar / base

    injected = partial(_injected, grid, network, p_nominal, q_nominal)
    start, at_limit = (jnp.zeros_like(p_nominal), jnp.zeros_like(p_nominal)), None
    if network.limits is not None:
        at_limit, start = _at_limits(*lax.stop_gradient((grid, network, p_nominal, q_nominal)), config, steps_by)
    d, converged, steps = solve_voltages(
        network, partial(injected, at_limit=at_limit), start, config, at_limit, steps_by
    )
    (sp, sq), (p, q) = network.powers(d), injected(d, at_limit)
    external, generator = np.array(network.is_external), network.holding(at_limit)
    off_p, off_q = jnp.where(external, 0.0, sp - p), jnp.where(external | generator, 0.0, sq - q)
    ur, ui = network.voltages(d)
    jr, ji = network.series_currents(d)
    (loss, q_loss), charging = series_losses(grid, jr, ji), charging_losses(grid, ur, ui)
    arriving = None
    if network.back is not None:
        at_end, arriving = np.array(grid.topology.to_bus), network.arriving(jr, ji)
        (tr, ti), (kr, ki) = (ur[at_end], ui[at_end]), (jr - arriving[0], ji - arriving[1])
        loss, q_loss = loss + jnp.sum(tr * kr + ti * ki), q_loss + jnp.sum(ti * kr - tr * ki)
    others = grid.topology.non_slack
    delivered = {}
    if network.bus:
        supplied_mw = jnp.where(external, sp * base - p_injection_mw, 0.0)[bus]
        produced_mw = jnp.where(np.array(network.is_generator)[bus], network.p_mw, 0.0).astype(p.dtype)
        delivered = {
            "held_p_mw": supplied_mw + produced_mw,
            "held_q_mvar": _delivered(network, injected, d) * base,
        }
    return assemble(
        grid,
        vm=jnp.sqrt(ur**2 + ui**2),
        va=jnp.arctan2(ui, ur),
        loss=loss + charging[0],
        q_loss=q_loss + charging[1],
        p_total=jnp.sum(p[others]),
        q_total=jnp.sum(jnp.where(generator, sq, q)[others]),
        current=branch_currents(grid, ur, ui, jr, ji, arriving),
        converged=converged,
        residual_mva=jnp.max(jnp.sqrt(off_p**2 + off_q**2)) * base,
        iterations=steps,
        held_at_limit=at_limit,
        **delivered,
    )


def _injected(
    grid: PerUnitFeeder, network: HeldNetwork, p: Array, q: Array, d: Voltage, at_limit: Array | None = None
) -> Voltage:
    """Injections, p and q as stated, at given d, with what generators produce, and those at a limit deliver."""
    bus, (ur, ui) = np.array(network.bus, int), network.voltages(d)
    p, q = at_voltage(grid.dependence, p, q, jnp.sqrt(ur**2 + ui**2), grid.steady)
    p = p.at[bus].add(network.p_mw.astype(p.dtype) / grid.s_base_mva)
    if network.limits is None or at_limit is None:
        return p, q
    return p, q.at[bus].add(network.limits.given(at_limit).astype(q.dtype))


def _delivered(network: HeldNetwork, injected: Callable[[Voltage], Voltage], d: Voltage) -> Array:
    """Reactive powers of what holds or held a voltage, (n_held,), per unit."""
    return (network.powers(d)[1] - injected(d)[1])[np.array(network.bus, int)]


def _at_limits(
    grid: PerUnitFeeder,
    network: HeldNetwork,
    p: Array,
    q: Array,
    config: AcConfig,
    steps_by: tuple[LinearSolve, ...],
) -> tuple[Array, Voltage]:
    """Find which generators of one case are at a limit: -1, 0 or 1, (n_held,), and the voltages' d with them there."""
    limits, injected = network.limits, partial(_injected, grid, network, p, q)
    assert limits is not None  # callers ask only then

    def keep_going(carry: tuple[Array, Voltage, Array]) -> Array:
        return carry[2]

    def body(carry: tuple[Array, Voltage, Array]) -> tuple[Array, Voltage, Array]:
        at_limit, start, _ = carry
        d, converged, _ = solve_voltages(
            network, partial(injected, at_limit=at_limit), start, config, at_limit, steps_by
        )
        newly = jnp.where((at_limit == 0) & converged, limits.beyond(_delivered(network, injected, d)), 0)
        d = jax.tree.map(lambda found: jnp.where(converged, found, 0.0), d)
        return at_limit + newly, d, jnp.any(newly != 0)

    none, start = jnp.zeros(len(network.bus), jnp.int32), (jnp.zeros_like(p), jnp.zeros_like(p))
    at_limit, d, _ = lax.while_loop(keep_going, body, (none, start, jnp.ones((), bool)))
    return at_limit, d


def _as_set(grid: PerUnitFeeder) -> HeldNetwork:
    """Return the network, of a case that has ratios and shunts of its own with these."""
    network, n = grid.held, grid.topology.n_bus
    assert network is not None
    if not grid.is_set:
        return network
    ratio = jnp.ones_like(network.series) if grid.from_ratio is None else jax.lax.complex(*grid.from_ratio)
    charging = jnp.zeros_like(network.series) if grid.charging is None else jax.lax.complex(*grid.charging)
    shunt = jnp.zeros(n, network.series.dtype) if grid.shunt is None else jax.lax.complex(*grid.shunt)
    return network.with_parts(ratio, charging, shunt)


def solve_voltages(
    network: HeldNetwork,
    injected: Callable[[Voltage], Voltage],
    start: Voltage,
    config: AcConfig,
    at_limit: Array | None,
    steps_by: tuple[LinearSolve, ...],
) -> tuple[Voltage, Array, Array]:
    """Solve one case.

    Parameters
    ----------
    network, config
        The grid, and when to stop.
    injected
        Injections p and q with what generators produce, per unit, (n_bus,) each, at given d.
    start
        The voltages' d to start from, (n_bus,) each.
    at_limit
        Which generators are at a limit, (n_held,), and then among what is injected; None: none has a limit to keep.
    steps_by
        How Newton's steps are solved; a case that one leads nowhere begins again with the next.

    Returns
    -------
    d, converged, steps
        The voltages' d, (n_bus,) each, and whether it is a solution and after how many steps, shapes ().
    """
    tolerance, dtype = config.tolerance(start[0].dtype), start[0].dtype

    def unbalance(d: Voltage) -> Voltage:
        return network.lumped(network.unbalance(d, *injected(d), at_limit), at_limit)

    def solve(function: Callable[[Voltage], Voltage], start: Voltage) -> tuple[Voltage, tuple[Array, Array]]:
        d, converged, count = _simple_steps(function, start, tolerance, min(config.max_iterations, MOST_SIMPLE_STEPS))
        for solve_linear in steps_by:
            d, converged, count = newton_steps(
                function,
                _where(converged, d, start),
                done=converged,
                count=count,
                tolerance=tolerance,
                max_iterations=count + config.max_iterations,
                solve_linear=solve_linear,
            )
        return d, (converged.astype(dtype), count.astype(dtype))

    d, (converged, count) = lax.custom_root(unbalance, start, solve, krylov_solve, has_aux=True)
    return d, converged > 0, count.astype(jnp.int32)


def _where(converged: Array, d: Voltage, start: Voltage) -> Voltage:
    return jax.tree.map(lambda found, begun: jnp.where(converged, found, begun), d, start)


def _simple_steps(
    function: Callable[[Voltage], Voltage], start: Voltage, tolerance: float, most: int
) -> tuple[Voltage, Array, Array]:
    """Step by the function's value until the estimated error is within the tolerance, as in `fixed_point.py`."""

    def keep_going(carry: tuple[Voltage, Array, Array, Array]) -> Array:
        _, _, stopped, count = carry
        return ~stopped & (count < most)

    def body(carry: tuple[Voltage, Array, Array, Array]) -> tuple[Voltage, Array, Array, Array]:
        d, before, _, count = carry
        step = function(d)
        size = jnp.sqrt(jnp.max(step[0] ** 2 + step[1] ** 2))
        error = 2.0 * size * jnp.minimum(size / before, 1.0)
        return (d[0] - step[0], d[1] - step[1]), size, ~(error > tolerance), count + 1  # a NaN stops

    first = jnp.ones((), start[0].dtype)  # 1 pu, as if it were the step before
    d, size, stopped, count = lax.while_loop(
        keep_going, body, (start, first, jnp.zeros((), bool), jnp.zeros((), jnp.int32))
    )
    last = function(d)  # what short branches carry needs the last digits of d
    return (d[0] - last[0], d[1] - last[1]), stopped & jnp.isfinite(size), count + 1
