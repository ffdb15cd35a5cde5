"""A balanced distribution feeder in physical units: radial or meshed, of one voltage level or several.

Every branch, a line or a two-winding transformer, is the same two-port::

    from --( ratio e^{j shift} : 1 )--+--[ r + jx ]--+-- to
                                    y/2              y/2

with ``r_ohm + j x_ohm`` and ``y = g_us + j b_us`` (in microsiemens) at the voltage level of the `to` bus, and `ratio`
the off-nominal voltage ratio in per unit of the two buses' `vn_kv`. Source: MATPOWER User's Manual, section 3.2.

What may change without recompiling (impedances, loads, voltages, ratings) is an array leaf; the topology is static. A
part that a feeder does not have (charging, transformers, shunts) is None and costs nothing. Loads and shunts are
consumption, positive out of the grid; injections elsewhere are positive into it, so a bus with nothing but its load
injects ``-load_p_mw``. Loads are constant power; shunts constant admittance, stated at 1 pu.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import jax

from neomflex_jax.errors import InputError
from neomflex_jax.grid.topology import Topology
from neomflex_jax.one_line import cut, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

STATIC = {"static": True}
HostArray: TypeAlias = Any  # float64 NumPy array on the host, jax.Array inside a transformation


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Charging:
    """Shunt admittance of the branches, half of it at each end: line charging, a transformer's magnetising branch."""

    g_us: HostArray  # (n_branch,)
    b_us: HostArray  # (n_branch,) positive for capacitance

    __repr__ = one_line


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Transformers:
    """What makes a branch a transformer; the neutral values are 1, 0 and 1."""

    ratio: HostArray  # (n_branch,) off-nominal voltage ratio, taps included, pu of from over pu of to
    shift_degree: HostArray  # (n_branch,) by which the from end's voltage leads
    rated_ratio: HostArray  # (n_branch,) rated kV of the from end over rated kV of the to end; scales the loading

    __repr__ = one_line


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Shunts:
    """Constant admittances at buses, by their consumption at 1 pu."""

    p_mw: HostArray  # (n_bus,)
    q_mvar: HostArray  # (n_bus,) negative for a capacitor

    __repr__ = one_line


@dataclass(frozen=True)
class OwnDevices:
    """What the source of a feeder has beside loads, all of it summed into the feeder's load."""

    generators: int = 0
    generation_mw: float = 0.0
    storages: int = 0
    storage_mw: float = 0.0  # of charging and discharging alike

    def __str__(self) -> str:
        parts = []
        for count, name, power_mw in (
            (self.generators, "static generator", self.generation_mw),
            (self.storages, "storage", self.storage_mw),
        ):
            if count:
                parts.append(f"{count} {name}{'s' if count > 1 else ''} ({power_mw:.4g} MW)")
        return " and ".join(parts)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Feeder:
    """A whole grid with one slack. `load_feeder`, `Feeder.from_...` and `build_feeder` make and validate it."""

    r_ohm: HostArray  # (n_branch,)
    x_ohm: HostArray  # (n_branch,)
    max_i_ka: HostArray  # (n_branch,) rating at the to end; NaN where the source states none
    load_p_mw: HostArray  # (n_bus,) nominal consumption
    load_q_mvar: HostArray  # (n_bus,)
    vn_kv: HostArray  # (n_bus,)
    slack_vm_pu: HostArray  # ()
    topology: Topology = field(metadata=STATIC)
    bus_labels: tuple[int, ...] = field(metadata=STATIC)  # the user's own bus numbers, in array order
    name: str = field(metadata=STATIC)
    charging: Charging | None = None
    transformers: Transformers | None = None
    shunts: Shunts | None = None
    s_base_mva: float = field(default=1.0, metadata=STATIC)
    own_devices: OwnDevices = field(default=OwnDevices(), metadata=STATIC)

    def __repr__(self) -> str:
        closed = sum(self.topology.in_service)
        return (
            f"Feeder({cut(repr(self.name))}, {self.n_bus} buses, {closed} of {self.topology.n_branch} branches closed)"
        )

    @staticmethod
    def from_csv(folder: str | Path) -> Feeder:
        """Read a feeder folder (``buses.csv``, ``branches.csv``, optional ``feeder.toml``).

        See `neomflex_jax.grid.from_csv.read_feeder` for the columns.

        Raises
        ------
        InputError
            If a file is missing or holds something that is no connected feeder, naming file, line and column.
        """
        from neomflex_jax.grid.from_csv import read_feeder

        return read_feeder(Path(folder))

    @staticmethod
    def from_pandapower(net: Any) -> Feeder:
        """Convert a pandapower net, or a ``net.json`` by its path.

        See `neomflex_jax.grid.from_pandapower.convert` for what is modelled and what is refused.

        Raises
        ------
        InputError
            If the net holds an element that is not modelled, naming it.
        """
        from neomflex_jax.grid.from_pandapower import convert

        return convert(net)

    @property
    def n_bus(self) -> int:
        """Number of buses, slack included."""
        return self.topology.n_bus

    @cached_property
    def _positions(self) -> dict[int, int]:
        return {label: position for position, label in enumerate(self.bus_labels)}

    def bus_position(self, label: int) -> int:
        """Position in the arrays of the bus that the user calls `label`."""
        try:
            return self._positions[label]
        except KeyError:
            raise InputError(
                f"feeder {self.name!r} has no bus {label}; its buses: {summarise_labels(self.bus_labels)}"
            ) from None


def summarise_labels(labels: Sequence[int], most: int = 12) -> str:
    """Labels as text, cut after `most` of them."""
    shown = ", ".join(str(label) for label in labels[:most])
    return shown if len(labels) <= most else f"{shown}, ... ({len(labels)} in all)"
