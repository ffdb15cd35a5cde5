"""From the branches' voltages to a result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.powerflow.result import PowerFlowResult
from neomflex_jax.powerflow.unbalanced.admittance import Follows
from neomflex_jax.powerflow.unbalanced.branches import Consumption
from neomflex_jax.powerflow.unbalanced.iteration import currents
from neomflex_jax.powerflow.unbalanced.linear import Linear, to_first_order
from neomflex_jax.powerflow.unbalanced.network import PortNetwork
from neomflex_jax.powerflow.unbalanced.ports import Own, Ports, sources
from neomflex_jax.powerflow.unbalanced.solve import Halves, Solved
from neomflex_jax.powerflow.unbalanced.sums import magnitudes, magnitudes_of_case, rises_of_case
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
    drawn = _known(solved.drawn, currents, (network, follows, consumption, solved.rise, own))
    added = None if solved.added is None else _known(solved.added, _sources_of, (network.ports, own, drawn))
    state, stop = _state_of(network, drawn, added), (solved.converged, solved.evaluations)
    v = network.node_start + state.rise
    vm = magnitudes(v)
    if own is None:  # magnitudes alone are less to write, where nobody wants the voltages themselves
        vm = magnitudes_of_case(network.sums.node, network.node_start, network.node_impedance, drawn)
    return _result(network, follows, consumption, state, v, vm, state.slack, stop, phases)


def _known(value: Array, function: Callable[..., Array], at: tuple[Any, ...]) -> Array:
    """What a function makes of `at`, as whoever iterated has worked it out; with the function's derivatives."""

    @jax.custom_jvp
    def known(value: Array, at: tuple[Any, ...]) -> Array:
        return value

    @known.defjvp
    def known_jvp(primals: tuple[Array, Any], tangents: tuple[Array, Any]) -> tuple[Array, Array]:
        return primals[0], jax.jvp(function, primals[1], tangents[1])[1]

    found: Array = known(value, at)
    return found


def _sources_of(ports: Ports, own: Own, drawn: Array) -> Array:
    """Sources at the ports with these currents of the branches, (2 n_port,)."""
    return sources(own.gain, ports.seen + ports.seen_by_branch @ drawn)


def linear_flow_of(
    network: PortNetwork,
    follows: Follows,
    consumption: Consumption,
    own: Own | None,
    model: Linear,
    phases: np.ndarray,
) -> PowerFlowResult:
    """Result of one case by a linear method."""
    drawn, ports, start = model.drawn(network, follows, consumption, own), network.ports, network.node_start
    added = None
    if own is not None and ports is not None:
        added, start = _sources_of(ports, own, drawn), start + ports.node @ sources(own.gain, ports.seen)
    state = _state_of(network, drawn, added)
    v, (slack_p, slack_q) = network.node_start + state.rise, state.slack
    if model.rise is None:
        v = jnp.concatenate(to_first_order(start, v - start))
        # every load a constant power: the source feeds these, and what the network loses
        p, q = (jnp.sum(x) for x in consumption[:2])
        if consumption.steady_p is not None and consumption.steady_q is not None:
            p, q = p + jnp.sum(consumption.steady_p), q + jnp.sum(consumption.steady_q)
        slack_p, slack_q = slack_p - jnp.sum(state.taken[0]) + p, slack_q - jnp.sum(state.taken[1]) + q
    stop = jnp.isfinite(v).all(), jnp.zeros((), jnp.int32)
    return _result(network, follows, consumption, state, v, magnitudes(v), (slack_p, slack_q), stop, phases)


class _State(NamedTuple):
    """What currents of the branches do to the network, (2 n, ...) each in real form."""

    drawn: Array  # these currents
    added: Array | None  # sources of taps and capacitors
    rise: Array  # what both add to the nodes' voltages without load, at the network's own taps; pu
    followed: Array  # and to the branches'
    taken: Halves  # MW and Mvar into the branches, (n_branch,)
    slack: Halves  # MW and Mvar out of the sources


def _state_of(network: PortNetwork, drawn: Array, added: Array | None) -> _State:
    """Work out one case's state of the network."""
    ports, start = network.ports, network.node_start
    rise = rises_of_case(network.sums.node, network.node_impedance, drawn)
    at, n_node = np.array(network.source_node, int), len(start) // 2
    rows = np.concatenate([at, at + n_node])
    at_source = start[rows] + network.node_impedance[rows] @ drawn  # these few alone: nobody may want the others
    followed = rises_of_case(network.sums.branch, network.impedance, drawn)
    i = network.source_start + network.source_transfer @ drawn
    if added is not None and ports is not None:
        rise, i = rise + ports.node @ added, i + ports.source @ added
        at_source, followed = at_source + ports.node[rows] @ added, followed + ports.branch @ added
    # power out of the sources' conductors, v conj(i)
    (vr, vi), (ir, ii) = jnp.split(at_source, 2), jnp.split(i, 2)
    slack = jnp.sum(vr * ir + vi * ii), jnp.sum(vi * ir - vr * ii)
    # what the branches take: |reference|^2 y conj(c)
    (yr, yi), (cr, ci) = jnp.split(network.start + followed, 2), jnp.split(drawn, 2)
    taken_p, taken_q = yr * cr + yi * ci, yi * cr - yr * ci
    if network.within is not None:
        y_squared = yr**2 + yi**2
        taken_p, taken_q = taken_p + network.within[0] * y_squared, taken_q + network.within[1] * y_squared
    taken = network.r_squared * taken_p, network.r_squared * taken_q
    return _State(drawn, added, rise, followed, taken, slack)


def _result(
    network: PortNetwork,
    follows: Follows,
    consumption: Consumption,
    state: _State,
    v: Array,
    vm: Array,
    slack: Halves,
    stop: Sequence[Array],
    phases: np.ndarray,
) -> PowerFlowResult:
    """Result from the nodes' voltages, what the sources feed in, whether it converged and after how many steps."""
    (vr, vi), n_branch = jnp.split(v, 2), consumption.p.shape[0]
    y = network.start + state.followed
    off = state.drawn - currents(network, follows, consumption, state.followed)
    y_squared = y[:n_branch] ** 2 + y[n_branch:] ** 2
    residual = network.r_squared * jnp.sqrt(y_squared * (off[:n_branch] ** 2 + off[n_branch:] ** 2))
    i_ka = _conductor_currents(network, state.drawn, state.added)
    return PowerFlowResult(
        vm_pu=vm,
        va_degree=jnp.rad2deg(jnp.arctan2(vi, vr)),
        loss_mw=state.slack[0] - jnp.sum(state.taken[0]),
        slack_p_mw=slack[0],
        slack_q_mvar=slack[1],
        branch_i_ka=i_ka,
        branch_loading_percent=100 * i_ka / network.conductor_max_i_ka,
        converged=stop[0] & jnp.isfinite(state.drawn).all(),  # voltages are these times numbers that are
        residual_mva=jnp.max(residual, initial=0.0),
        iterations=stop[1],
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


def seen_by_controls(network: PortNetwork, solved: Solved, nodes: np.ndarray) -> tuple[Array, Array]:
    """Complex voltages of nodes at these positions in pu, and currents into the metered conductors in kA."""
    drawn, added = solved.drawn, solved.added
    rows = np.concatenate([nodes, nodes + network.node_start.shape[0] // 2])
    v, ports, meters = network.node_start[rows] + network.node_impedance[rows] @ drawn, network.ports, network.meters
    assert meters is not None  # bound with some
    i = meters.start + meters.transfer @ drawn
    if added is not None and ports is not None:
        v, i = v + ports.node[rows] @ added, i + ports.meter @ added
    (vr, vi), (ir, ii) = jnp.split(v, 2), jnp.split(i, 2)
    return vr + 1j * vi, ir + 1j * ii
