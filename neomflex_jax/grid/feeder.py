"""A balanced radial distribution feeder in physical units.

What may change without recompiling (impedances, loads, voltages, ratings) is an array leaf; the topology is static.
Branches are series impedances ``r_ohm + j x_ohm``; line charging is not modelled. Loads are consumption, positive out
of the grid; injections elsewhere are positive into it, so a bus with nothing but its load injects ``-load_p_mw``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import jax
import numpy as np

from neomflex_jax.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

STATIC = {"static": True}
HostArray: TypeAlias = Any  # float64 NumPy array on the host, jax.Array inside a transformation


@dataclass(frozen=True)
class Topology:
    """Which bus hangs on which, by position in the arrays (not by label); hashable, therefore static under jit."""

    n_bus: int
    slack: int
    from_bus: tuple[int, ...]
    to_bus: tuple[int, ...]
    in_service: tuple[bool, ...]

    @property
    def n_branch(self) -> int:
        """Number of branches, open ones included."""
        return len(self.from_bus)

    @property
    def non_slack(self) -> np.ndarray:
        """Positions of all buses but the slack, ascending, shape (n_bus - 1,)."""
        return np.delete(np.arange(self.n_bus), self.slack)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Feeder:
    """A whole radial grid. Build it with `load_feeder`, `Feeder.from_csv` or `build_feeder`, which validate."""

    r_ohm: HostArray  # (n_branch,)
    x_ohm: HostArray  # (n_branch,)
    max_i_ka: HostArray  # (n_branch,) rating; NaN where the source states none
    load_p_mw: HostArray  # (n_bus,) nominal consumption
    load_q_mvar: HostArray  # (n_bus,)
    vn_kv: HostArray  # () one voltage level
    slack_vm_pu: HostArray  # ()
    topology: Topology = field(metadata=STATIC)
    bus_labels: tuple[int, ...] = field(metadata=STATIC)  # the user's own bus numbers, in array order
    name: str = field(metadata=STATIC)
    s_base_mva: float = field(default=1.0, metadata=STATIC)

    @staticmethod
    def from_csv(folder: str | Path) -> Feeder:
        """Read a feeder folder (``buses.csv``, ``branches.csv``, optional ``feeder.toml``).

        See `neomflex_jax.grid.from_csv.read_feeder` for the columns.

        Raises
        ------
        InputError
            If a file is missing or holds something that is no radial, connected feeder.
        """
        from neomflex_jax.grid.from_csv import read_feeder

        return read_feeder(Path(folder))

    @property
    def n_bus(self) -> int:
        """Number of buses, slack included."""
        return self.topology.n_bus

    def bus_position(self, label: int) -> int:
        """Position in the arrays of the bus that the user calls `label`."""
        try:
            return self.bus_labels.index(label)
        except ValueError:
            raise InputError(
                f"feeder {self.name!r} has no bus {label}; its buses: {summarise_labels(self.bus_labels)}"
            ) from None


def build_feeder(
    *,
    name: str,
    bus_labels: Sequence[int],
    vn_kv: Sequence[float],
    load_p_mw: Sequence[float],
    load_q_mvar: Sequence[float],
    branches: Sequence[tuple[int, int]],
    r_ohm: Sequence[float],
    x_ohm: Sequence[float],
    in_service: Sequence[bool],
    max_i_ka: Sequence[float] | None = None,
    slack_bus: int | None = None,
    slack_vm_pu: float = 1.0,
) -> Feeder:
    """Validate and build a feeder; `branches` holds (from, to) by bus label.

    Raises
    ------
    InputError
        On a repeated or unknown bus label, several voltage levels, an impedance that is not positive, a feeder that is
        not connected or not radial, naming the bus or branch.
    """
    labels = tuple(int(label) for label in bus_labels)
    position = {label: index for index, label in enumerate(labels)}
    if len(position) != len(labels):
        repeated = sorted(label for label in position if labels.count(label) > 1)
        raise InputError(f"feeder {name!r}: bus {repeated[0]} is listed more than once; every bus needs its own row")
    for from_label, to_label in branches:
        for label in (from_label, to_label):
            if label not in position:
                raise InputError(f"feeder {name!r}: branch {from_label}-{to_label} ends at bus {label}, not a bus here")
    slack = labels[0] if slack_bus is None else slack_bus
    if slack not in position:
        raise InputError(f"feeder {name!r}: slack_bus {slack} is not a bus; buses: {summarise_labels(labels)}")
    if len(set(vn_kv)) != 1:
        raise InputError(f"feeder {name!r}: vn_kv has several levels {sorted(set(vn_kv))}; one level is supported")
    topology = Topology(
        n_bus=len(labels),
        slack=position[slack],
        from_bus=tuple(position[a] for a, _ in branches),
        to_bus=tuple(position[b] for _, b in branches),
        in_service=tuple(bool(closed) for closed in in_service),
    )
    r, x = np.asarray(r_ohm, np.float64), np.asarray(x_ohm, np.float64)
    ratings = np.full(len(branches), np.nan) if max_i_ka is None else np.asarray(max_i_ka, np.float64)
    _check_branches(name, branches, r, x, ratings)
    feeder = Feeder(
        r_ohm=r,
        x_ohm=x,
        max_i_ka=ratings,
        load_p_mw=np.asarray(load_p_mw, np.float64),
        load_q_mvar=np.asarray(load_q_mvar, np.float64),
        vn_kv=np.float64(vn_kv[0]),
        slack_vm_pu=np.float64(slack_vm_pu),
        topology=topology,
        bus_labels=labels,
        name=name,
    )
    _check_tree(feeder)
    return feeder


def _check_branches(
    name: str, branches: Sequence[tuple[int, int]], r_ohm: np.ndarray, x_ohm: np.ndarray, max_i_ka: np.ndarray
) -> None:
    for (a, b), r, x, rating in zip(branches, r_ohm, x_ohm, max_i_ka, strict=True):
        if not (r >= 0 and x >= 0 and r + x > 0):
            raise InputError(
                f"feeder {name!r}: branch {a}-{b} has r_ohm={r}, x_ohm={x}; "
                "both must be at least 0 and one of them above (merge the two buses of a zero-impedance branch)"
            )
        if rating <= 0:
            raise InputError(
                f"feeder {name!r}: branch {a}-{b} has max_i_ka = {rating}; a rating is above 0 "
                "(leave the column out where ratings are not known)"
            )


def _check_tree(feeder: Feeder) -> None:
    topology, labels = feeder.topology, feeder.bus_labels
    root = list(range(topology.n_bus))

    def find(bus: int) -> int:
        while root[bus] != bus:
            root[bus] = root[root[bus]]
            bus = root[bus]
        return bus

    for a, b, closed in zip(topology.from_bus, topology.to_bus, topology.in_service, strict=True):
        if not closed:
            continue
        if find(a) == find(b):
            raise InputError(
                f"feeder {feeder.name!r} is not radial: branch {labels[a]}-{labels[b]} closes a loop; "
                "set in_service=0 on one branch of the loop"
            )
        root[find(a)] = find(b)
    lost = [labels[bus] for bus in range(topology.n_bus) if find(bus) != find(topology.slack)]
    if lost:
        raise InputError(
            f"feeder {feeder.name!r} is not connected: no path from the slack bus {labels[topology.slack]} to "
            f"bus {summarise_labels(lost)}; add or close (in_service=1) a branch"
        )


@lru_cache(maxsize=32)
def path_matrix(topology: Topology) -> np.ndarray:
    """Branches between each bus and the slack, shape (n_bus - 1, n_branch), rows as in `Topology.non_slack`.

    +1 where the branch's from -> to direction leads away from the slack, -1 where it leads towards it, 0 elsewhere.
    """
    neighbours: list[list[tuple[int, int, float]]] = [[] for _ in range(topology.n_bus)]
    for index, (a, b, closed) in enumerate(zip(topology.from_bus, topology.to_bus, topology.in_service, strict=True)):
        if closed:
            neighbours[a].append((b, index, 1.0))
            neighbours[b].append((a, index, -1.0))
    path = np.zeros((topology.n_bus, topology.n_branch))
    seen, frontier = {topology.slack}, [topology.slack]
    while frontier:
        bus = frontier.pop()
        for other, branch, direction in neighbours[bus]:
            if other not in seen:
                seen.add(other)
                frontier.append(other)
                path[other] = path[bus]
                path[other, branch] = direction
    return path[topology.non_slack]


def summarise_labels(labels: Sequence[int], most: int = 12) -> str:
    """Labels as text, cut after `most` of them."""
    shown = ", ".join(str(label) for label in labels[:most])
    return shown if len(labels) <= most else f"{shown}, ... ({len(labels)} in all)"
