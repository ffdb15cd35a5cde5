"""What stands at a feeder's buses, one by one: a feeder's load is their sum, and each may have a series of its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from neomflex_jax.grid.nodes import Nodes
from neomflex_jax.loose_types import BusLabel

TABLES = ("load", "sgen", "storage")
NOUNS = {"load": "load", "sgen": "static generator", "storage": "storage"}
SUN = ("pv", "solar", "photovoltaic")  # a static generator of a type with one of these makes power from sun
NO_SOURCE = ("", "wye", "delta", "none", "nan")  # types that say nothing of where the power comes from


@dataclass(frozen=True)
class Element:
    """One load, static generator or storage."""

    table: str  # one of `TABLES`
    index: int  # its row in the source
    name: str
    bus: BusLabel  # label in the feeder
    p_mw: float  # consumption, negative for a generator
    q_mvar: float
    type: str = ""  # as the source has it

    @property
    def title(self) -> str:
        """What a message calls it."""
        return f"{NOUNS[self.table]} {self.index}" + (f" ({self.name!r})" if self.name else "")

    @property
    def is_photovoltaic(self) -> bool:
        """True for a generator whose type says that it makes power from sun."""
        return self.table == "sgen" and any(word in self.type.lower() for word in SUN)

    @property
    def is_sunny(self) -> bool:
        """True if it is photovoltaic as far as its type says: one whose type names no source counts."""
        return self.is_photovoltaic or (self.table == "sgen" and self.type.strip().lower() in NO_SOURCE)


@dataclass(frozen=True, eq=False)
class Elements:
    """All elements of a feeder; hashes once, for a feeder is looked up at every call of a compiled function."""

    rows: tuple[Element, ...] = ()

    @cached_property
    def _hash(self) -> int:
        return hash(self.rows)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Elements) and self.rows == other.rows)

    def __repr__(self) -> str:
        return f"Elements({len(self.rows)})"

    def __bool__(self) -> bool:
        return bool(self.rows)

    def consumption_mva(self, nodes: Nodes) -> np.ndarray:
        """Nominal loads alone, p + jq (n_node,), those that feed in left out."""
        total = np.zeros(len(nodes), complex)
        for row in self.rows:
            if row.table == "load" and row.p_mw >= 0:
                at = nodes.at[row.bus]
                total[at] += complex(row.p_mw, row.q_mvar) / len(at)
        return total


class Places(Protocol):
    """Where consumption is counted."""

    def __len__(self) -> int:
        """How many places there are."""

    def of_element(self, bus: BusLabel, row: int) -> list[int]:
        """Return where an element at a bus, in a `row` of its source, consumes, an equal share at each."""


@dataclass(frozen=True)
class OneLoadEach:
    """Places of a feeder whose loads are counted one by one."""

    n_load: int

    def __len__(self) -> int:
        return self.n_load

    def of_element(self, bus: BusLabel, row: int) -> list[int]:
        """Return its row."""
        return [row]


NO_ELEMENTS = Elements()


def loads_at_buses(nodes: Nodes, p_mw: ArrayLike, q_mvar: ArrayLike) -> Elements:
    """Return one load for each bus that consumes, (n_node,) powers, with the bus's label as its row."""
    p, q = (np.bincount(nodes.bus_position, np.asarray(each, float)).tolist() for each in (p_mw, q_mvar))
    rows = zip(nodes.bus_labels, p, q, strict=True)
    return Elements(tuple(Element("load", bus, "", bus, *power) for bus, *power in rows if any(power)))
