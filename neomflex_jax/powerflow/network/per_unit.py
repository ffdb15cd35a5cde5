"""A feeder in per unit, in the shape that all methods share.

Transformers vanish by scaling: with ``k`` the product of the complex ratios on the way from the slack, the voltages
``u = k v`` obey a network of plain impedances ``|k|^2 z``, and powers stay what they are. So every method works on u,
and `results.py` turns it back. Shunts and line charging are admittances ``y`` at the buses; they draw ``y u``. Source:
the per-unit system for off-nominal ratios, J. J. Grainger, W. D. Stevenson, "Power System Analysis", 1994, chapter 2,
here carried along the whole tree.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.parts import STATIC, HostArray
from neomflex_jax.grid.topology import Topology, path_matrix, spanning_tree
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow.network.dense import DenseNetwork, dense_network
from neomflex_jax.powerflow.network.generators import Generators, generators_of
from neomflex_jax.powerflow.network.held import HeldNetwork, held_network
from neomflex_jax.powerflow.network.taps import Taps, place_taps
from neomflex_jax.powerflow.network.tree import TreeNetwork, tree_network

NETWORKS = ("auto", "sweep", "dense", "tree")
TREE_FROM_BUSES = 200  # where a tree's small products overtake the dense ones on a CPU (benchmarks/power_flow.py)
Pair = tuple[HostArray, HostArray]  # real and imaginary part
Polynomial = tuple[HostArray, HostArray, HostArray]  # coefficients of 1, |u| and |u|^2


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class PerUnitFeeder:
    """Per-unit values, scaled as the module says. None stands for what the feeder does not have."""

    form: DenseNetwork | TreeNetwork | None  # None where more voltages than the slack's are held
    r: HostArray  # (n_branch,)
    x: HostArray  # (n_branch,)
    charging: Pair | None  # (n_branch,) half-admittances g and b of the branches, one at each end
    from_ratio: Pair | None  # (n_branch,) voltage behind the ideal transformer at the from end over u of that bus
    shunt: Pair | None  # (n_bus,) admittances of the bus shunts alone
    bus_admittance: Pair | None  # network layout: shunts and charging; with batch axes where they vary
    scale: Pair | None  # (n_bus,) magnitude of k, and its angle in rad
    from_current: HostArray | None  # (n_branch,) from-end current, as a share of its rating, per to-end current
    slack_vm: HostArray  # ()
    i_base_ka: HostArray  # (n_branch,) at the to end
    max_i_ka: HostArray  # (n_branch,)
    held: HeldNetwork | None  # where more voltages than the slack's are held
    generators: Generators | None  # in their place, for the methods that are linear
    dependence: tuple[Polynomial, Polynomial] | None  # of p and of q; network layout, (n_bus,) where held
    taps: Taps | None  # of the tap changers that a setting can move
    tap_factor: Array | None  # (..., n_tap) what a setting makes of them; None: nothing
    tap_branches: tuple[int, ...] = field(metadata=STATIC)
    topology: Topology = field(metadata=STATIC)
    s_base_mva: float = field(metadata=STATIC)
    is_set: bool = field(metadata=STATIC)  # ratios and shunts are those of a setting, a case's own
    swept: bool = field(metadata=STATIC)  # a method that has a sweep may use it

    __repr__ = one_line

    @property
    def network(self) -> DenseNetwork | TreeNetwork:
        """The impedances; there are none where more voltages than the slack's are held."""
        assert self.form is not None  # `methods.held` solves such a feeder, on admittances
        return self.form

    def no_load(self) -> tuple[Array, Array]:
        """Voltages w without any injection, in the network's layout."""
        if self.taps is None or self.tap_factor is None:
            return self.network.no_load
        return self.taps.seen(self.network, self.tap_factor, self.network.no_load, self.slack_vm)

    def carried(self, ir: Array, ii: Array) -> tuple[Array, Array]:
        """Currents that the impedances see of currents into the network at the buses, both in its layout."""
        if self.taps is None or self.tap_factor is None:
            return ir, ii
        return self.taps.carried(self.network, self.tap_factor, (ir, ii))

    def drop(self, ir: Array, ii: Array) -> tuple[Array, Array]:
        """Voltages' rises u - w of currents into the network at the buses, both in its layout."""
        if self.taps is None or self.tap_factor is None:
            return self.network.drop(ir, ii)
        rise = self.network.drop(*self.taps.carried(self.network, self.tap_factor, (ir, ii)))
        return self.taps.seen(self.network, self.tap_factor, rise)

    def without_slack(self, injection: Array) -> Array:
        """Bus injections in per unit, without the slack's entry, shape (..., n_bus - 1)."""
        slack = self.topology.slack
        return jnp.concatenate([injection[..., :slack], injection[..., slack + 1 :]], axis=-1) / self.s_base_mva

    def with_slack(self, values: Array, slack_value: Array | float) -> Array:
        """Bus values (..., n_bus) from those without the slack, (..., n_bus - 1), and the slack's own."""
        slack = self.topology.slack
        at_slack = jnp.broadcast_to(jnp.asarray(slack_value, values.dtype), (*values.shape[:-1], 1))
        return jnp.concatenate([values[..., :slack], at_slack, values[..., slack:]], axis=-1)


def per_unit(
    feeder: Feeder, network: str = "auto", *, lossless: bool = False, tap_branches: tuple[int, ...] = ()
) -> PerUnitFeeder:
    """Convert to per unit once, at the entrance of the power flow.

    Computes in float64 on the host while the feeder's arrays are NumPy arrays, and inside jit when they are traced; the
    result is in JAX's precision of the moment. `network` chooses its form: `dense` for any topology, `tree` for a
    radial one, `auto` for the faster: a tree for radial feeders of `TREE_FROM_BUSES` buses or more. With `auto` and
    `sweep`, the same for radial feeders alone, a radial feeder is marked `swept`. A `lossless` network is one of the
    reactances alone. `tap_branches` are those whose ratios a setting may change.

    Raises
    ------
    InputError
        If a tree is asked for and the feeder has a loop, or a lossless network and a loop has no reactance, naming the
        branch that closes it; or a tap changer's branch is part of a loop.
    """
    _check_loops(feeder, network, lossless)
    topology = feeder.topology
    start, end = np.array(topology.from_bus), np.array(topology.to_bus)
    z_base_ohm = feeder.vn_kv[end] ** 2 / feeder.s_base_mva
    r, x = feeder.r_ohm / z_base_ohm, feeder.x_ohm / z_base_ohm
    magnitude = angle = from_ratio = from_current = None
    if feeder.transformers is not None:
        ratio, shift = feeder.transformers.ratio, feeder.transformers.shift_degree * (np.pi / 180.0)
        if feeder.held is not None:  # there is no one way from the slack: nothing is scaled
            from_ratio = (1.0 / ratio, -shift)
        else:
            magnitude, angle = _scales(feeder)
            r, x = r * magnitude[end] ** 2, x * magnitude[end] ** 2
            if not topology.is_radial:
                from_ratio = (magnitude[end] / (magnitude[start] * ratio), angle[end] - angle[start] - shift)  # polar
        from_current = feeder.transformers.rated_ratio * feeder.vn_kv[end] / feeder.vn_kv[start] / ratio
    charging, shunt = _charging(feeder, z_base_ohm, magnitude), _shunt(feeder, magnitude)
    swept = network in ("auto", "sweep") and topology.is_radial and _constant_power_alone(feeder)
    if network in ("auto", "sweep"):
        network = "tree" if topology.is_radial and topology.n_bus >= TREE_FROM_BUSES else "dense"
    form = entered = taps = None
    if feeder.held is None:
        form = _network(feeder, network, 0.0 * r if lossless else r, x, from_ratio)
        admittance = _bus_admittance(topology, charging, shunt, from_ratio)
        entered = None if admittance is None else (form.enter(admittance[0]), form.enter(admittance[1]))
        if tap_branches:
            taps = place_taps(topology, form, tap_branches, lambda branch: _branch_name(feeder, branch))
    grid = PerUnitFeeder(
        form=form,
        r=r,
        x=x,
        charging=charging,
        from_ratio=None if from_ratio is None else _cartesian(*from_ratio),
        shunt=shunt,
        bus_admittance=entered,
        scale=None if magnitude is None else (magnitude, angle),
        from_current=from_current,
        slack_vm=feeder.slack_vm_pu,
        i_base_ka=feeder.s_base_mva
        / (np.sqrt(3.0) * feeder.vn_kv[end])
        * (1.0 if magnitude is None else magnitude[end]),
        max_i_ka=feeder.max_i_ka,
        generators=None,
        held=None if feeder.held is None else _held_network(feeder, r, x, charging, from_ratio, shunt),
        dependence=_dependence(feeder, magnitude, form),
        taps=taps,
        tap_factor=None,
        tap_branches=tap_branches,
        topology=topology,
        s_base_mva=feeder.s_base_mva,
        is_set=False,
        swept=swept,
    )
    return jax.tree.map(jnp.asarray, grid)


def per_unit_linear(feeder: Feeder) -> PerUnitFeeder:
    """Convert a feeder with generators for a linear method: the network of its slack, and how they keep voltages."""
    grid = per_unit(replace(feeder, held=None), "dense")
    assert isinstance(grid.network, DenseNetwork)
    scale = None if grid.scale is None else grid.scale[0]
    generators = generators_of(feeder, grid.network, scale)
    return replace(grid, generators=jax.tree.map(jnp.asarray, generators), swept=False)


def _constant_power_alone(feeder: Feeder) -> bool:
    return feeder.held is None and feeder.voltage_dependence is None


def _dependence(
    feeder: Feeder, magnitude: HostArray | None, form: DenseNetwork | TreeNetwork | None
) -> tuple[Polynomial, Polynomial] | None:
    """Return how p and q follow the voltage, in the network's layout, without one (n_bus,); not at slacks' buses."""
    given = feeder.voltage_dependence
    if given is None:
        return None
    follows = np.ones(feeder.n_bus)
    follows[[feeder.topology.slack, *feeder.topology.further_slacks]] = 0.0
    scale = 1.0 if magnitude is None else 1.0 / magnitude

    def polynomial(current: HostArray, impedance: HostArray) -> Polynomial:
        current, impedance = current * follows, impedance * follows
        found = 1.0 - current - impedance, current * scale, impedance * scale**2
        if form is None:
            return found
        constant, linear, square = (form.enter(each[feeder.topology.non_slack]) for each in found)
        return constant, linear, square

    return polynomial(given.p_current, given.p_impedance), polynomial(given.q_current, given.q_impedance)


def _check_loops(feeder: Feeder, network: str, lossless: bool) -> None:
    """Raise if the network asked for cannot hold the feeder's loops."""
    if network not in NETWORKS:
        raise InputError(f"network = {network!r} must be one of {', '.join(NETWORKS)}")
    if network == "sweep" and feeder.voltage_dependence is not None:
        raise InputError(
            f"feeder {feeder.name!r} has loads that follow the voltage, which 'sweep' does not know; take 'auto'"
        )
    if feeder.held is not None:
        if network in ("tree", "sweep"):
            raise InputError(
                f"feeder {feeder.name!r} has generators or several external grids, which {network!r} cannot hold; "
                "take 'auto'"
            )
        return
    loop_branches = spanning_tree(feeder.topology).loop_branches
    if network in ("tree", "sweep") and not feeder.topology.is_radial:
        raise InputError(
            f"feeder {feeder.name!r} is not radial: branch {_branch_name(feeder, loop_branches[0])} closes a "
            f"loop, and {network!r} needs a tree; open a branch of it, or ask for the network 'dense'"
        )
    if lossless and isinstance(feeder.x_ohm, np.ndarray):
        bare = [branch for branch in loop_branches if feeder.x_ohm[branch] == 0]
        if bare:
            raise InputError(
                f"feeder {feeder.name!r}: branch {_branch_name(feeder, bare[0])} closes a loop with x_ohm = 0, on "
                "which `dc` has no answer; give it a reactance, or take `lindistflow` or `ac`"
            )


def _scales(feeder: Feeder) -> Pair:
    """Magnitude and angle of every bus's k: the product of the ratios on its way from the slack."""
    assert feeder.transformers is not None
    ratio, shift = feeder.transformers.ratio, feeder.transformers.shift_degree * (np.pi / 180.0)
    topology, tree = feeder.topology, spanning_tree(feeder.topology)
    if isinstance(ratio, np.ndarray) and isinstance(shift, np.ndarray):
        magnitude, angle = np.ones(topology.n_bus), np.zeros(topology.n_bus)
        for bus in tree.order[1:]:
            branch, sign, above = tree.parent_branch[bus], tree.direction[bus], tree.parent[bus]
            magnitude[bus] = magnitude[above] * ratio[branch] ** sign
            angle[bus] = angle[above] + sign * shift[branch]
        return magnitude, angle
    path = np.insert(path_matrix(topology), topology.slack, 0.0, axis=0)
    return jnp.exp(path @ jnp.log(ratio)), path @ shift


def _charging(feeder: Feeder, z_base_ohm: HostArray, magnitude: HostArray | None) -> Pair | None:
    if feeder.charging is None:
        return None
    half = 0.5e-6 * z_base_ohm
    if magnitude is not None:
        half = half / magnitude[np.array(feeder.topology.to_bus)] ** 2
    half = half * np.array(feeder.topology.in_service)
    return feeder.charging.g_us * half, feeder.charging.b_us * half


def _shunt(feeder: Feeder, magnitude: HostArray | None) -> Pair | None:
    if feeder.shunts is None:
        return None
    base = feeder.s_base_mva * (1.0 if magnitude is None else magnitude**2)
    return feeder.shunts.p_mw / base, -feeder.shunts.q_mvar / base


def _bus_admittance(topology: Topology, charging: Pair | None, shunt: Pair | None, ratio: Pair | None) -> Pair | None:
    """Sum of what hangs on every bus but the slack, shapes (n_bus - 1,)."""
    if charging is None and shunt is None:
        return None
    start, end = np.array(topology.from_bus), np.array(topology.to_bus)
    total = []
    for part in (0, 1):
        at_bus: HostArray = 0.0 if shunt is None else shunt[part]
        if charging is not None:
            at_start = charging[part] if ratio is None else charging[part] * ratio[0] ** 2
            at_bus = (
                at_bus + _at_buses(start, at_start, topology.n_bus) + _at_buses(end, charging[part], topology.n_bus)
            )
        total.append(at_bus[topology.non_slack])
    return total[0], total[1]


def _at_buses(bus: np.ndarray, values: HostArray, n_bus: int) -> HostArray:
    if isinstance(values, np.ndarray):
        return np.bincount(bus, values, n_bus)
    return jnp.zeros(n_bus).at[bus].add(values)


def _branch_name(feeder: Feeder, branch: int) -> str:
    ends = feeder.topology.from_bus[branch], feeder.topology.to_bus[branch]
    return "-".join(str(feeder.bus_labels[bus]) for bus in ends)


def _network(
    feeder: Feeder, network: str, r: HostArray, x: HostArray, from_ratio: Pair | None
) -> DenseNetwork | TreeNetwork:
    topology = feeder.topology
    if network == "tree":
        return tree_network(topology, r, x, feeder.slack_vm_pu)
    loops = spanning_tree(topology).loop_branches
    loop_ratio = None
    if from_ratio is not None and len(loops):
        real, imaginary = _cartesian(from_ratio[0][loops], from_ratio[1][loops])
        loop_ratio = real + 1j * imaginary
    return dense_network(topology, r, x, feeder.slack_vm_pu, loop_ratio)


def _held_network(
    feeder: Feeder, r: HostArray, x: HostArray, charging: Pair | None, from_ratio: Pair | None, shunt: Pair | None
) -> HeldNetwork:
    """Build the equations of held voltages from what is not scaled; `from_ratio` is polar."""
    topology = feeder.topology
    ratio: HostArray = np.ones(topology.n_branch, complex)
    if from_ratio is not None:
        real, imaginary = _cartesian(*from_ratio)
        ratio = real + 1j * imaginary
    half = np.zeros(topology.n_branch) if charging is None else charging[0] + 1j * charging[1]
    own = np.zeros(topology.n_bus) if shunt is None else shunt[0] + 1j * shunt[1]
    return held_network(feeder, r, x, ratio, half, own)


def admittances(feeder: Feeder) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return y, start, is_external and is_generator of a feeder's buses on the host, nothing scaled.

    Complex (n_bus, n_bus) per unit; voltages with those that are held, complex (n_bus,); bool (n_bus,) each.
    """
    z_base_ohm = feeder.vn_kv[np.array(feeder.topology.to_bus)] ** 2 / feeder.s_base_mva
    from_ratio = None
    if feeder.transformers is not None:
        turned = -feeder.transformers.shift_degree * (np.pi / 180.0)
        from_ratio = (1.0 / feeder.transformers.ratio, turned)
    r, x = feeder.r_ohm / z_base_ohm, feeder.x_ohm / z_base_ohm
    held = _held_network(feeder, r, x, _charging(feeder, z_base_ohm, None), from_ratio, _shunt(feeder, None))
    n = feeder.n_bus
    y = held.y[:n, :n].T + 1j * held.y[:n, n:].T
    return y, held.voltage[:n] + 1j * held.voltage[n:], np.array(held.is_external), np.array(held.is_generator)


def _cartesian(magnitude: HostArray, angle: HostArray) -> Pair:
    xp = np if isinstance(magnitude, np.ndarray) and isinstance(angle, np.ndarray) else jnp
    return magnitude * xp.cos(angle), magnitude * xp.sin(angle)
