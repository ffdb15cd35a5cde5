"""Extended wards: beside a ward, a bus of its own behind an impedance, whose voltage is held and which gives no p.

That inner bus is one of the feeder that the net does not number; it goes by the first numbers after the net's own.
Source: pandapower 3.5, build_branch.py and build_gen.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from neomflex_jax.grid.from_pandapower.branches import Branch, stated
from neomflex_jax.grid.from_pandapower.held import Source, set_points
from neomflex_jax.grid.from_pandapower.rows import Rows

if TYPE_CHECKING:
    from pandapower import pandapowerNet


def inner_buses(net: pandapowerNet, active: set[int]) -> dict[int, int]:
    """Return the number of each inner bus by that of its extended ward, of those in service at buses in service."""
    rows = Rows.of(net, "xward").in_service()
    first = max(Rows.of(net, "bus").numbers_of_rows, default=-1) + 1
    at = zip(rows.numbers_of_rows, rows.labels("bus"), strict=True)
    return {number: first + place for place, number in enumerate(number for number, bus in at if bus in active)}


def inner_branches(net: pandapowerNet, inner: dict[int, int]) -> Iterator[Branch]:
    """Return the impedance of every extended ward, from its bus to the inner one."""
    rows = Rows.of(net, "xward").in_service()
    r_ohm, x_ohm = rows.numbers("r_ohm"), rows.numbers("x_ohm")
    for row, (number, bus) in enumerate(zip(rows.numbers_of_rows, rows.labels("bus"), strict=True)):
        if number in inner:
            yield Branch(
                number=number,
                title=rows.title(row),
                from_bus=bus,
                to_bus=inner[number],
                z_ohm=complex(r_ohm[row], x_ohm[row]),
                stated=stated({"r_ohm": r_ohm[row], "x_ohm": x_ohm[row]}),
                is_line=False,
                is_equivalent=True,
            )


def inner_sources(net: pandapowerNet, inner: dict[int, int]) -> Iterator[Source]:
    """Walk through what holds the voltages of the inner buses."""
    rows = Rows.of(net, "xward").in_service()
    vm_pu = set_points(rows, "vm_pu")
    for row, number in enumerate(rows.numbers_of_rows):
        if number in inner:
            yield Source(rows.title(row), inner[number], float(vm_pu[row]))
