"""From the branches' voltages to a result."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.powerflow.result import PowerFlowResult
from neomflex_jax.powerflow.unbalanced.admittance import Follows
from neomflex_jax.powerflow.unbalanced.branches import Consumption
from neomflex_jax.powerflow.unbalanced.iteration import currents, rises_of
from neomflex_jax.powerflow.unbalanced.network import PortNetwork
from neomflex_jax.powerflow.unbalanced.ports import Own, sources
from neomflex_jax.powerflow.unbalanced.solve import Solved
from neomflex_jax.powerflow.unbalanced.unbalance import vuf_percent


def flow_of(
    network: PortNetwork,
    follows: Follows,
    consumption: Consumption,
    own: Own | None,
    solved: Solved,
    phases: np.ndarray,
) -> PowerFlowResult:
    """Result of one case from the rises of its branches.

    The nodes' voltages obey the network with the currents that the loads draw at these rises; what the loads would
    draw at the voltages that follow is the residual.
    """
    rise, converged, evaluations = solved
    n_branch, n_node = consumption.p.shape[0], network.node_start.shape[0] // 2
    drawn = currents(network, follows, consumption, rise, own)
    ports, added = network.ports, None
    if own is not None and ports is not None:
        added = sources(own.gain, ports.seen + ports.seen_by_branch @ drawn)
    v = network.node_start + network.node_impedance @ drawn
    i = network.source_start + network.source_transfer @ drawn
    if added is not None and ports is not None:
        v, i = v + ports.node @ added, i + ports.source @ added
    vr, vi = v[:n_node], v[n_node:]
    # power out of the sources' conductors, v conj(i)
    ir, ii = jnp.split(i, 2)
    at = np.array(network.source_node, int)
    slack_p, slack_q = jnp.sum(vr[at] * ir + vi[at] * ii), jnp.sum(vi[at] * ir - vr[at] * ii)
    # what the branches take: |reference|^2 y conj(c)
    followed = rises_of(network, drawn, own)
    y, c = network.start + followed, drawn
    if own is not None:
        y = y + own.shift
    y_squared = y[:n_branch] ** 2 + y[n_branch:] ** 2
    taken = y[:n_branch] * c[:n_branch] + y[n_branch:] * c[n_branch:]
    if network.within is not None:
        taken = taken + network.within[0] * y_squared
    taken = network.r_squared * taken
    off = drawn - currents(network, follows, consumption, followed, own)
    residual = network.r_squared * jnp.sqrt(y_squared * (off[:n_branch] ** 2 + off[n_branch:] ** 2))
    i_ka = _conductor_currents(network, drawn, added)
    finite = jnp.isfinite(vr).all() & jnp.isfinite(vi).all()
    return PowerFlowResult(
        vm_pu=jnp.sqrt(vr * vr + vi * vi),
        va_degree=jnp.rad2deg(jnp.arctan2(vi, vr)),
        loss_mw=slack_p - jnp.sum(taken),
        slack_p_mw=slack_p,
        slack_q_mvar=slack_q,
        branch_i_ka=i_ka,
        branch_loading_percent=100 * i_ka / network.conductor_max_i_ka,
        converged=converged & finite,
        residual_mva=jnp.max(residual, initial=0.0),
        iterations=evaluations,
        vuf_percent=vuf_percent(vr, vi, phases),
    )


def _conductor_currents(network: PortNetwork, drawn: Array, added: Array | None) -> Array:
    """Currents of the conductors in kA, (n_conductor,).

    From what the branches draw and not from voltages, whose differences along a short line single precision has not.
    """
    (real, imaginary), (dr, di) = network.conductor_transfer, jnp.split(drawn, 2)
    start_r, start_i = jnp.split(network.conductor_start, 2)
    r, i = start_r + real @ dr - imaginary @ di, start_i + imaginary @ dr + real @ di
    if added is not None and network.ports is not None:
        (real, imaginary), (ar, ai) = network.ports.conductor, jnp.split(added, 2)
        r, i = r + real @ ar - imaginary @ ai, i + imaginary @ ar + real @ ai
    squared = r * r + i * i
    some = squared > 0  # the double `where` keeps derivatives finite at 0
    return jnp.where(some, jnp.sqrt(jnp.where(some, squared, 1.0)), 0.0)


def seen_by_controls(
    network: PortNetwork, follows: Follows, consumption: Consumption, own: Own | None, solved: Solved
) -> tuple[Array, Array]:
    """Complex voltages of nodes in pu, and currents into the metered conductors in kA."""
    drawn = currents(network, follows, consumption, solved[0], own)
    v, ports, meters = network.node_start + network.node_impedance @ drawn, network.ports, network.meters
    assert meters is not None  # bound with some
    i = meters.start + meters.transfer @ drawn
    if own is not None and ports is not None:
        added = sources(own.gain, ports.seen + ports.seen_by_branch @ drawn)
        v, i = v + ports.node @ added, i + ports.meter @ added
    (vr, vi), (ir, ii) = jnp.split(v, 2), jnp.split(i, 2)
    return vr + 1j * vi, ir + 1j * ii
