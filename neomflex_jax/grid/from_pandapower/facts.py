"""Thyristor-controlled compensators: at rest an svc is a shunt, a tcsc a branch, each of the susceptance at its angle.

With the firing angle a in rad and the reactances of inductor and capacitor, x_l and x_c (below 0)::

    y = -jb,  b = (2 (pi - a) + sin(2 a) + pi x_l / x_c) / (pi x_l)

An svc that is `controllable` holds its bus at ``set_vm_pu`` by its angle, at whatever q that takes: b passes through
all values, and `runpp` holds the angle to no limits. So it is a generator that produces nothing. A tcsc that is holds
a power and is refused. Source: pandapower 3.5, pf/makeYbus_facts.py and pypower/newtonpf.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.grid.from_pandapower.branches import Branch, stated
from neomflex_jax.grid.from_pandapower.held import Source, set_points
from neomflex_jax.grid.from_pandapower.rows import Rows

if TYPE_CHECKING:
    from pandapower import pandapowerNet

COLUMNS = ("thyristor_firing_angle_degree", "x_l_ohm", "x_cvar_ohm")


def svc_at_rest(net: pandapowerNet) -> Rows:
    """Return the static var compensators in service that stay at their angle."""
    rows = Rows.of(net, "svc").in_service()
    return rows.where(~rows.flags("controllable", absent=True))


def svc_siemens(rows: Rows) -> np.ndarray:
    """Admittances of static var compensators at rest, (n_row,) complex."""
    return -1j * _susceptance_siemens(rows)


def svc_sources(net: pandapowerNet) -> Iterator[Source]:
    """Walk through the static var compensators that hold the voltage of their bus."""
    rows = Rows.of(net, "svc").in_service()
    rows = rows.where(rows.flags("controllable", absent=True))
    vm_pu = set_points(rows, "set_vm_pu")
    for row, bus in enumerate(rows.labels("bus")):
        yield Source(rows.title(row), bus, float(vm_pu[row]))


def tcsc_branches(net: pandapowerNet) -> Iterator[Branch]:
    """Take every series compensator in service."""
    rows = Rows.of(net, "tcsc").in_service()
    susceptance = _susceptance_siemens(rows)
    rows.refuse_values(susceptance == 0, COLUMNS[0], rows.numbers(COLUMNS[0]), "it carries no current at that angle")
    values = {name: rows.numbers(name) for name in COLUMNS}
    ends = zip(rows.numbers_of_rows, rows.labels("from_bus"), rows.labels("to_bus"), strict=True)
    for row, (number, from_bus, to_bus) in enumerate(ends):
        yield Branch(
            number=number,
            title=rows.title(row),
            from_bus=from_bus,
            to_bus=to_bus,
            z_ohm=complex(0.0, 1 / susceptance[row]),
            stated=stated({name: values[name][row] for name in COLUMNS}),
        )


def _susceptance_siemens(rows: Rows) -> np.ndarray:
    degree, x_l, x_c = (rows.numbers(name) for name in COLUMNS)
    for name, values in (("x_l_ohm", x_l), ("x_cvar_ohm", x_c)):
        rows.refuse_values(values == 0, name, values, "it must not be 0")
    angle = np.deg2rad(degree)
    return (2 * (math.pi - angle) + np.sin(2 * angle) + math.pi * x_l / x_c) / (math.pi * x_l)
