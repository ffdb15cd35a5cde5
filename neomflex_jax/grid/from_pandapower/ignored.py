"""What a net states and the power flow leaves out: `pandapower.runpp` without a word, and a feeder with one.

Both answer alike, so that no comparison would show it; but who set a tap or a load believes that it counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.grid.from_pandapower.rows import Rows
from neomflex_jax.grid.from_pandapower.voltage_dependence import unlike_shares

if TYPE_CHECKING:
    from pandapower import pandapowerNet

AT_A_BUS = (
    *("ext_grid", "gen", "load", "sgen", "storage", "shunt", "ward", "xward", "motor"),
    *("asymmetric_load", "asymmetric_sgen"),
)


def ignored_inputs(net: pandapowerNet) -> list[str]:
    """Return one text for everything that is left out: what it is and, where there is a way, how to have it count."""
    return [
        *_taps(net, "trafo", ""),
        *_taps(net, "trafo", "2"),
        *_taps(net, "trafo3w", ""),
        *_iron(net),
        *_at_dead_buses(net),
        *unlike_shares(net),
        *_controllers(net),
        *_options(net),
    ]


def _taps(net: pandapowerNet, table: str, tap: str) -> Iterator[str]:
    """Tap changers that stand away from neutral and change nothing, or beyond where they can stand."""
    rows = Rows.of(net, table).in_service()
    kinds, sides = rows.texts(f"tap{tap}_changer_type"), rows.texts(f"tap{tap}_side")
    one_of = "'hv', 'mv' or 'lv'" if table == "trafo3w" else "'hv' or 'lv'"
    columns = ("pos", "neutral", "min", "max", "step_percent", "step_degree")
    position, neutral, lowest, highest, percent, degree = (
        rows.numbers(f"tap{tap}_{name}", absent=np.nan, or_empty=True) for name in columns
    )
    for row in np.flatnonzero(np.isfinite(position)).tolist():
        stands = f"{rows.title(row)} has tap{tap}_pos = {position[row]:g}"
        moved = position[row] != neutral[row]  # so it is where neutral is not stated
        if moved and not kinds[row] and (sides[row] or np.isfinite(neutral[row])):
            yield f"{stands} and no tap{tap}_changer_type, so that the tap does nothing ('Ratio' would have it count)"
        elif moved and kinds[row] and not sides[row]:
            yield f"{stands} and no tap{tap}_side, so that the tap does nothing ({one_of} would have it count)"
        elif moved and kinds[row] and np.isnan(neutral[row]):
            yield f"{stands} and no tap{tap}_neutral, so that the tap does nothing"
        elif moved and kinds[row] and not (percent[row] or 0) > 0 and not np.nan_to_num(degree[row]):
            yield f"{stands} and no tap{tap}_step_percent, so that the tap does nothing"
        elif kinds[row] and (position[row] < lowest[row] or position[row] > highest[row]):
            yield f"{stands} beyond its tap{tap}_min and tap{tap}_max, which nobody holds it to"


def _iron(net: pandapowerNet) -> Iterator[str]:
    """Transformers whose no-load current has a sign: converters mean charging by it, and it is read as magnetising."""
    for table in ("trafo", "trafo3w"):
        rows = Rows.of(net, table).in_service()
        i0_percent = rows.numbers("i0_percent", absent=0.0)
        for row in np.flatnonzero(i0_percent < 0).tolist():
            yield f"{rows.title(row)} has i0_percent = {i0_percent[row]:g}, whose sign is not read"
    rows = Rows.of(net, "trafo3w").in_service()
    for row, side in enumerate(rows.texts("loss_side")):
        if side and side not in ("hv", "mv", "lv"):
            yield f"{rows.title(row)} has loss_side = {side!r}, so that pfe_kw and i0_percent do nothing"


def _at_dead_buses(net: pandapowerNet) -> Iterator[str]:
    """Elements in service at buses that are not."""
    buses = Rows.of(net, "bus")
    dead = set(buses.out_of_service().numbers_of_rows)
    for table in AT_A_BUS:
        rows = Rows.of(net, table).in_service()
        for row, bus in enumerate(rows.labels("bus")):
            if bus in dead:
                yield f"{rows.title(row)} is in service at bus {bus}, which is not"


def _controllers(net: pandapowerNet) -> Iterator[str]:
    table = net.get("controller")
    if table is not None and len(table):
        rows = Rows.of(net, "controller").in_service()
        for row in range(len(rows)):
            yield (
                f"{rows.title(row)} is in service and does not act: the net is taken as it stands "
                "(pandapower.runpp(net, run_control=True) lets it act first)"
            )


def _options(net: pandapowerNet) -> Iterator[str]:
    options = net.get("user_pf_options")
    if isinstance(options, dict) and options:
        names = ", ".join(sorted(map(str, options)))
        yield f"net.user_pf_options ({names}) is not read: a feeder answers as runpp does with its own defaults"
