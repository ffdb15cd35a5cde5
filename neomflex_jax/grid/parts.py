"""Parts that not every feeder has, and what its source had beside loads; `feeder.py` says what they mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import jax
import numpy as np

from neomflex_jax.one_line import one_line

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

    @property
    def present(self) -> np.ndarray:
        """Which branches are a transformer, (n_branch,), outside of a transformation."""
        return (self.ratio != 1) | (self.shift_degree != 0) | (self.rated_ratio != 1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class BackImpedances:
    """Branches whose impedance is another one as seen from their `to` end, one entry each; `grid.feeder` says how."""

    r_ohm: HostArray  # (n_back,) at the voltage level of the `to` bus
    x_ohm: HostArray
    branch: tuple[int, ...] = field(metadata=STATIC)

    __repr__ = one_line


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Windings:
    """Rated branches whose ends carry more than the branch does, one entry each.

    A transformer of three windings is a branch between every two, each rated as the winding at its `to` end: this
    carries what the two branches that meet there do. Part of a transformer's iron may be a shunt of a bus.
    """

    from_g_us: HostArray  # (n_winding,) what the shunts of the from end's bus hold of the transformer, at its vn_kv
    from_b_us: HostArray
    to_g_us: HostArray  # (n_winding,) the same of the to end
    to_b_us: HostArray
    branch: tuple[int, ...] = field(metadata=STATIC)
    next_branch: tuple[int, ...] = field(metadata=STATIC)  # that begins at the winding at the to end; -1: none does

    __repr__ = one_line


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Shunts:
    """Constant admittances at buses, by their consumption at 1 pu."""

    p_mw: HostArray  # (n_bus,)
    q_mvar: HostArray  # (n_bus,) negative for a capacitor

    __repr__ = one_line


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class HeldVoltages:
    """Buses beside the slack whose voltage is held: by a generator, which gives p, or by a further external grid."""

    vm_pu: HostArray  # (n_held,)
    p_mw: HostArray  # (n_held,) what a generator produces, beside all injections; 0 for an external grid
    va_degree: HostArray  # (n_held,) an external grid's angle against the slack's; 0 for a generator
    bus: tuple[int, ...] = field(metadata=STATIC)  # positions
    is_slack: tuple[bool, ...] = field(metadata=STATIC)  # True for an external grid
    # (n_held,) what a generator can deliver, NaN where there is no limit; None if none states any
    q_min_mvar: HostArray | None = None
    q_max_mvar: HostArray | None = None

    __repr__ = one_line


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class VoltageDependence:
    """Shares of all that is injected at a bus that are no constant power; `grid.feeder` has the equation."""

    p_current: HostArray  # (n_node,) of p, in proportion to the voltage: a constant current
    p_impedance: HostArray  # (n_node,) of p, in proportion to its square
    q_current: HostArray  # (n_node,) the same of q
    q_impedance: HostArray  # (n_node,)

    __repr__ = one_line


@dataclass(frozen=True)
class OwnDevices:
    """What the source of a feeder has beside loads, all of it summed into the feeder's load."""

    generators: int = 0
    generation_mw: float = 0.0
    storages: int = 0
    storage_mw: float = 0.0  # sum of |p|, charging or discharging

    def __str__(self) -> str:
        parts = []
        for count, name, power_mw in (
            (self.generators, "static generator", self.generation_mw),
            (self.storages, "storage", self.storage_mw),
        ):
            if count:
                parts.append(f"{count} {name}{'s' if count > 1 else ''} ({power_mw:.4g} MW)")
        return " and ".join(parts)


NO_DEVICES = OwnDevices()


def branch_names(ends: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    """Names of branches by their buses' labels, ``from-to``; the second of parallel ones ends in ``(2)``."""
    seen: Counter[tuple[int, int]] = Counter()
    names = []
    for start, end in ends:
        seen[start, end] += 1
        count = seen[start, end]
        names.append(f"{start}-{end}" if count == 1 else f"{start}-{end} ({count})")
    return tuple(names)


def summarise_labels(labels: Sequence[int | str], most: int = 12) -> str:
    """Labels as text, cut after `most` of them."""
    shown = ", ".join(str(label) for label in labels[:most])
    return shown if len(labels) <= most else f"{shown}, ... ({len(labels)} in all)"
