"""What a pandapower net may hold that a `Feeder` does not model: refused by name, never ignored.

Tables that say nothing about the power flow (costs, measurements, results, ...) are known by name; every other table
that is not modelled is refused as soon as it has a row in service, those of future versions of pandapower too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError
from neomflex_jax.grid.from_pandapower.rows import Rows

if TYPE_CHECKING:
    from pandapower import pandapowerNet

MODELLED = {
    *("bus", "switch", "line", "trafo", "trafo3w", "impedance", "shunt", "svc", "ext_grid", "gen", "dcline"),
    *("load", "sgen", "storage", "motor", "ward", "xward", "asymmetric_load", "asymmetric_sgen"),
}

AT_REST = ("tcsc",)  # modelled where they are not `controllable`

WITHOUT_INFLUENCE = {
    *("measurement", "group", "output_writer", "controller"),  # a controller acts with run_control alone
    *("poly_cost", "pwl_cost", "polynomial_cost", "piecewise_linear_cost"),
    *("bus_geodata", "line_geodata"),
    # tables that a transformer, shunt or sgen may refer to: that reference is what counts, see below
    *("characteristic", "trafo_characteristic_table", "trafo_characteristic_spline", "shunt_characteristic_table"),
    *("shunt_characteristic_spline", "q_capability_characteristic", "q_capability_curve_table"),
    *("substation", "loadcases"),  # SimBench's own
}

WHAT_TO_DO = {
    "ssc": "put a generator there that holds its set_vm_pu, net.gen with p_mw = 0",
    "tcsc": "set controllable to False, for it to rest at its thyristor_firing_angle_degree",
}
OTHERWISE = "take it out of service or out of the net"

# Columns that change what a modelled element does, with the value that leaves it alone and what to do.
NEUTRAL: tuple[tuple[str, str, float, str], ...] = (
    ("trafo", "tap2_dependency_table", 0.0, "tap tables of a second tap are not modelled; set the second tap to fit"),
    ("trafo", "tap_dependent_impedance", 0.0, "set vk_percent and vkr_percent to those of the tap, and this to False"),
    (
        "trafo3w",
        "tap_dependent_impedance",
        0.0,
        "set the vk and vkr of each pair to those of the tap, and this to False",
    ),
)


def refuse_unsupported(net: pandapowerNet) -> None:
    """Raise for the first thing in the net that is in service and not modelled.

    Raises
    ------
    InputError
        Naming the element, by table, number and name, and saying what to do.
    """
    for table, frame in net.items():
        known = table in MODELLED | WITHOUT_INFLUENCE or str(table).startswith(("_", "res_"))
        if not known and isinstance(frame, pd.DataFrame) and len(frame):
            _refuse_table(table, frame)
    loads = Rows.of(net, "load").in_service()
    for part in "zi":
        if f"const_{part}_p_percent" in loads.frame:
            why = f"runpp reads const_{part}_p_percent and const_{part}_q_percent; set those, and this to 0"
            _refuse_other_than(0.0, loads, f"const_{part}_percent", why)
    for table, column, neutral, why in NEUTRAL:
        _refuse_other_than(neutral, Rows.of(net, table).in_service(), column, why)


def _refuse_other_than(neutral: float, rows: Rows, column: str, why: str) -> None:
    values = rows.numbers(column, absent=neutral, or_empty=True)
    rows.refuse(values != neutral, lambda row: f"{column} = {values[row]:g}; {why}")


def _refuse_table(table: str, frame: pd.DataFrame) -> None:
    rows = Rows(table, frame)
    active = rows.flags("in_service", absent=True) if "in_service" in frame else np.ones(len(frame), bool)
    if table in AT_REST:
        active = active & rows.flags("controllable", absent=True)  # not in place: these are the net's own
    if active.any():
        title = rows.title(int(np.argmax(active)))
        raise InputError(f"{title} is in service and not modelled by a feeder; {WHAT_TO_DO.get(table, OTHERWISE)}")
