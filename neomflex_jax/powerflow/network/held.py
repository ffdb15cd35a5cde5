"""A network by its bus admittances, from a state to start at: more voltages than the slack's may be held in it.

Branches may have another impedance from their `to` end, too, which no impedance matrix has: the rows of Y are then of
``1 / z`` at the `from` bus and of ``1 / z'`` at the `to` bus. Source: pandapower 3.5, pypower/makeYbus.py.

    i = Y u,   p + jq = u conj(i),   u = u0 + d

per unit, u the bus voltages and i what flows into the network. Three kinds of buses each give two real equations F = 0:

    injection given    u conj(i) - (p + jq)
    generator          Re(u conj(i)) - p   and   |u|^2 / 2 - |u0|^2 / 2, unless at a limit of q
    external grid      d

u0 has the voltages that are held and the angles of the DC power flow at nominal load, so d is small, and what d does is
added to numbers that were worked out in double precision: float32 would lose the flows of short branches in u itself.
Source: the power-flow equations in rectangular coordinates, J. J. Grainger, W. D. Stevenson, "Power System Analysis",
1994, chapter 9.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.parts import STATIC, HostArray
from neomflex_jax.grid.topology import Topology
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow.network.q_limits import QLimits, q_limits
from neomflex_jax.powerflow.network.scaling import Scaled, cartesian, scaled_branches

RESISTIVE = 1e-3  # share of r below which x says nothing of a branch's flow
Voltage = tuple[Array, Array]  # real and imaginary part


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class HeldNetwork:
    """Constants of the equations; products are written for row vectors, real parts first, imaginary ones behind."""

    y: HostArray  # (2 n_bus, 2 n_bus) d to the change of i
    inverse: HostArray  # (2 n_bus, 2 n_bus) F to d, by the Jacobian at u0
    voltage: HostArray  # (2 n_bus,) u0
    current: HostArray  # (2 n_bus,) i at u0
    series: HostArray  # (n_branch,) complex, admittances of the series impedances, 0 where open
    back: HostArray | None  # (n_branch,) complex, z / z': the current that leaves at the to end per one that enters
    ratio: HostArray  # (n_branch,) complex, voltage behind the ideal transformer at the from end over that bus's
    series_current: HostArray  # (n_branch,) complex, currents of the series impedances at u0, from -> to
    limits: QLimits | None  # of the generators' q, where they are kept
    p_mw: HostArray  # (n_held,) what generators produce, beside all injections
    topology: Topology = field(metadata=STATIC)
    bus: tuple[int, ...] = field(metadata=STATIC)  # positions of what is held beside the slack
    is_generator: tuple[bool, ...] = field(metadata=STATIC)  # (n_bus,)
    is_external: tuple[bool, ...] = field(metadata=STATIC)  # (n_bus,) the slack among them

    __repr__ = one_line

    def with_parts(self, ratio: Array, charging: Array, shunt: Array) -> HeldNetwork:
        """Return the network with other ratios (n_branch,), charging (n_branch,) and shunts (n_bus,), complex.

        The Jacobian stays as it was, which costs steps and no accuracy.
        """
        y = bus_admittances(self.topology, self.series, ratio, charging, shunt, self.back)
        start, end = np.array(self.topology.from_bus), np.array(self.topology.to_bus)
        u = jax.lax.complex(*_halves(self.voltage))
        current = self.series * (ratio * u[start] - u[end])
        return replace(self, y=_for_rows(jnp, y), current=_stacked(jnp, y @ u), ratio=ratio, series_current=current)

    def unbalance(self, d: Voltage, p: Array, q: Array, at_limit: Array | None = None) -> Voltage:
        """F of one case, (n_bus,) each, for injections with what generators produce, per unit.

        Among it what those deliver that are at a limit, `at_limit` (n_held,) not being 0.
        """
        sp, sq = self.powers(d)
        (ur, ui), (dr, di) = _halves(self.voltage), d
        external, generator = np.array(self.is_external), self.holding(at_limit)
        held = ur * dr + ui * di + 0.5 * (dr * dr + di * di)
        return jnp.where(external, dr, sp - p), jnp.where(external, di, jnp.where(generator, held, sq - q))

    def holding(self, at_limit: Array | None) -> Array | np.ndarray:
        """Buses whose voltage a generator holds, (n_bus,) bool."""
        generator = np.array(self.is_generator)
        if at_limit is None:
            return generator
        return generator & ~jnp.zeros(len(generator), bool).at[np.array(self.bus, int)].set(at_limit != 0)

    def powers(self, d: Voltage) -> Voltage:
        """Active and reactive power that flow into the network at every bus, (n_bus,) each."""
        (ur, ui), (ir, ii) = self.voltages(d), _halves(self.current + jnp.concatenate(d) @ self.y)
        return ur * ir + ui * ii, ui * ir - ur * ii

    def voltages(self, d: Voltage) -> Voltage:
        """Return u, (n_bus,) each."""
        ur, ui = _halves(self.voltage)
        return ur + d[0], ui + d[1]

    def series_currents(self, d: Voltage) -> Voltage:
        """Currents of the series impedances at the from end, from -> to, (n_branch,) each."""
        start, end = np.array(self.topology.from_bus), np.array(self.topology.to_bus)
        change = d[0] + 1j * d[1]
        current = self.series_current + self.series * (self.ratio * change[start] - change[end])
        return current.real, current.imag

    def arriving(self, jr: Array, ji: Array) -> Voltage:
        """Currents out of the series impedances at the to ends, of those into them at the from ends."""
        if self.back is None:
            return jr, ji
        kr, ki = self.back.real, self.back.imag
        return kr * jr - ki * ji, kr * ji + ki * jr

    def lumped(self, off: Voltage, at_limit: Array | None = None) -> Voltage:
        """Turn a value of F into the d that would undo it at u0."""
        d = jnp.concatenate(off) @ self.inverse
        if self.limits is not None and at_limit is not None:
            d = self.limits.corrected(d, at_limit)
        return _halves(d)


def held_network(feeder: Feeder, scaled: Scaled, *, keep_q_limits: bool = False) -> HeldNetwork:
    """Build the equations of a feeder with held voltages, or of one with its slack alone, of what is not scaled."""
    r, x, n = scaled.r, scaled.x, feeder.n_bus
    ratio: HostArray = np.ones(len(r), complex)
    if scaled.from_ratio is not None:
        real, imaginary = cartesian(*scaled.from_ratio)
        ratio = real + 1j * imaginary
    charging = np.zeros(len(r)) if scaled.charging is None else scaled.charging[0] + 1j * scaled.charging[1]
    shunt = np.zeros(n) if scaled.shunt is None else scaled.shunt[0] + 1j * scaled.shunt[1]
    parts = jax.tree.leaves((feeder.held, feeder.back))
    arrays = (r, x, ratio, charging, shunt, feeder.load_p_mw, *parts, feeder.slack_vm_pu)
    xp = np if all(isinstance(values, np.ndarray | np.generic) for values in arrays) else jnp
    topology, held, base = feeder.topology, feeder.held, feeder.s_base_mva
    bus = () if held is None else held.bus
    is_external, is_held = np.zeros(n, bool), np.zeros(n, bool)
    is_external[[topology.slack, *topology.further_slacks]] = is_held[list(bus)] = True
    is_generator = is_held & ~is_external

    closed = np.array(topology.in_service)
    series = xp.where(closed, 1.0 / (xp.where(closed, r, 1.0) + 1j * x), 0.0)
    back = _shares(xp, feeder)
    y = bus_admittances(topology, series, ratio, charging, shunt, back)
    # shunts draw at 1 pu: where loads are stated as shunts, case145's, no start without them is near
    vm, va, p = xp.ones(n), xp.zeros(n), -feeder.load_p_mw / base - shunt.real
    at_held = np.eye(n)[:, list(bus)]
    vm = vm + (feeder.slack_vm_pu - 1.0) * np.eye(n)[topology.slack]
    if held is not None:
        vm, va = vm + at_held @ (held.vm_pu - 1.0), va + at_held @ (held.va_degree * (np.pi / 180.0))
        p = p + at_held @ held.p_mw / base
    u = vm * xp.exp(1j * _lossless_angles(xp, feeder, r, x, ratio, p, va, is_external))
    start, end = np.array(topology.from_bus), np.array(topology.to_bus)
    inverse, limits = xp.linalg.inv(jacobian(xp, y, u, is_external, is_generator)).T, None
    if held is not None and keep_q_limits:
        _, of_q, of_vm = _rows(xp, y, u)
        limits = q_limits(held, base, of_q - of_vm, inverse)
    return HeldNetwork(
        y=_for_rows(xp, y),
        inverse=inverse,
        voltage=_stacked(xp, u),
        current=_stacked(xp, y @ u),
        series=series,
        back=back,
        ratio=ratio,
        series_current=series * (ratio * u[start] - u[end]),
        limits=limits,
        p_mw=xp.zeros(0) if held is None else held.p_mw,
        topology=topology,
        bus=bus,
        is_generator=tuple(is_generator.tolist()),
        is_external=tuple(is_external.tolist()),
    )


def admittances(feeder: Feeder) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return y, start, is_external and is_generator of a feeder's buses on the host, nothing scaled.

    Complex (n_bus, n_bus) per unit; voltages with those that are held, complex (n_bus,); bool (n_bus,) each.
    """
    held, n = held_network(feeder, scaled_branches(feeder, along_tree=False)), feeder.n_bus
    y = held.y[:n, :n].T + 1j * held.y[:n, n:].T
    return y, held.voltage[:n] + 1j * held.voltage[n:], np.array(held.is_external), np.array(held.is_generator)


def jacobian(xp: Any, y: HostArray, u: HostArray, is_external: np.ndarray, is_generator: np.ndarray) -> HostArray:
    """dF/du at u, real, (2 n_bus, 2 n_bus), for complex admittances and voltages."""
    (of_p, of_q, of_vm), eye = _rows(xp, y, u), np.eye(len(u))
    of_q = xp.where(is_generator[:, None], of_vm, of_q)
    fixed = is_external[:, None]
    of_p = xp.where(fixed, np.concatenate([eye, 0 * eye], axis=1), of_p)
    of_q = xp.where(fixed, np.concatenate([0 * eye, eye], axis=1), of_q)
    return xp.concatenate([of_p, of_q])


def _rows(xp: Any, y: HostArray, u: HostArray) -> tuple[HostArray, HostArray, HostArray]:
    """Derivatives of p, q and |u|^2 / 2 of all buses by u, real, (n_bus, 2 n_bus) each."""
    i = y @ u
    by_real = xp.diag(i.conj()) + u[:, None] * y.conj()  # of u conj(i)
    by_imaginary = 1j * (xp.diag(i.conj()) - u[:, None] * y.conj())
    of_p = xp.concatenate([by_real.real, by_imaginary.real], axis=1)
    of_q = xp.concatenate([by_real.imag, by_imaginary.imag], axis=1)
    return of_p, of_q, xp.concatenate([xp.diag(u.real), xp.diag(u.imag)], axis=1)


def bus_admittances(
    topology: Topology,
    series: HostArray,
    ratio: HostArray,
    charging: HostArray,
    shunt: HostArray,
    back: HostArray | None = None,
) -> HostArray:
    """Y, complex, (n_bus, n_bus), from branches and shunts as `held_network` takes them."""
    start, end = np.array(topology.from_bus), np.array(topology.to_bus)
    at_start = abs(ratio) ** 2 * (series + charging)
    at_to = series if back is None else back * series
    return _matrix(
        topology.n_bus,
        (start, start, at_start),
        (end, end, at_to + charging),
        (start, end, -ratio.conj() * series),
        (end, start, -ratio * at_to),
        (np.arange(topology.n_bus), np.arange(topology.n_bus), shunt),
    )


def _shares(xp: Any, feeder: Feeder) -> HostArray | None:
    """Shares z / z' of all branches, complex, (n_branch,); None if no branch has two impedances."""
    back = feeder.back
    if back is None:
        return None
    rows = np.array(back.branch)
    others = (feeder.r_ohm[rows] + 1j * feeder.x_ohm[rows]) / (back.r_ohm + 1j * back.x_ohm)
    if xp is np:
        shares = np.ones(feeder.topology.n_branch, complex)
        shares[rows] = others
        return shares
    return jnp.ones(feeder.topology.n_branch, others.dtype).at[rows].set(others)


def _matrix(n: int, *parts: tuple[np.ndarray, np.ndarray, HostArray]) -> HostArray:
    """Sum of (rows, columns, values), (n, n)."""
    if all(isinstance(values, np.ndarray) for _, _, values in parts):
        total = np.zeros((n, n), np.result_type(*(values for _, _, values in parts)))
        for rows, columns, values in parts:
            np.add.at(total, (rows, columns), values)
        return total
    traced = jnp.zeros((n, n), jnp.result_type(*(values for _, _, values in parts)))
    for rows, columns, values in parts:
        traced = traced.at[rows, columns].add(values)
    return traced


def _lossless_angles(
    xp: Any,
    feeder: Feeder,
    r: HostArray,
    x: HostArray,
    ratio: HostArray,
    p: HostArray,
    va: HostArray,
    is_external: np.ndarray,
) -> HostArray:
    """Angles of the DC power flow, (n_bus,); a branch with next to no reactance counts by its resistance."""
    topology, n = feeder.topology, feeder.topology.n_bus
    start, end, closed = (np.array(part) for part in (topology.from_bus, topology.to_bus, topology.in_service))
    x = xp.where(xp.abs(x) < RESISTIVE * xp.abs(r), r, x)
    b = xp.where(closed, xp.abs(ratio) / xp.where(closed, x, 1.0), 0.0)
    rows = _matrix(n, (start, start, b), (end, end, b), (start, end, -b), (end, start, -b))
    turned = xp.angle(ratio) * b
    given = p + _matrix(n, (end, 0 * end, turned), (start, 0 * start, -turned))[:, 0]
    given = xp.where(is_external, va, given)
    return xp.linalg.solve(xp.where(is_external[:, None], np.eye(n), rows), given)


def _for_rows(xp: Any, matrix: HostArray) -> HostArray:
    """Real form, for row vectors, of a complex matrix."""
    real, imaginary = matrix.real.T, matrix.imag.T
    return xp.concatenate(
        [xp.concatenate([real, imaginary], axis=1), xp.concatenate([-imaginary, real], axis=1)], axis=0
    )


def _stacked(xp: Any, values: HostArray) -> HostArray:
    return xp.concatenate([values.real, values.imag])


def _halves(values: Array) -> Voltage:
    middle = values.shape[-1] // 2
    return values[:middle], values[middle:]
