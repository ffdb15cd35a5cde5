"""Loads, static generators and storages of a net one by one, as far as a feeder supplies them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neomflex_jax.grid.elements import Element, Elements
from neomflex_jax.grid.from_pandapower.rows import Rows

CONSUMPTION = {"load": 1.0, "storage": 1.0, "sgen": -1.0}  # a storage that charges has p_mw above 0


def elements_of(net: Any, label_of: Mapping[int, int]) -> Elements:
    """Return the elements in service at the buses that have a label in the feeder."""
    found = []
    for table, sign in CONSUMPTION.items():
        rows = Rows.of(net, table).in_service()
        scale = sign * rows.numbers("scaling", absent=1.0)
        p_mw, q_mvar = (scale * rows.numbers(column) for column in ("p_mw", "q_mvar"))
        names, types = rows.texts("name"), rows.texts("type")
        for row, (index, bus) in enumerate(zip(rows.numbers_of_rows, rows.labels("bus"), strict=True)):
            if bus in label_of:
                power = float(p_mw[row] + 0.0), float(q_mvar[row] + 0.0)
                found.append(Element(table, int(index), names[row], label_of[bus], *power, types[row]))
    return Elements(tuple(found))
