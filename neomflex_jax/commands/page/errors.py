"""Where the record is off pandapower: by bus and hour, from a report's budget of errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neomflex_jax.commands.console import short
from neomflex_jax.loose_types import JsonObject

if TYPE_CHECKING:
    from validation.report.stored_report import StoredRun

MOST_BUSES = 60
AXES = {"bus": "bus", "hour": "hour of the day", "load_level": "load", "slack_flow": "direction at the slack"}


def error_charts(run: JsonObject) -> list[JsonObject]:
    """Return bars of the largest and mean voltage error by bus and by hour; of many buses those with the largest."""
    charts = []
    for axis, label in AXES.items():
        rows = [row for row in run["budget"]["rows"] if row["quantity"] == "vm_pu" and row["axis"] == axis]
        bars = [(str(row["group"]), row["error"]["max_abs"], row["error"]["mean_abs"]) for row in rows]
        bars = [bar for bar in bars if bar[1] is not None and bar[2] is not None]
        note = ""
        if len(bars) > MOST_BUSES:
            largest = {bar[0] for bar in sorted(bars, key=lambda bar: -bar[1])[:MOST_BUSES]}
            note = f"the {MOST_BUSES} with the largest error of {len(bars):,}"
            bars = [bar for bar in bars if bar[0] in largest]
        if axis == "hour":
            bars.sort(key=lambda bar: float(bar[0]))
        if len(bars) > 1:
            names, largest_abs, mean_abs = zip(*bars, strict=True)
            charts.append({"axis": label, "names": names, "max": largest_abs, "mean": mean_abs, "note": note})
    return charts


def where_it_errs(stored: StoredRun, run: JsonObject) -> str:
    """Return the sentence on the largest error of a voltage."""
    metrics = run["metrics"]
    worst, error = metrics["worst_voltage"], metrics["vm_pu"]
    if not worst or error["max_abs"] is None:
        return f"{stored.power_flow}: no voltage could be compared."
    limit = next((one["limit"] for one in run["criteria"] if one["name"] == "vm_max_pu"), None)
    missed = metrics["hard"]["missed"] + metrics["band"]["missed"]
    invented = metrics["hard"]["invented"] + metrics["band"]["invented"]
    allowed = "" if limit is None else f", allowed {short(limit)} pu"
    return (
        f"The record was played in the power flow `{stored.power_flow}`. Its largest voltage error is "
        f"{short(error['max_abs'])} pu{allowed}, at bus {worst['bus']} on day {worst['day']} in step {worst['step']}; "
        f"the mean is {short(error['mean_abs'])} pu. Of buses x steps outside band or limits it missed {missed:,} and "
        f"invented {invented:,}."
    )
