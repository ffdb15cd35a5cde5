"""What consumes or produces at the buses of a net, one by one, in the powers that `runpp` takes.

Loads, storages and static generators have them in their columns. What else has a balanced power counts as a load or as
a static generator, numbered after the last of that table:

- a motor draws ``p = pn_mech_mw / efficiency * loading * scaling`` and ``q = p tan(arccos(cos_phi))``;
- a ward, an extended one too, has ``ps_mw`` and ``qs_mvar``, beside its constant impedance;
- of an asymmetric load or static generator it is the sum of the three phases.

Source: pandapower 3.5, build_bus.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from neomflex_jax.grid.elements import Element, Elements
from neomflex_jax.grid.from_pandapower.rows import Rows

if TYPE_CHECKING:
    from pandapower import pandapowerNet

SIGNS = {"load": 1.0, "storage": 1.0, "sgen": -1.0}  # a storage that charges has p_mw above 0
WARDS = ("ward", "xward")


Consumers: TypeAlias = tuple[Rows, np.ndarray]  # rows in service of one table, and what each consumes at 1 pu, MVA


class Drawn(NamedTuple):
    """Rows in service of one table of the net, as elements of `table`."""

    rows: Rows
    table: str
    power_mva: np.ndarray  # (n_row,) consumption p + jq


def drawn_by(net: pandapowerNet) -> Iterator[Drawn]:
    """Walk through the tables of what consumes or produces constant power at 1 pu."""
    for table in ("load", "storage", "sgen"):
        rows = Rows.of(net, table).in_service()
        yield Drawn(rows, table, SIGNS[table] * _scaled(rows, rows.numbers("p_mw") + 1j * rows.numbers("q_mvar")))
    for table in WARDS:
        rows = Rows.of(net, table).in_service()
        yield Drawn(rows, "load", rows.numbers("ps_mw") + 1j * rows.numbers("qs_mvar"))
    rows = Rows.of(net, "motor").in_service()
    yield Drawn(rows, "load", _motors(rows))
    for table in ("load", "sgen"):
        rows = Rows.of(net, f"asymmetric_{table}").in_service()
        phases = [rows.numbers(f"p_{phase}_mw") + 1j * rows.numbers(f"q_{phase}_mvar") for phase in "abc"]
        yield Drawn(rows, table, SIGNS[table] * _scaled(rows, sum(phases, np.zeros(len(rows), complex))))


def _scaled(rows: Rows, power_mva: np.ndarray) -> np.ndarray:
    return rows.numbers("scaling", absent=1.0) * power_mva


def _motors(rows: Rows) -> np.ndarray:
    efficiency, cos_phi = rows.numbers("efficiency_percent"), rows.numbers("cos_phi")
    rows.refuse_values(efficiency <= 0, "efficiency_percent", efficiency, "it must be above 0")
    rows.refuse_values((cos_phi <= 0) | (cos_phi > 1), "cos_phi", cos_phi, "it must lie above 0 and be at most 1")
    p_mw = _scaled(rows, rows.numbers("pn_mech_mw") / efficiency * rows.numbers("loading_percent"))
    return p_mw + 1j * np.abs(p_mw) * np.sqrt(1 / cos_phi**2 - 1)


def elements_of(net: pandapowerNet, label_of: Mapping[int, int], slack_bus: int, beside_slack_mw: float) -> Elements:
    """Return the elements in service at the buses that have a label in the feeder.

    Generators at the slack's bus, which hold no voltage there, are one static generator of `beside_slack_mw`.
    """
    found = []
    following = {table: max(Rows.of(net, table).numbers_of_rows, default=-1) + 1 for table in SIGNS}
    for rows, table, power_mva in drawn_by(net):
        names, types = rows.texts("name"), rows.texts("type")
        for row, (number, bus) in enumerate(zip(rows.numbers_of_rows, rows.labels("bus"), strict=True)):
            if rows.table != table:
                names[row] = names[row] or f"{rows.table} {number}"
                number, following[table] = following[table], following[table] + 1
            if bus in label_of:
                power = float(power_mva[row].real + 0.0), float(power_mva[row].imag + 0.0)
                found.append(Element(table, number, names[row], label_of[bus], *power, types[row]))
    if beside_slack_mw:
        found.append(
            Element("sgen", following["sgen"], "beside the slack", slack_bus, -float(beside_slack_mw), 0.0, "gen")
        )
    return Elements(tuple(found))
