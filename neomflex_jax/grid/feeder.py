"""A balanced distribution feeder in physical units: radial or meshed, of one voltage level or several.

Every branch (a line, a two-winding transformer, or one between two of three windings) is the same two-port::

    from --( ratio e^{j shift} : 1 )--+--[ r + jx ]--+-- to
                                    y/2              y/2

with ``r_ohm + j x_ohm`` and ``y = g_us + j b_us`` (in microsiemens) at the voltage level of the `to` bus, and `ratio`
the off-nominal voltage ratio in per unit of the two buses' `vn_kv`. Source: MATPOWER User's Manual, section 3.2.
An equivalent of a network may show another impedance z' from its `to` end (`back`): with the per-unit voltages of its
ends, ``(u_from - u_to) / z`` flows into it there and ``(u_from - u_to) / z'`` out of it here, and what both powers
differ by counts as its loss. Such a branch has no ratio, shift and charging.

What may change without recompiling (impedances, loads, voltages, ratings) is an array leaf; the topology is static. A
part that a feeder does not have (charging, transformers, shunts) is None and costs nothing. Loads and shunts are
consumption, positive out of the grid; injections elsewhere are positive into it, so a bus with nothing but its load
injects ``-load_p_mw``. Shunts are constant admittance, stated at 1 pu; loads constant power, unless the feeder says how
they follow the voltage v in pu (`voltage_dependence`), by shares c of a constant current and z of a constant impedance,
apart for p and q::

    p(v) = p (1 - c - z + c v + z v^2)

with p whatever is injected at the bus, as pandapower has it, but for what is said to be steady, as devices of an
environment are; at the bus of a slack nothing follows. Where generators or
further external grids hold voltages beside the slack's (`held`), what generators produce comes on top of all
injections, and the slack's powers of a result are the sums over all external grids.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias, overload

import jax
import numpy as np
from jaxtyping import Float

from neomflex_jax.errors import InputError
from neomflex_jax.grid.checks import checked
from neomflex_jax.grid.columns import FeederColumns
from neomflex_jax.grid.elements import NO_ELEMENTS, Elements
from neomflex_jax.grid.nodes import Nodes
from neomflex_jax.grid.parts import (
    NO_DEVICES,
    STATIC,
    BackImpedances,
    Charging,
    HeldVoltages,
    HostArray,
    OwnDevices,
    Shunts,
    Transformers,
    VoltageDependence,
    Windings,
    branch_names,
    summarise_labels,
)
from neomflex_jax.grid.small_map import small_map
from neomflex_jax.grid.topology import Topology
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.loose_types import BusLabel
from neomflex_jax.one_line import cut
from neomflex_jax.pages import Table, notebook_cell


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Feeder:
    """A whole grid, with one slack or more. `load_feeder`, `Feeder.from_...` and `build_feeder` make and check it."""

    r_ohm: Float[HostArray, " n_branch"]
    x_ohm: Float[HostArray, " n_branch"]
    max_i_ka: Float[HostArray, " n_branch"]  # rating at the to end; NaN where the source states none
    load_p_mw: Float[HostArray, " n_node"]  # nominal consumption
    load_q_mvar: Float[HostArray, " n_node"]
    vn_kv: Float[HostArray, " n_bus"]
    slack_vm_pu: Float[HostArray, ""]
    topology: Topology = field(metadata=STATIC)
    bus_labels: tuple[int, ...] = field(metadata=STATIC)  # the user's own bus numbers, in array order
    name: str = field(metadata=STATIC)
    charging: Charging | None = None
    transformers: Transformers | None = None
    windings: Windings | None = None
    shunts: Shunts | None = None
    back: BackImpedances | None = None
    held: HeldVoltages | None = None  # beside the slack's
    voltage_dependence: VoltageDependence | None = None
    max_loading_percent: Float[HostArray, " n_branch"] | None = None  # limit, of max_i_ka; NaN where none is stated
    s_base_mva: float = field(default=1.0, metadata=STATIC)
    own_devices: OwnDevices = field(default=NO_DEVICES, metadata=STATIC)
    elements: Elements = field(default=NO_ELEMENTS, metadata=STATIC)  # what the load is the sum of, if the source says

    def __repr__(self) -> str:
        closed = sum(self.topology.in_service)
        return (
            f"Feeder({cut(repr(self.name))}, {self.n_bus} buses, {closed} of {self.topology.n_branch} branches closed)"
        )

    def _repr_html_(self) -> str:
        topology, rated = self.topology, np.isfinite(np.asarray(self.max_i_ka, float))
        levels = ", ".join(f"{level:g}" for level in np.unique(np.round(self.vn_kv, 6))[::-1])
        rows = (
            ("buses", f"{self.n_bus}, slack at bus {self.bus_labels[topology.slack]}"),
            ("branches closed, of all", f"{sum(topology.in_service)} of {topology.n_branch}"),
            ("voltage levels, kV", levels),
            ("load, MW and Mvar", f"{np.sum(self.load_p_mw):.4g}, {np.sum(self.load_q_mvar):.4g}"),
            ("ratings known", f"{int(rated.sum())} of {topology.n_branch} branches"),
        )
        drawing = small_map(topology, [f"bus {label}" for label in self.bus_labels])
        return notebook_cell("Feeder", self.name, Table((), rows), drawing=drawing)

    @staticmethod
    def from_columns(columns: FeederColumns) -> Feeder:
        """Check what a reader found and make a feeder of it.

        Parameters
        ----------
        columns
            Buses, branches and parts in physical units.

        Returns
        -------
        Feeder
            Checked: connected, with a slack.

        Raises
        ------
        InputError
            As `neomflex_jax.grid.build.build_feeder` does, after the name of the file or net that was read.
        """
        return Feeder(**checked(columns))

    @staticmethod
    def from_csv(folder: str | Path) -> Feeder:
        """Read a feeder folder (``buses.csv``, ``branches.csv``, optional ``feeder.toml``).

        Parameters
        ----------
        folder
            See `neomflex_jax.grid.from_csv` for the columns of its files.

        Returns
        -------
        Feeder
            Under the folder's name.

        Raises
        ------
        InputError
            If a file is missing or holds something that is no connected feeder, naming file, line and column.
        """
        from neomflex_jax.grid.from_csv import read_columns

        return Feeder.from_columns(read_columns(Path(folder)))

    @overload
    @staticmethod
    def from_pandapower(net: object, *, islands: bool = ..., strict: bool = ..., phases: Literal[False]) -> Feeder: ...

    @overload
    @staticmethod
    def from_pandapower(
        net: object, *, islands: bool = ..., strict: bool = ..., phases: Literal[True]
    ) -> UnbalancedFeeder: ...

    @overload
    @staticmethod
    def from_pandapower(
        net: object, *, islands: bool = ..., strict: bool = ..., phases: bool | None = ...
    ) -> Feeder | UnbalancedFeeder: ...

    @staticmethod
    def from_pandapower(
        net: object, *, islands: bool = False, strict: bool = True, phases: bool | None = None
    ) -> Feeder | UnbalancedFeeder:
        """Convert a pandapower net, or a ``net.json`` by its path.

        Parameters
        ----------
        net
            See `neomflex_jax.grid.from_pandapower` for what is modelled and what is refused.
        islands
            True takes areas that no closed branch connects, each with an external grid of its own, as one feeder;
            otherwise such a net is refused.
        strict
            False reads what `runpp` decides by itself as it does: islands with an external grid each, as with
            `islands`; several external grids at one bus as one; what nothing connects to any of them is left out, with
            a warning that names it. Otherwise such a net is refused.
        phases
            True reads the net with its phases, as `runpp_3ph` does: see
            `neomflex_jax.grid.from_pandapower.with_phases`. False reads it as balanced, asymmetric loads by the sum of
            their phases. None takes phases where the net has asymmetric loads or sgens in service and any
            zero-sequence data.

        Returns
        -------
        Feeder or UnbalancedFeeder
            Under the net's name, with the net's own bus numbers as labels; nodes of phases are ``bus.phase``, "12.3".

        Raises
        ------
        InputError
            If the net holds an element that is not modelled, naming it.
        """
        from neomflex_jax.grid.from_pandapower import read_columns
        from neomflex_jax.grid.from_pandapower.with_phases import has_phases, read_unbalanced

        if has_phases(net) if phases is None else phases:
            return read_unbalanced(net, strict=strict)
        return Feeder.from_columns(read_columns(net, islands=islands, strict=strict))

    @staticmethod
    def from_opendss(path: str | Path, *, strict: bool = True) -> UnbalancedFeeder:
        """Read the circuit of an OpenDSS file, with all its phases.

        Parameters
        ----------
        path
            The master file. See `neomflex_jax.grid.from_opendss` for what is modelled. Controls do not act: taps,
            capacitors and switches stand as the file leaves them. A warning names buses that nothing connects to a
            source, whose voltages are 0 here as in OpenDSS.
        strict
            False leaves loads at such buses without voltage, and a warning names them; otherwise they are refused.

        Returns
        -------
        UnbalancedFeeder
            Under the circuit's name; nodes are labelled as OpenDSS has them, in lower case ("650.1").

        Raises
        ------
        InputError
            If opendssdirect.py is not installed (extra `opendss`), OpenDSS refuses the file (in its own words, with
            file and line), the circuit holds an element that is not modelled or a figure that leaves it without
            voltages, naming the element, nothing grounds a node, or nothing feeds a load.
        """
        from neomflex_jax.grid.from_opendss import read_feeder

        return read_feeder(path, strict=strict)

    @property
    def n_bus(self) -> int:
        """Number of buses, slack included."""
        return self.topology.n_bus

    @cached_property
    def nodes(self) -> Nodes:
        """Where the feeder has voltages: one node a bus."""
        return Nodes.one_a_bus(self.bus_labels)

    @property
    def load_buses(self) -> tuple[int | str, ...]:
        """Label of the bus of each load; they are counted node by node."""
        return self.nodes.bus

    @property
    def n_node(self) -> int:
        """Number of nodes."""
        return len(self.nodes)

    @property
    def node_labels(self) -> tuple[int | str, ...]:
        """Labels of the nodes, in array order."""
        return self.nodes.labels

    @cached_property
    def branch_names(self) -> tuple[str, ...]:
        """Names of the branches by their buses' labels, ``from-to``; the second of parallel ones ends in ``(2)``."""
        ends = zip(self.topology.from_bus, self.topology.to_bus, strict=True)
        return branch_names((self.bus_labels[start], self.bus_labels[end]) for start, end in ends)

    @property
    def has_two_impedances(self) -> bool:
        """True if a closed branch has another impedance from its `to` end."""
        return self.back is not None and any(self.topology.in_service[branch] for branch in self.back.branch)

    @property
    def needs_admittances(self) -> bool:
        """True without an impedance matrix: voltages beside the slack's are held, or a branch has two impedances."""
        return self.held is not None or self.has_two_impedances

    @property
    def to_bus_labels(self) -> tuple[int, ...]:
        """Labels of the buses at which the branches end, (n_branch,)."""
        return tuple(self.bus_labels[end] for end in self.topology.to_bus)

    def consumption_mva(self) -> np.ndarray:
        """Nominal consumption by node, p + jq in MVA, (n_node,), without the grid's own generation.

        The sum of the loads where the source lists its elements; elsewhere a node's net load, 0 where it is negative.
        """
        if self.elements:
            return self.elements.consumption_mva(self.nodes)
        p_mw, q_mvar = np.asarray(self.load_p_mw, float), np.asarray(self.load_q_mvar, float)
        return np.where(p_mw >= 0, p_mw + 1j * q_mvar, 0.0)

    @cached_property
    def _positions(self) -> dict[BusLabel, int]:
        return {label: position for position, label in enumerate(self.bus_labels)}

    def bus_position(self, label: BusLabel) -> int:
        """Return where a bus stands in the arrays.

        Parameters
        ----------
        label
            What the user calls it.

        Returns
        -------
        int
            From 0.

        Raises
        ------
        InputError
            If there is no such bus.
        """
        try:
            return self._positions[label]
        except KeyError:
            raise InputError(
                f"feeder {self.name!r} has no bus {label}; its buses: {summarise_labels(self.bus_labels)}"
            ) from None


AnyFeeder: TypeAlias = Feeder | UnbalancedFeeder
