"""Loads and static generators of a net, phase by phase: consumption of constant power, of the types wye and delta."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.grid.from_pandapower.rows import Rows
from neomflex_jax.grid.from_pandapower.with_phases.zero_sequence import WITHOUT
from neomflex_jax.grid.unbalanced.element import GROUND
from neomflex_jax.grid.unbalanced.load import CONNECTIONS, Load

if TYPE_CHECKING:
    from pandapower import pandapowerNet

SIGNS = {"load": 1.0, "asymmetric_load": 1.0, "sgen": -1.0, "asymmetric_sgen": -1.0}
FOLLOWS = (
    *("const_z_p_percent", "const_z_q_percent", "const_i_p_percent", "const_i_q_percent"),
    *("const_z_percent", "const_i_percent"),  # before pandapower 3
)


def read_loads(net: pandapowerNet, first_node: Mapping[int, int], vn_kv: Mapping[int, float]) -> Iterator[Load]:
    """Walk through what consumes or produces at the buses of `first_node`, which has the position of their phase 1."""
    for table, sign in SIGNS.items():
        rows = Rows.of(net, table).in_service()
        kinds = rows.texts("type")
        unknown = np.array([kind not in CONNECTIONS for kind in kinds], bool)
        rows.refuse(unknown, partial(_unknown, kinds))
        for name in FOLLOWS:
            share = rows.numbers(name, absent=0.0, or_empty=True)
            rows.refuse_values(share != 0, name, share, "runpp_3ph takes loads as constant power; set it to 0")
        power_mva = sign * _powers(rows)
        for row, (number, bus) in enumerate(zip(rows.numbers_of_rows, rows.labels("bus"), strict=True)):
            if bus in first_node:
                name = f"{table}.{number}"
                yield from _of_phases(name, first_node[bus], kinds[row], vn_kv[bus], power_mva[:, row])


def _unknown(kinds: list[str], row: int) -> str:
    return f"type = {kinds[row]!r}; runpp_3ph leaves it out; it must be wye or delta, or {WITHOUT}"


def _powers(rows: Rows) -> np.ndarray:
    """Power of each phase of every row, (3, n_row)."""
    scaling = rows.numbers("scaling", absent=1.0)
    if rows.table.startswith("asymmetric"):
        phases = [rows.numbers(f"p_{phase}_mw") + 1j * rows.numbers(f"q_{phase}_mvar") for phase in "abc"]
        return scaling * np.array(phases)
    return np.tile(scaling * (rows.numbers("p_mw") + 1j * rows.numbers("q_mvar")) / 3, (3, 1))


def _of_phases(name: str, first: int, kind: str, vn_kv: float, power_mva: np.ndarray) -> Iterator[Load]:
    """One load if the three phases are alike, otherwise one for each phase that has power."""
    phases = (first, first + 1, first + 2)
    kv = vn_kv if kind == "delta" else vn_kv / 3**0.5
    if (power_mva == power_mva[0]).all():
        nodes = phases if kind == "delta" else (*phases, GROUND)
        total = 3 * power_mva[0]
        yield Load(name, nodes, 3, kind, kv, float(total.real), float(total.imag))
        return
    for phase in np.flatnonzero(power_mva).tolist():
        other = phases[(phase + 1) % 3] if kind == "delta" else GROUND
        power = complex(power_mva[phase])
        yield Load(f"{name}.{'abc'[phase]}", (phases[phase], other), 1, kind, kv, power.real, power.imag)
