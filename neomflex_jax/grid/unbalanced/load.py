"""A load, or what feeds in as one does: where it is joined, what it draws, and how it follows the voltage.

A load of n phases is n branches of one n-th of its power each. In wye they lie between a phase and the neutral, the
last of its nodes; in delta between a phase and the next one, the last and the first included if there are as many
nodes as phases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from neomflex_jax.grid.unbalanced.load_model import CONSTANT_POWER, LoadModel
from neomflex_jax.one_line import one_line

CONNECTIONS = ("wye", "delta")


@dataclass(frozen=True)
class Load:
    """Consumption, positive out of the grid; generators, PV systems and storages are loads of negative p_mw."""

    name: str  # with its class, in lower case: load.671, pvsystem.roof
    nodes: tuple[int, ...]  # positions, GROUND for a grounded neutral
    n_phases: int
    connection: str  # one of CONNECTIONS
    v_nominal_kv: float  # across one of its branches
    p_mw: float
    q_mvar: float
    model: LoadModel = CONSTANT_POWER
    s_mva: float = float("nan")  # rating of what feeds in; NaN for a load
    shapes: Mapping[str, str] = field(default_factory=dict)  # names of load shapes by daily, yearly, duty

    __repr__ = one_line

    @property
    def branches(self) -> tuple[tuple[int, int], ...]:
        """Nodes between which the load's branches lie, (n_phases, 2)."""
        if self.connection == "wye":
            return tuple((node, self.nodes[-1]) for node in self.nodes[: self.n_phases])
        following = (*self.nodes[1:], self.nodes[0])
        return tuple(zip(self.nodes, following, strict=True))[: self.n_phases]
