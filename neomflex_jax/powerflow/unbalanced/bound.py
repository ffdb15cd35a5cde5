"""The power flow of an unbalanced feeder, bound to its network: a function of its loads' powers, and a pytree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Num

from neomflex_jax.errors import InputError
from neomflex_jax.grid.parts import STATIC
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.jax_settings import nan_is_a_value, platform_is_there
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow.batch import solve_cases
from neomflex_jax.powerflow.network.setting import Setting
from neomflex_jax.powerflow.piece_sizes import PieceSizes, branch_sizes
from neomflex_jax.powerflow.result import PowerFlowResult
from neomflex_jax.powerflow.stopping import AcConfig
from neomflex_jax.powerflow.unbalanced.branches import (
    Branches,
    Case,
    Consumption,
    branches_of,
    nominal_of,
    with_device_branches,
)
from neomflex_jax.powerflow.unbalanced.flow import flow_of, linear_flow_of, seen_by_controls
from neomflex_jax.powerflow.unbalanced.iteration import own_slope
from neomflex_jax.powerflow.unbalanced.linear import AROUND_OWN_LOADS, Linear
from neomflex_jax.powerflow.unbalanced.network import PortNetwork, port_network
from neomflex_jax.powerflow.unbalanced.own import checked_setting, own_of, tap_ranges
from neomflex_jax.powerflow.unbalanced.port_rows import Chosen
from neomflex_jax.powerflow.unbalanced.solve import solve_rises
from neomflex_jax.powerflow.unbalanced.unbalance import phase_positions


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class UnbalancedPowerFlow:
    """A method on a feeder with phases: `ac` by a fixed point on its loads, or a linear one. Made by `bind`."""

    network: PortNetwork
    branches: Branches
    linear: Linear | None  # None: `ac`
    phases: tuple[tuple[int, ...], ...] = field(metadata=STATIC)  # positions of three-phase buses' nodes
    node_labels: tuple[int | str, ...] = field(metadata=STATIC)
    device_nodes: tuple[int | str, ...] = field(metadata=STATIC)  # labels of those at which devices may feed in
    chosen: Chosen = field(metadata=STATIC)  # what each case may set
    tap_ranges: tuple[tuple[float, float], ...] = field(metadata=STATIC)  # (n_tap,) lowest and highest
    n_load: int = field(metadata=STATIC)
    config: AcConfig = field(metadata=STATIC)
    idle: Setting | None = None  # of an environment's step with all devices at zero; None: rated taps, no capacitor in

    __repr__ = one_line

    @nan_is_a_value()
    def __call__(
        self,
        load_p_mw: Num[ArrayLike, " n_load"],
        load_q_mvar: Num[ArrayLike, " n_load"],
        p_injection_mw: Num[ArrayLike, " n_device_node"] | None = None,
        q_injection_mvar: Num[ArrayLike, " n_device_node"] | None = None,
        setting: Setting | None = None,
    ) -> PowerFlowResult:
        """Solve one case; `jax.vmap` or `solve` solves many.

        Parameters
        ----------
        load_p_mw, load_q_mvar
            Nominal consumption of every load in MW and Mvar, (n_load,) in the order of ``feeder.loads``; what feeds in
            is below 0. Each is connected and follows the voltage as the feeder has it.
        p_injection_mw, q_injection_mvar
            What devices feed in at the nodes `device_nodes`, in MW and Mvar, (n_device_node,): constant power between
            each node and ground, positive into the grid. None: nothing. Both or neither.
        setting
            The case's own taps in per unit of the windings' rated voltages, ``tap_ratio`` (n_tap,), and shares of
            capacitors that are in, ``capacitor_share`` (n_capacitor,) in 0..1, in the order that was bound; whole steps
            are for who sets them to take. None: as the feeder has them.

        Returns
        -------
        PowerFlowResult
            Voltages by node, ``vuf_percent`` by three-phase bus. Failure is a value: see `converged`, `residual_mva`.

        Raises
        ------
        InputError
            If the setting is of what was not bound, or has another shape.
        """
        given = [x for x in (load_p_mw, load_q_mvar, p_injection_mw, q_injection_mvar) if x is not None]
        dtype = jnp.result_type(*given, self.network.start)
        load_p, load_q, *fed_in = (jnp.asarray(values, dtype) for values in given)
        with jax.default_matmul_precision("highest"):  # accelerators would round float32 products to 10 bits
            case = Case(load_p, load_q, *fed_in)
            drawn = self.branches.consumption(case)
            own = own_of(self.network.ports, self.chosen, setting, dtype)
            phases = np.array(self.phases, int).reshape(-1, 3)
            if self.linear is not None:
                return linear_flow_of(self.network, self.branches.follows, drawn, own, self.linear, phases)
            solved = solve_rises(self.network, self.branches, case, own, self.config)
            return flow_of(self.network, self.branches.follows, drawn, own, solved, phases)

    @nan_is_a_value()
    def measured(
        self,
        load_p_mw: Array,
        load_q_mvar: Array,
        setting: Setting,
        nodes: np.ndarray,
        p_injection_mw: Array | None = None,
        q_injection_mvar: Array | None = None,
    ) -> tuple[Array, Array, Array]:
        """Solve one case for what controls measure.

        Parameters
        ----------
        load_p_mw, load_q_mvar, setting, p_injection_mw, q_injection_mvar
            As in a call.
        nodes
            Positions of the nodes whose voltages they measure, (n_measured,).

        Returns
        -------
        tuple of Array
            Complex voltages in pu, (n_measured,), currents into the metered conductors in kA, whether it converged.
        """
        with jax.default_matmul_precision("highest"):
            case = Case(load_p_mw, load_q_mvar, p_injection_mw, q_injection_mvar)
            own = own_of(self.network.ports, self.chosen, setting, load_p_mw.dtype)
            solved = solve_rises(self.network, self.branches, case, own, self.config)
            volts, amperes = seen_by_controls(self.network, solved, nodes)
        return volts, amperes, solved.converged & jnp.isfinite(volts).all()

    @property
    def method(self) -> str:
        """Name of the method."""
        return "ac" if self.linear is None else self.linear.name

    @property
    def dtype(self) -> DTypeLike:
        """Precision of the network."""
        return self.network.start.dtype

    @property
    def n_node(self) -> int:
        """Number of nodes."""
        return len(self.node_labels)

    def as_solved_here(self, dtype: DTypeLike) -> UnbalancedPowerFlow:
        """Return this one: matrix products are for any process.

        Parameters
        ----------
        dtype
            Precision of the cases, which changes nothing here.

        Returns
        -------
        UnbalancedPowerFlow
            The same object.
        """
        return self

    def piece_sizes(self, fields: tuple[str, ...] | None = None) -> PieceSizes:
        """Sizes in which a CPU solves a batch.

        Parameters
        ----------
        fields
            What is needed of the result, which changes nothing here.

        Returns
        -------
        PieceSizes
            In cases, by the number of the loads' branches.
        """
        return branch_sizes(len(self.branches.load))

    @platform_is_there()
    @nan_is_a_value()
    def solve(
        self,
        load_p_mw: Num[ArrayLike, "*#batch #n_load"],
        load_q_mvar: Num[ArrayLike, "*#batch #n_load"],
        fields: tuple[str, ...] | None = None,
        *,
        p_injection_mw: Num[ArrayLike, "*#batch #n_device_node"] | None = None,
        q_injection_mvar: Num[ArrayLike, "*#batch #n_device_node"] | None = None,
        setting: Setting | None = None,
    ) -> PowerFlowResult:
        """Solve one case or any batch of them, compiled.

        Parameters
        ----------
        load_p_mw, load_q_mvar
            As in a call, shapes (..., n_load), broadcast to each other.
        p_injection_mw, q_injection_mvar
            As in a call, shapes (..., n_device_node), of the loads' leading axes.
        setting
            As in a call, of the loads' leading axes, or of none for all cases alike.
        fields
            What is needed of the result; the rest is None and is not computed. None takes all.

        Returns
        -------
        PowerFlowResult
            Fields with the loads' leading axes.

        Raises
        ------
        InputError
            If the last axis has another length, or the shapes do not fit together; on a setting of what was not bound,
            or outside jit a tap outside of its winding's range or a share outside of 0..1.
        """
        p, q = jnp.asarray(load_p_mw), jnp.asarray(load_q_mvar)
        try:
            p, q = jnp.broadcast_arrays(p, q)
        except ValueError:
            raise InputError(f"load_p_mw {p.shape} and load_q_mvar {q.shape} do not fit together") from None
        if p.ndim == 0 or p.shape[-1] != self.n_load:
            raise InputError(f"loads have shape {p.shape}; the last axis must be n_load = {self.n_load}")
        fed_in = self._fed_in(p_injection_mw, q_injection_mvar, p.shape[:-1])
        own = checked_setting(self.chosen, self.tap_ranges, setting, p.shape[:-1])
        cases = (p, q, *(fed_in or (None, None)), own)
        n_cases = math.prod(p.shape[:-1])
        cases = jax.tree.map(lambda values: values.reshape(n_cases, values.shape[-1]), cases)
        flow = solve_cases(self, cases, fields)
        return jax.tree.map(lambda leaf: leaf.reshape(p.shape[:-1] + leaf.shape[1:]), flow)

    def _fed_in(
        self, p_injection_mw: ArrayLike | None, q_injection_mvar: ArrayLike | None, batch: tuple[int, ...]
    ) -> tuple[Array, ...]:
        """Check what devices feed in and return it in the batch's shape; nothing of nothing."""
        if p_injection_mw is None and q_injection_mvar is None:
            return ()
        n_device = len(self.device_nodes)
        given = {"p_injection_mw": p_injection_mw, "q_injection_mvar": q_injection_mvar}
        found = []
        for name, values in given.items():
            if values is None:
                raise InputError(f"{name} is missing; give both injections, zeros say, or neither")
            shape = np.shape(values)
            if shape[-1:] != (n_device,) or (len(shape) > 1 and shape[:-1] != batch):
                raise InputError(
                    f"{name} has shape {shape}; expected {(*batch, n_device)}, the nodes of device_nodes last"
                )
            found.append(jnp.broadcast_to(jnp.asarray(values), (*batch, n_device)))
        return tuple(found)


@platform_is_there()
@nan_is_a_value()
def bind_unbalanced(
    feeder: UnbalancedFeeder,
    ac_config: AcConfig = AcConfig(),
    *,
    method: str = "ac",
    taps: Sequence[tuple[str, int]] = (),
    capacitors: Sequence[str] = (),
    meters: Sequence[tuple[str, int]] = (),
    device_nodes: Sequence[int | str] = (),
) -> UnbalancedPowerFlow:
    """Factorise an unbalanced feeder's network once, to solve it many times by one of `UNBALANCED_METHODS`.

    Parameters
    ----------
    feeder
        The grid, at its present taps; its loads' models are taken over, their powers are given with each case.
    ac_config
        Tolerance and iteration limit.
    method
        `ac`, or one of `linear.py`: `lindistflow`, or `calibrated`, which is exact at the feeder's own loads.
    taps
        Windings whose taps each case may set, by the transformer's name and the winding's number from 1.
    capacitors
        Capacitors of which each case may set the share that is in, by name.
    meters
        Conductors whose currents `measured` returns, by the element's name and their number from 0.
    device_nodes
        Labels of nodes at which each case may feed in constant power, each once.

    Returns
    -------
    UnbalancedPowerFlow
        In JAX's present precision.

    Raises
    ------
    InputError
        If a part of the feeder has no unique voltages, naming a node, or there is no such node, winding or capacitor.
    """
    chosen = Chosen(tuple((str(name), int(winding)) for name, winding in taps), tuple(capacitors), tuple(meters))
    # without any branch there is nothing to iterate on: one that draws nothing stands in
    standing_in = () if feeder.loads or device_nodes else feeder.node_labels[:1]
    joined, device = with_device_branches(feeder, (*device_nodes, *standing_in))
    network, branches = port_network(joined, chosen), branches_of(joined, device[: len(device_nodes)])
    powers = nominal_of(joined)
    nominal = Consumption(jnp.asarray(powers.real), jnp.asarray(powers.imag))
    network = replace(network, own_slope=own_slope(network, branches.follows, nominal))
    return UnbalancedPowerFlow(
        network,
        branches,
        _linear(method, feeder, network, branches),
        tuple(map(tuple, phase_positions(feeder).tolist())),
        feeder.node_labels,
        tuple(device_nodes),
        chosen,
        tap_ranges(feeder, chosen),
        feeder.n_load,
        ac_config,
    )


def _linear(method: str, feeder: UnbalancedFeeder, network: PortNetwork, branches: Branches) -> Linear | None:
    """Make the linear method of this name, None for `ac`."""
    if method not in AROUND_OWN_LOADS:
        return None
    if not AROUND_OWN_LOADS[method]:
        return Linear(None, method)
    own = Case(jnp.asarray(feeder.load_p_mw), jnp.asarray(feeder.load_q_mvar))
    solved = solve_rises(network, branches, own, None, AcConfig())
    if not solved.converged:
        raise InputError(
            f"feeder {feeder.name!r}: its own loads have no power flow to be {method!r} around; take 'ac', or less load"
        )
    return Linear(solved.rise, method)
