"""What consumes at the buses of a net in proportion to the voltage's square: wards, shunts and svc at rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.grid.from_pandapower.buses import check_buses
from neomflex_jax.grid.from_pandapower.elements import WARDS, Consumers
from neomflex_jax.grid.from_pandapower.facts import svc_at_rest, svc_siemens
from neomflex_jax.grid.from_pandapower.rows import Rows
from neomflex_jax.grid.from_pandapower.step_tables import step_table

if TYPE_CHECKING:
    from pandapower import pandapowerNet


def shunts_of(net: pandapowerNet, vn_kv: dict[int, float]) -> Iterator[Consumers]:
    """Walk through the tables of constant admittances, by what each row consumes at 1 pu; `vn_kv` by bus number."""
    for table in WARDS:
        rows = Rows.of(net, table).in_service()
        yield rows, rows.numbers("pz_mw") + 1j * rows.numbers("qz_mvar")
    rows = Rows.of(net, "shunt").in_service()
    yield rows, _shunt_mva(net, rows, _levels_kv(rows, vn_kv))
    rows = svc_at_rest(net)
    yield rows, np.conj(svc_siemens(rows)) * _levels_kv(rows, vn_kv) ** 2


def _shunt_mva(net: pandapowerNet, rows: Rows, bus_kv: np.ndarray) -> np.ndarray:
    own_kv = rows.numbers("vn_kv", absent=np.nan, or_empty=True)
    by_step = step_table(net, rows, "step_dependency_table", "step", "shunt_characteristic_table")
    steps = np.where(by_step.followed, 1.0, rows.numbers("step", absent=1.0))
    p_mw, q_mvar = (by_step.instead_of(rows.numbers(name), name) * steps for name in ("p_mw", "q_mvar"))
    return (p_mw + 1j * q_mvar) * (bus_kv / np.where(np.isnan(own_kv), bus_kv, own_kv)) ** 2


def _levels_kv(rows: Rows, vn_kv: dict[int, float]) -> np.ndarray:
    """`vn_kv` of the buses of rows, (n_row,)."""
    buses = rows.labels("bus")
    for row, bus in enumerate(buses):
        check_buses(rows.title(row), (bus,), vn_kv)
    return np.array([vn_kv[bus] for bus in buses], np.float64)
