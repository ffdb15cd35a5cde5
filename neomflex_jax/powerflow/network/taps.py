"""Ratios that differ from case to case, on a network whose impedances know nothing of them.

A tap changer multiplies the ratio of its branch by t. Everything below that branch, seen from the slack, then has the
voltage ``c`` times what the network says at the branch's anchor, and the current J that comes from there reaches the
anchor ``c`` times as large, for an ideal transformer keeps power::

    i' = C i,  u = C^T (w + Z i'),  C = product of (I + a (c - 1) below^T),

with `a` the unit vector of the anchor and `below` 1 at all buses below, the tap changer next to the slack leftmost. So
Z stays one for all cases, and each tap changer adds a few operations a bus. Where the branch's from end is the upper
one, ``c = 1 / t`` and the anchor is that bus; where it is the lower one, the branch's impedance comes first, ``c = t``,
and the anchor is the lower bus itself, by its voltage before the ratio. Source: the congruence of a network with ideal
transformers, G. Kron, "Tensor Analysis of Networks", 1939, here for one transformer after another on a tree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.parts import STATIC, HostArray
from neomflex_jax.grid.topology import Topology, path_matrix, spanning_tree
from neomflex_jax.one_line import one_line
from neomflex_jax.powerflow.network.dense import DenseNetwork
from neomflex_jax.powerflow.network.tree import TreeNetwork

Network = DenseNetwork | TreeNetwork
Currents = tuple[Array, Array]  # real and imaginary part, in the network's layout


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Taps:
    """Where tap changers are; the next to the slack first."""

    below: HostArray  # (n_tap, *layout) 1 at the buses below
    anchor: HostArray  # (n_tap, *layout) 1 at the anchor; all 0 where that is the slack
    at_slack: HostArray  # (n_tap,) 1 where the anchor is the slack
    order: tuple[int, ...] = field(metadata=STATIC)  # which of the given branches each of them is
    downward: tuple[bool, ...] = field(metadata=STATIC)  # True where the branch's from end is the upper one

    __repr__ = one_line

    def factors(self, tap_ratio: Array) -> Array:
        """The factors c, (..., n_tap), of ratios t in the order of the given branches."""
        ratio = tap_ratio[..., np.array(self.order)]
        return jnp.where(np.array(self.downward), 1.0 / ratio, ratio)

    def carried(self, network: Network, factor: Array, i: Currents) -> Currents:
        """``C i``."""
        for tap in reversed(range(len(self.order))):
            more, below, anchor = factor[..., tap] - 1.0, self.below[tap], self.anchor[tap]
            ir, ii = (network.spread(anchor, more * network.total(below, part)) for part in i)
            i = i[0] + ir, i[1] + ii
        return i

    def seen(self, network: Network, factor: Array, u: Currents, slack: HostArray | float = 0.0) -> Currents:
        """``C^T u``, with `slack` the slack's voltage."""
        for tap in range(len(self.order)):
            more, below, anchor = factor[..., tap] - 1.0, self.below[tap], self.anchor[tap]
            at_anchor_r = network.total(anchor, u[0]) + self.at_slack[tap] * slack
            at_anchor_i = network.total(anchor, u[1])
            ur, ui = (network.spread(below, more * part) for part in (at_anchor_r, at_anchor_i))
            u = network.aligned(u[0], ur) + ur, network.aligned(u[1], ui) + ui
        return u


def place_taps(topology: Topology, network: Network, branches: Sequence[int], named: Callable[[int], str]) -> Taps:
    """Find what lies below each of these branches; `named` gives a branch's name for messages.

    Raises
    ------
    InputError
        If a branch is part of a loop.
    """
    tree, path = spanning_tree(topology), np.abs(path_matrix(topology))
    lower = {int(tree.parent_branch[bus]): int(bus) for bus in tree.order[1:]}
    owns, others = np.zeros((len(branches), len(topology.non_slack))), topology.non_slack
    anchors, downward = [], []
    for row, branch in enumerate(branches):
        if branch in lower:
            owns[row] = path[:, branch]
        if branch not in lower or _is_in_loop(topology, tree.loop_branches, set(others[owns[row] > 0].tolist())):
            raise InputError(
                f"branch {named(branch)} is part of a loop, where a tap changer drives a current around it, which is "
                "not modelled; open the loop, or leave the tap changer out"
            )
        downward.append(bool(tree.direction[lower[branch]] > 0))
        anchors.append(int(tree.parent[lower[branch]]) if downward[-1] else lower[branch])
    order = np.argsort(-owns.sum(axis=1), kind="stable")
    position = {int(bus): at for at, bus in enumerate(others)}
    anchor = np.zeros_like(owns)
    for row, bus in enumerate(anchors):
        if bus != topology.slack:
            anchor[row, position[bus]] = 1.0
    return Taps(
        below=jnp.stack([network.enter(jnp.asarray(owns[row])) for row in order]),
        anchor=jnp.stack([network.enter(jnp.asarray(anchor[row])) for row in order]),
        at_slack=np.array([float(anchors[row] == topology.slack) for row in order]),
        order=tuple(map(int, order)),
        downward=tuple(downward[row] for row in order),
    )


def _is_in_loop(topology: Topology, loop_branches: np.ndarray, below: set[int]) -> bool:
    """Return True if a branch that closes a loop joins what lies below a tree branch to the rest."""
    return any((topology.from_bus[b] in below) != (topology.to_bus[b] in below) for b in loop_branches)


def tap_branches(feeder: Feeder, taps: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Positions of the branches from one bus to another, by their labels.

    Raises
    ------
    InputError
        If a branch is not there, open, listed the other way round, one of several, named twice, one of another
        impedance from its to end, or one of the three of a three-winding transformer, whose tap changers act on a
        winding and so on two of them.
    """
    labels, topology = feeder.bus_labels, feeder.topology
    ends = [(labels[start], labels[end]) for start, end in zip(topology.from_bus, topology.to_bus, strict=True)]
    found: list[int] = []
    for one, other in taps:
        where = f"feeder {feeder.name!r}: a tap changer from bus {one} to bus {other}"
        there = [branch for branch, pair in enumerate(ends) if pair == (one, other)]
        if not there and (other, one) in ends:
            raise InputError(
                f"{where}: the branch is listed from {other} to {one}, and the tap changer sits at the "
                "from end; name the buses in that order"
            )
        if not there:
            near = ", ".join(f"{a}-{b}" for a, b in ends if one in (a, b) or other in (a, b))
            raise InputError(f"{where}: no branch joins them; " + (f"there are {near}" if near else "it has neither"))
        if len(there) > 1:
            raise InputError(f"{where}: {len(there)} branches join them; merge these, for it is open which is meant")
        if not topology.in_service[there[0]]:
            raise InputError(f"{where}: the branch is open; close it, or leave the tap changer out")
        if there[0] in _of_three_windings(feeder):
            raise InputError(
                f"{where}: the branch is one of three that stand for a transformer of three windings, whose tap "
                "changer acts on a winding and so on two of them, which is not modelled; set its tap_pos in the net "
                "that the feeder is read from, or leave the tap changer out"
            )
        if feeder.back is not None and there[0] in feeder.back.branch:
            raise InputError(
                f"{where}: the branch has another impedance from its to end, and so no ratio; put the tap changer on a "
                "transformer beside it, or leave it out"
            )
        if there[0] in found:
            raise InputError(f"{where}: there is one already; leave one out")
        found += there
    return tuple(found)


def _of_three_windings(feeder: Feeder) -> set[int]:
    """Branches that stand for a three-winding transformer."""
    parts = feeder.windings
    return set() if parts is None else {b for b, n in zip(parts.branch, parts.next_branch, strict=True) if n >= 0}
