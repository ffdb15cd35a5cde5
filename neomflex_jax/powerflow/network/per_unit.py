"""A feeder in per unit, in the shape that all methods share.

Transformers are scaled away (`scaling.py`): every method works on voltages ``u = k v``, and `results.py` turns them
back. Shunts and line charging are admittances ``y`` at the buses; they draw ``y u``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.parts import STATIC, HostArray
from neomflex_jax.grid.topology import Topology
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow.network.dense import DenseNetwork
from neomflex_jax.powerflow.network.form import branch_name, check_form, is_swept, network_of
from neomflex_jax.powerflow.network.generators import Generators, generators_of
from neomflex_jax.powerflow.network.held import HeldNetwork, held_network
from neomflex_jax.powerflow.network.scaling import Pair, Scaled, cartesian, scaled_branches
from neomflex_jax.powerflow.network.taps import Taps, place_taps
from neomflex_jax.powerflow.network.tree import TreeNetwork
from neomflex_jax.powerflow.network.windings import RatedEnds, rated_ends

Polynomial = tuple[HostArray, HostArray, HostArray]  # coefficients of 1, |u| and |u|^2


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class PerUnitFeeder:
    """Per-unit values, scaled as the module says. None stands for what the feeder does not have."""

    form: DenseNetwork | TreeNetwork | None  # None where the feeder is solved on its admittances
    r: HostArray  # (n_branch,)
    x: HostArray  # (n_branch,)
    charging: Pair | None  # (n_branch,) half-admittances g and b of the branches, one at each end
    from_ratio: Pair | None  # (n_branch,) voltage behind the ideal transformer at the from end over u of that bus
    shunt: Pair | None  # (n_bus,) admittances of the bus shunts alone
    bus_admittance: Pair | None  # network layout: shunts and charging; with batch axes where they vary
    scale: Pair | None  # (n_bus,) magnitude of k, and its angle in rad
    from_current: HostArray | None  # (n_branch,) from-end current, as a share of its rating, per to-end current
    slack_vm: HostArray  # ()
    rated_ends: RatedEnds | None  # that carry more than their branch
    i_base_ka: HostArray  # (n_branch,) at the to end
    max_i_ka: HostArray  # (n_branch,)
    held: HeldNetwork | None  # where the feeder is solved on its admittances
    generators: Generators | None  # in their place, for the methods that are linear
    dependence: tuple[Polynomial, Polynomial] | None  # of p and of q; network layout, (n_bus,) where held
    steady: tuple[Array, Array] | None  # p and q of a setting that follow no voltage; as `dependence`, (..., n_bus)
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
        """The impedances; there are none where the feeder is solved on its admittances."""
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
    feeder: Feeder,
    network: str = "auto",
    *,
    lossless: bool = False,
    tap_branches: tuple[int, ...] = (),
    keep_q_limits: bool = False,
) -> PerUnitFeeder:
    """Convert to per unit once, at the entrance of the power flow.

    Computes in float64 on the host while the feeder's arrays are NumPy arrays, and inside jit when they are traced; the
    result is in JAX's precision of the moment. `network` chooses its form: `dense` for any topology, `tree` for a
    radial one, `auto` for the faster: a tree for radial feeders of `TREE_FROM_BUSES` buses or more. With `auto` and
    `sweep`, the same for radial feeders alone, a radial feeder is marked `swept`. A `lossless` network is one of the
    reactances alone. `tap_branches` are those whose ratios a setting may change; with `keep_q_limits`
    generators keep their limits of q.

    Raises
    ------
    InputError
        If a tree is asked for and the feeder has a loop, or a lossless network and a loop has no reactance, naming the
        branch that closes it; or a tap changer's branch is part of a loop.
    """
    check_form(feeder, network, lossless)
    topology, scaled = feeder.topology, scaled_branches(feeder, along_tree=not feeder.needs_admittances)
    form = entered = taps = held = None
    if feeder.needs_admittances:
        held = held_network(feeder, scaled, keep_q_limits=keep_q_limits)
    else:
        form = network_of(feeder, network, scaled, lossless)
        admittance = _bus_admittance(topology, scaled)
        entered = None if admittance is None else (form.enter(admittance[0]), form.enter(admittance[1]))
        if tap_branches:
            taps = place_taps(topology, form, tap_branches, lambda branch: branch_name(feeder, branch))
    grid = PerUnitFeeder(
        form=form,
        r=scaled.r,
        x=scaled.x,
        charging=scaled.charging,
        from_ratio=None if scaled.from_ratio is None else cartesian(*scaled.from_ratio),
        shunt=scaled.shunt,
        bus_admittance=entered,
        scale=scaled.scale,
        from_current=scaled.from_current,
        rated_ends=rated_ends(feeder, None if scaled.scale is None else scaled.scale[0]),
        slack_vm=feeder.slack_vm_pu,
        i_base_ka=scaled.i_base_ka,
        max_i_ka=feeder.max_i_ka,
        held=held,
        generators=None,
        dependence=_dependence(feeder, scaled, form),
        steady=None,
        taps=taps,
        tap_factor=None,
        tap_branches=tap_branches,
        topology=topology,
        s_base_mva=feeder.s_base_mva,
        is_set=False,
        swept=is_swept(feeder, network),
    )
    return jax.tree.map(jnp.asarray, grid)


def per_unit_linear(feeder: Feeder) -> PerUnitFeeder:
    """Convert a feeder with generators for a linear method: the network of its slack, and how they keep voltages."""
    grid = per_unit(replace(feeder, held=None), "dense")
    assert isinstance(grid.network, DenseNetwork)
    scale = None if grid.scale is None else grid.scale[0]
    generators = generators_of(feeder, grid.network, scale)
    return replace(grid, generators=jax.tree.map(jnp.asarray, generators), swept=False)


def _dependence(
    feeder: Feeder, scaled: Scaled, form: DenseNetwork | TreeNetwork | None
) -> tuple[Polynomial, Polynomial] | None:
    """Return how p and q follow the voltage, in the network's layout, without one (n_bus,); not at slacks' buses."""
    given = feeder.voltage_dependence
    if given is None:
        return None
    follows = np.ones(feeder.n_bus)
    follows[[feeder.topology.slack, *feeder.topology.further_slacks]] = 0.0
    scale = 1.0 if scaled.scale is None else 1.0 / scaled.scale[0]

    def polynomial(current: HostArray, impedance: HostArray) -> Polynomial:
        current, impedance = current * follows, impedance * follows
        found = 1.0 - current - impedance, current * scale, impedance * scale**2
        if form is None:
            return found
        constant, linear, square = (form.enter(each[feeder.topology.non_slack]) for each in found)
        return constant, linear, square

    return polynomial(given.p_current, given.p_impedance), polynomial(given.q_current, given.q_impedance)


def _bus_admittance(topology: Topology, scaled: Scaled) -> Pair | None:
    """Sum of what hangs on every bus but the slack, shapes (n_bus - 1,)."""
    charging, shunt, ratio = scaled.charging, scaled.shunt, scaled.from_ratio
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
