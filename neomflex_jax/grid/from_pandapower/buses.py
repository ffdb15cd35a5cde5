"""Electrical buses of a net: its buses in service, those joined by closed switches as one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.checks import SAME_LEVEL
from neomflex_jax.grid.from_pandapower.branches import Branch
from neomflex_jax.grid.from_pandapower.held import Source
from neomflex_jax.grid.from_pandapower.rows import Rows

if TYPE_CHECKING:
    from pandapower import pandapowerNet


def bus_levels(net: pandapowerNet) -> tuple[dict[int, float], set[int]]:
    """Return the nominal voltage of every bus, kV, by its number, and which buses are in service."""
    rows = Rows.of(net, "bus")
    active = rows.in_service()
    levels = active.numbers("vn_kv")
    active.refuse_values(levels <= 0, "vn_kv", levels, "it must be above 0")
    every = Rows("bus", rows.frame, lenient=True).numbers("vn_kv")
    every[~(every > 0)] = np.nan  # of buses out of service
    return dict(zip(rows.numbers_of_rows, every.tolist(), strict=True)), set(active.numbers_of_rows)


def fuse(net: pandapowerNet, vn_kv: dict[int, float], active: set[int], slacks: list[Source]) -> dict[int, int]:
    """Find the electrical bus of every bus in service: the smallest label of those joined, or a slack's."""
    joined = {bus: bus for bus in active}

    def root(bus: int) -> int:
        while joined[bus] != bus:
            joined[bus] = joined[joined[bus]]
            bus = joined[bus]
        return bus

    rows = Rows.of(net, "switch")
    rows = rows.where(np.array([kind == "b" for kind in rows.texts("et")], bool) & rows.flags("closed"))
    z_ohm = rows.numbers("z_ohm", absent=0.0)
    for row, (a, b) in enumerate(zip(rows.labels("bus"), rows.labels("element"), strict=True)):
        check_buses(rows.title(row), (a, b), vn_kv)
        if z_ohm[row] <= 0 and a in active and b in active:
            if abs(vn_kv[a] / vn_kv[b] - 1) > SAME_LEVEL:
                levels = f"{vn_kv[a]:g} and {vn_kv[b]:g} kV"
                raise InputError(f"{rows.title(row)} joins buses {a} and {b} of {levels}; it needs one voltage level")
            joined[max(root(a), root(b))] = min(root(a), root(b))
    electrical = {bus: root(bus) for bus in active}
    for slack in slacks:
        if slack.bus not in electrical:
            raise InputError(
                f"the external grid feeds bus {slack.bus}, which is not in service; a feeder needs its slack"
            )
    named = {electrical[slack.bus]: slack.bus for slack in reversed(slacks)}
    return {bus: named.get(label, label) for bus, label in electrical.items()}


def check_buses(title: str, buses: Iterable[int], known: dict[int, float]) -> None:
    """Refuse an element at a bus that the net does not have."""
    for bus in buses:
        if bus not in known:
            raise InputError(f"{title} stands at bus {bus}, which net.bus does not have")


def supplied_from(slack_buses: Iterable[int], branches: Iterable[Branch], electrical: dict[int, int]) -> set[int]:
    """Find the electrical buses that closed branches connect to a slack."""
    neighbours: dict[int, list[int]] = {}
    for branch in branches:
        if branch.is_closed:
            a, b = electrical[branch.from_bus], electrical[branch.to_bus]
            neighbours.setdefault(a, []).append(b)
            neighbours.setdefault(b, []).append(a)
    reached = set(slack_buses)
    frontier = deque(reached)
    while frontier:
        for other in neighbours.get(frontier.popleft(), []):
            if other not in reached:
                reached.add(other)
                frontier.append(other)
    return reached
