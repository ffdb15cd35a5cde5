"""Whether a pandapower net holds the same grid as a `Feeder`: the referee must not judge another grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.grid.feeder import Feeder

RELATIVE = 1e-9  # both are decimal numbers from the same publication, apart by rounding of conversions alone
NEUTRAL: dict[
    str, dict[str, Any]
] = {  # columns that silently change what an element does, with the value that leaves it alone
    "load": {"scaling": 1.0, "in_service": True, "const_z_p_percent": 0.0, "const_i_p_percent": 0.0}
    | {"const_z_q_percent": 0.0, "const_i_q_percent": 0.0},
    "line": {"parallel": 1, "c_nf_per_km": 0.0, "g_us_per_km": 0.0},
    "bus": {"in_service": True},
    "ext_grid": {"in_service": True, "va_degree": 0.0},
}


def check_agreement(net: Any, feeder: Feeder) -> None:
    """Compare buses, slack, loads and branches by bus label.

    Raises
    ------
    InputError
        On the first difference, naming bus or branch and both values.
    """
    where = f"pandapower's net for feeder {feeder.name!r}"
    if sorted(net.bus.index) != sorted(feeder.bus_labels):
        raise InputError(f"{where} has other buses than the feeder: {sorted(net.bus.index)[:12]}")
    for element, columns in NEUTRAL.items():
        for column, neutral in columns.items():
            if column in net[element] and not (net[element][column] == neutral).all():
                raise InputError(f"{where}: {element}.{column} is not {neutral} everywhere")
    slack = feeder.bus_labels[feeder.topology.slack]
    if list(net.ext_grid["bus"]) != [slack]:
        raise InputError(f"{where} is supplied at buses {list(net.ext_grid['bus'])}, the feeder at {slack}")
    _compare(where, "slack voltage in pu", {slack: net.ext_grid["vm_pu"].iloc[0]}, {slack: feeder.slack_vm_pu})
    for name, column, own in (("p_mw", "p_mw", feeder.load_p_mw), ("q_mvar", "q_mvar", feeder.load_q_mvar)):
        theirs = dict.fromkeys(feeder.bus_labels, 0.0) | net.load.groupby("bus")[column].sum().to_dict()
        _compare(where, f"load {name} at bus", theirs, dict(zip(feeder.bus_labels, own, strict=True)))
    _compare(where, "vn_kv of bus", net.bus["vn_kv"].to_dict(), dict.fromkeys(feeder.bus_labels, float(feeder.vn_kv)))
    _compare_branches(where, net, feeder)


def _compare_branches(where: str, net: Any, feeder: Feeder) -> None:
    topology, labels = feeder.topology, feeder.bus_labels
    ends = [_ends(labels[a], labels[b]) for a, b in zip(topology.from_bus, topology.to_bus, strict=True)]
    their_ends = [_ends(a, b) for a, b in zip(net.line["from_bus"], net.line["to_bus"], strict=True)]
    for quantity, theirs, own in (
        ("r_ohm", net.line["r_ohm_per_km"] * net.line["length_km"], feeder.r_ohm),
        ("x_ohm", net.line["x_ohm_per_km"] * net.line["length_km"], feeder.x_ohm),
        ("in_service", net.line["in_service"].astype(float), np.asarray(topology.in_service, float)),
    ):
        _compare(where, f"{quantity} of branch", dict(_numbered(their_ends, theirs)), dict(_numbered(ends, own)))


def _ends(a: int, b: int) -> str:
    return f"{min(a, b)}-{max(a, b)}"


def _numbered(ends: list[str], values: Any) -> list[tuple[str, float]]:
    """Name branches by their ends; those of equal ends (parallel ones) are told apart by a count, in order of value."""
    seen: dict[str, int] = {}
    named = []
    for end, value in sorted(zip(ends, (float(value) for value in values), strict=True)):
        seen[end] = seen.get(end, 0) + 1
        named.append((end if seen[end] == 1 else f"{end} ({seen[end]})", value))
    return named


def _compare(where: str, what: str, theirs: dict[Any, Any], own: dict[Any, Any]) -> None:
    if theirs.keys() != own.keys():
        odd = sorted(theirs.keys() ^ own.keys(), key=str)[0]
        raise InputError(f"{where}: {what} {odd} is in one of the two only")
    for name, value in own.items():
        if not np.isclose(theirs[name], value, rtol=RELATIVE, atol=1e-12):
            raise InputError(f"{where}: {what} {name} is {theirs[name]}, in the feeder {value}")
