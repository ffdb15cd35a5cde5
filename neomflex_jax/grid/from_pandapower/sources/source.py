"""A net with what came along: its name and, of some sources, a series for every element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neomflex_jax.loose_types import PandapowerNet

Row = tuple[str, int]  # an element: its table in the net, and its row there


@dataclass(frozen=True, eq=False)
class NetSeries:
    """Series of a net's elements, in whole days."""

    columns: Mapping[str, np.ndarray]  # (n_rows,) by name
    p_of: Mapping[Row, str]  # column of an element's active power; in the sign of its table in the net
    q_of: Mapping[Row, str]  # column of its reactive power; what is not here keeps its power factor
    unit: str  # "per_unit" of the element's nominal power, or "MW"
    times: tuple[str, ...]  # (n_rows,) as the source states them
    timezone: str  # by whose clock; empty for a clock without summer time
    step_hours: float
    notice: str = ""  # who made them, and by which licence they may be used

    def p_mw(self, net: PandapowerNet, row: Row) -> np.ndarray:
        """Active power (n_rows,) of an element, in the sign of its table."""
        values = np.asarray(self.columns[self.p_of[row]], float)
        table, number = row
        one = net[table].loc[number]
        return values * float(one["p_mw"] * one["scaling"]) if self.unit == "per_unit" else values


@dataclass(frozen=True, eq=False)
class NetSource:
    """A pandapower net and its series."""

    net: PandapowerNet
    name: str
    series: NetSeries | None = None
