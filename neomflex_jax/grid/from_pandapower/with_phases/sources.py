"""External grids as `pandapower.runpp_3ph` takes them.

In the positive sequence the voltage is held; in the others a grid is an impedance to ground::

    |z2| = 1.1 vn^2 / s_sc,  r2 / x2 = rx,  x0 = x0x x2,  r0 = r0x0 x0

A source has an admittance here, so that "held" means an impedance of `HELD` times z2. Source: pandapower 3.5,
build_bus.py and pd2ppc_zero.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.grid.from_pandapower.held import set_points
from neomflex_jax.grid.from_pandapower.rows import Rows
from neomflex_jax.grid.from_pandapower.with_phases.sequences import TO_PHASES, TO_SEQUENCES
from neomflex_jax.grid.from_pandapower.with_phases.zero_sequence import column
from neomflex_jax.grid.unbalanced.element import Element
from neomflex_jax.grid.unbalanced.source import Source

if TYPE_CHECKING:
    from pandapower import pandapowerNet

HELD = 1e-7  # less would cost digits of the other sequences
VOLTAGE_FACTOR = 1.1
IMPEDANCES = ("s_sc_max_mva", "rx_max", "x0x_max", "r0x0_max")


def read_sources(net: pandapowerNet, first_node: Mapping[int, int], vn_kv: Mapping[int, float]) -> Iterator[Source]:
    """Walk through the external grids in service at the buses of `first_node`."""
    rows = Rows.of(net, "ext_grid").in_service()
    vm_pu, degrees = set_points(rows, "vm_pu"), rows.numbers("va_degree", absent=0.0, or_empty=True)
    s_sc, rx, x0x, r0x0 = (column(rows, name) for name in IMPEDANCES)
    for name, values in (("s_sc_max_mva", s_sc), ("x0x_max", x0x)):
        rows.refuse_values(values <= 0, name, values, "it must be above 0")
    for row, (number, bus) in enumerate(zip(rows.numbers_of_rows, rows.labels("bus"), strict=True)):
        if bus not in first_node:
            continue
        x2 = VOLTAGE_FACTOR * vn_kv[bus] ** 2 / s_sc[row] / math.hypot(rx[row], 1)
        z2, z0 = complex(rx[row] * x2, x2), x0x[row] * x2 * complex(r0x0[row], 1)
        y = TO_PHASES @ np.diag([1 / z0, 1 / (HELD * z2), 1 / z2]) @ TO_SEQUENCES
        angle = np.exp(1j * math.radians(degrees[row]))
        positive_volt = 1000 * vn_kv[bus] / math.sqrt(3) * vm_pu[row] * angle
        nodes = tuple(range(first_node[bus], first_node[bus] + 3))
        element = Element(f"ext_grid.{number}", nodes, 1, y)
        yield Source(element, TO_PHASES @ np.array([0, positive_volt / (HELD * z2), 0]))
