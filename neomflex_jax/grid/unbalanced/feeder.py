"""An unbalanced distribution feeder in physical units: any number of conductors, of any connection.

A bus has a node for each of its phases and neutrals, and a phase that is not there has no node. With Y the sum of the
primitive admittances of all elements and sources, j the sources' currents and c what loads draw, Kirchhoff's current
law at the nodes is ``Y v = j - c(v)``. Voltages are to ground, in per unit of each node's own base.

Under jit a whole feeder is static: two with equal contents are one.

Everything here is on the host, in float64; `neomflex_jax.bind` puts what a power flow needs on a device. Loads are
consumption, positive out of the grid.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import jax
import numpy as np
from scipy.sparse import coo_matrix

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.grid.nodes import Nodes
from neomflex_jax.grid.parts import summarise_labels
from neomflex_jax.grid.topology import Topology
from neomflex_jax.grid.unbalanced.admittance import assemble
from neomflex_jax.grid.unbalanced.circuit import Circuit
from neomflex_jax.grid.unbalanced.contents import contents_hash
from neomflex_jax.grid.unbalanced.control import Control
from neomflex_jax.grid.unbalanced.element import GROUND, Element
from neomflex_jax.grid.unbalanced.joined import topology_of
from neomflex_jax.grid.unbalanced.load import Load
from neomflex_jax.grid.unbalanced.load_shape import LoadShape
from neomflex_jax.grid.unbalanced.source import Source
from neomflex_jax.loose_types import BusLabel
from neomflex_jax.one_line import cut
from neomflex_jax.pages import Table, notebook_cell


@jax.tree_util.register_static
@dataclass(frozen=True, eq=False)
class UnbalancedFeeder:
    """A whole grid with phases. `Feeder.from_opendss` and `load_feeder` make it."""

    name: str
    nodes: Nodes
    v_base_kv: np.ndarray  # (n_node,) line to ground
    elements: tuple[Element, ...]
    sources: tuple[Source, ...]  # the first is the slack
    loads: tuple[Load, ...]  # generators, PV systems and storages among them
    load_shapes: Mapping[str, LoadShape] = field(default_factory=dict)
    coordinates: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # of buses, where the source has them
    frequency_hz: float = 60.0
    controls: tuple[Control, ...] = ()  # which act in `follow_controls` alone
    circuit: Circuit | None = None  # what OpenDSS reads again as the referee; None: nobody can

    def __repr__(self) -> str:
        return f"UnbalancedFeeder({cut(repr(self.name))}, {self.n_node} nodes, {self.n_load} loads)"

    def _repr_html_(self) -> str:
        levels = ", ".join(f"{level:g}" for level in np.unique(np.round(self.v_base_kv, 6))[::-1])
        rows = (
            ("buses, nodes", f"{self.n_bus}, {self.n_node}"),
            ("buses with three phases", str(len(self.three_phase_buses))),
            ("elements", str(len(self.elements))),
            ("voltage levels to ground, kV", levels),
            ("controls", str(len(self.controls))),
            ("loads", str(self.n_load)),
            ("load, MW and Mvar", f"{self.load_p_mw.sum():.4g}, {self.load_q_mvar.sum():.4g}"),
        )
        return notebook_cell("Feeder with phases", self.name, Table((), rows))

    @cached_property
    def contents(self) -> str:
        """SHA-256 of all that the feeder is but its name."""
        return contents_hash(self.node_labels, self.v_base_kv, self.elements, self.sources, self.loads, self.controls)

    def __hash__(self) -> int:
        return hash((self.name, self.contents))

    def __eq__(self, other: object) -> bool:
        if self is other or not isinstance(other, UnbalancedFeeder):
            return self is other
        return (self.name, self.contents) == (other.name, other.contents)

    @property
    def n_node(self) -> int:
        """Number of nodes."""
        return len(self.nodes)

    @property
    def n_bus(self) -> int:
        """Number of buses."""
        return len(self.nodes.bus_labels)

    @property
    def n_load(self) -> int:
        """Number of loads."""
        return len(self.loads)

    @property
    def node_labels(self) -> tuple[int | str, ...]:
        """Labels of the nodes in array order, ``bus.phase`` as OpenDSS has them, in lower case."""
        return self.nodes.labels

    @property
    def bus_labels(self) -> tuple[int | str, ...]:
        """Labels of the buses, (n_bus,)."""
        return self.nodes.bus_labels

    def bus_position(self, label: BusLabel) -> int:
        """Return where a bus stands among the buses.

        Parameters
        ----------
        label
            Its name.

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
            named = f" (write it as a text, {str(label)!r})" if str(label) in self._positions else ""
            raise InputError(
                f"feeder {self.name!r} has no bus {label}{named}; its buses: {summarise_labels(self.bus_labels)}"
            ) from None

    @cached_property
    def _positions(self) -> dict[Any, int]:
        return {label: position for position, label in enumerate(self.bus_labels)}

    @cached_property
    def topology(self) -> Topology:
        """Which buses the elements join; the bus of the first source is the slack's."""
        return topology_of(self.nodes, self.elements, self.sources[0].element)

    @cached_property
    def load_buses(self) -> tuple[BusLabel, ...]:
        """Label of the bus of each load, (n_load,)."""
        return tuple(self.nodes.bus[load.nodes[0]] for load in self.loads)

    def admittance(self, branches: Collection[int] = ()) -> coo_matrix:
        """Sum the primitive admittances of all elements and sources.

        Parameters
        ----------
        branches
            Positions of branches of loads that count too, by their nominal powers.

        Returns
        -------
        coo_matrix
            Y of the nodes in siemens, (n_node, n_node).
        """
        joining = [*self.elements, *(source.element for source in self.sources)]
        return assemble(self.n_node, joining, self.loads, branches)

    @property
    def load_p_mw(self) -> np.ndarray:
        """Nominal consumption, (n_load,)."""
        return np.array([load.p_mw for load in self.loads])

    @property
    def load_q_mvar(self) -> np.ndarray:
        """Nominal consumption, (n_load,)."""
        return np.array([load.q_mvar for load in self.loads])

    @cached_property
    def three_phase_buses(self) -> tuple[int | str, ...]:
        """Labels of the buses that have the phases 1, 2 and 3, in their order."""
        return self.nodes.three_phase_buses

    @cached_property
    def branch_labels(self) -> tuple[str, ...]:
        """Labels of the conductors at the first terminal of every element, ``element.conductor``, numbered from 1."""
        return tuple(
            f"{element.name}.{number}" for element in self.elements for number in range(1, element.n_conductors + 1)
        )

    @cached_property
    def branch_max_i_ka(self) -> np.ndarray:
        """Ratings of those conductors in kA, NaN where there is none."""
        ratings = [[element.max_i_ka] * element.n_conductors for element in self.elements]
        return np.array([rating for conductors in ratings for rating in conductors], float)

    @property
    def taps(self) -> dict[tuple[str, int], float]:
        """Present tap of every winding in per unit, by the transformer's name and the winding's number from 1."""
        return {
            (element.name, number): winding.tap
            for element in self.elements
            for number, winding in enumerate(element.windings, 1)
        }

    def with_taps(self, taps: Mapping[tuple[str, int], float]) -> UnbalancedFeeder:
        """Return the feeder with some windings at other taps.

        Parameters
        ----------
        taps
            Voltage in per unit of the winding's rated one, by the transformer's name and the winding's number from 1.

        Returns
        -------
        UnbalancedFeeder
            All else unchanged.

        Raises
        ------
        InputError
            If there is no such winding, or the tap is outside of what it has.
        """
        present = self.taps
        for key in taps:
            if key not in present:
                raise unknown_name("winding", " ".join(map(str, key)), [f"{name} {number}" for name, number in present])
        wanted = present | dict(taps)
        changed = {name for name, _ in taps}
        elements = tuple(
            element.with_taps([wanted[element.name, number] for number in range(1, len(element.windings) + 1)])
            if element.name in changed
            else element
            for element in self.elements
        )
        return replace(self, elements=elements)

    @property
    def steps(self) -> dict[str, int]:
        """Steps that are in of every capacitor, by its name."""
        return {element.name: element.steps_in for element in self.elements if element.kind == "capacitor"}

    def with_steps(self, steps: Mapping[str, int]) -> UnbalancedFeeder:
        """Return the feeder with other steps of some capacitors in.

        Parameters
        ----------
        steps
            How many, by the capacitor's name.

        Returns
        -------
        UnbalancedFeeder
            All else unchanged.

        Raises
        ------
        InputError
            If there is no such capacitor, or it has not so many.
        """
        for name in steps:
            if name not in self.steps:
                raise unknown_name("capacitor", name, self.steps)
        elements = tuple(
            element.with_steps(steps[element.name]) if element.name in steps else element for element in self.elements
        )
        return replace(self, elements=elements)

    def without_controls(self, *names: str) -> UnbalancedFeeder:
        """Return the feeder without some of its controls.

        Parameters
        ----------
        names
            Theirs, with their classes.

        Returns
        -------
        UnbalancedFeeder
            All else unchanged; what they moved stands.

        Raises
        ------
        InputError
            If there is no such control.
        """
        known = [control.name for control in self.controls]
        for name in names:
            if name not in known:
                raise unknown_name("control", name, known)
        return replace(self, controls=tuple(control for control in self.controls if control.name not in names))

    def with_loads_at_nodes(self) -> UnbalancedFeeder:
        """Return the feeder with a constant power between each node and ground in the place of its own loads."""
        loads = tuple(
            Load(f"node.{label}", (place, GROUND), 1, "wye", float(self.v_base_kv[place]), 0.0, 0.0)
            for place, label in enumerate(self.node_labels)
        )
        return replace(self, loads=loads)
