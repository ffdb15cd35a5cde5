"""What a pandapower net may hold that a `Feeder` does not model: refused by name, never ignored.

Tables that say nothing about the power flow (costs, measurements, results, ...) are known by name; every other table
that is not modelled is refused as soon as it has a row in service, those of future versions of pandapower too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError
from neomflex_jax.grid.from_pandapower.rows import Rows

MODELLED = {
    "bus",
    "line",
    "trafo",
    "trafo3w",
    "impedance",
    "switch",
    "shunt",
    "load",
    "sgen",
    "storage",
    "ext_grid",
} | {
    "gen",
    "dcline",
}

WITHOUT_INFLUENCE = {
    *("measurement", "group", "output_writer"),
    *("poly_cost", "pwl_cost", "polynomial_cost", "piecewise_linear_cost"),
    *("bus_geodata", "line_geodata"),
    # tables that a transformer, shunt or sgen may refer to: that reference is what counts, see below
    *("characteristic", "trafo_characteristic_table", "trafo_characteristic_spline", "shunt_characteristic_table"),
    *("shunt_characteristic_spline", "q_capability_characteristic", "q_capability_curve_table"),
    *("substation", "loadcases"),  # SimBench's own
}

CONSTANT_POWER = "take it out of service and put what it draws into net.load, as p_mw and q_mvar"
WHAT_TO_DO = {
    "ward": CONSTANT_POWER,
    "xward": CONSTANT_POWER,
    "motor": CONSTANT_POWER,
    "asymmetric_load": "a feeder is balanced; put the sum of its phases into net.load",
    "asymmetric_sgen": "a feeder is balanced; put the sum of its phases into net.sgen",
    "controller": "let it act once, pandapower.runpp(net, run_control=True); then net.controller.in_service = False",
}
OTHERWISE = "take it out of service or out of the net"

# Columns that change what a modelled element does, with the value that leaves it alone and what to do.
CONSTANT = "only loads of constant power are modelled; set it to 0"
ZIP_COLUMNS = tuple(f"const_{part}_{power}percent" for part in ("z", "i") for power in ("", "p_", "q_"))
NEUTRAL: tuple[tuple[str, str, float, str], ...] = (
    *(("load", column, 0.0, CONSTANT) for column in ZIP_COLUMNS),
    (
        "trafo",
        "tap_dependency_table",
        0.0,
        "tap tables are not modelled; set vk_percent, vkr_percent and the tap to fit",
    ),
    ("trafo", "tap2_dependency_table", 0.0, "tap tables are not modelled; set the second tap to fit"),
    ("trafo", "tap_dependent_impedance", 0.0, "set vk_percent and vkr_percent to those of the tap, and this to False"),
    (
        "trafo3w",
        "tap_dependency_table",
        0.0,
        "tap tables are not modelled; set the vk and vkr of each pair and the tap",
    ),
    (
        "trafo3w",
        "tap_dependent_impedance",
        0.0,
        "set the vk and vkr of each pair to those of the tap, and this to False",
    ),
    ("shunt", "step_dependency_table", 0.0, "step tables are not modelled; set p_mw, q_mvar and step to fit"),
)


def refuse_unsupported(net: Any) -> None:
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
    for table, column, neutral, why in NEUTRAL:
        _refuse_other_than(neutral, Rows.of(net, table).in_service(), column, why)


def _refuse_other_than(neutral: float, rows: Rows, column: str, why: str) -> None:
    values = rows.numbers(column, absent=neutral, or_empty=True)
    rows.refuse(values != neutral, lambda row: f"{column} = {values[row]:g}; {why}")


def _refuse_table(table: str, frame: pd.DataFrame) -> None:
    rows = Rows(table, frame)
    active = rows.flags("in_service", absent=True) if "in_service" in frame else np.ones(len(frame), bool)
    if active.any():
        title = rows.title(int(np.argmax(active)))
        raise InputError(f"{title} is in service and not modelled by a feeder; {WHAT_TO_DO.get(table, OTHERWISE)}")
