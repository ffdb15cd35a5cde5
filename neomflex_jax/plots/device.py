"""One device over days, panel by panel: its powers, what it holds or its position, each with its limits.

What is drawn are the device's columns of the step table, by their unit; limits are those of the scenario's device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from neomflex_jax.devices import Bound, Device, Kind, registered_kinds
from neomflex_jax.errors import InputError, shown_list
from neomflex_jax.evaluation.tables import columns_of
from neomflex_jax.plots import style
from neomflex_jax.plots.days import COLUMN_END, COLUMN_MIDDLE, ChosenDays, choose
from neomflex_jax.plots.drawing import Axes, Figure, MaxNLocator
from neomflex_jax.plots.named import picked
from neomflex_jax.scenario import Scenario

PANELS = {  # by unit: how columns end, and what the axis says
    "MW": (("_mw",), "power (MW)"),
    "Mvar": (("_mvar",), "reactive power\n(Mvar)"),
    "MWh": (("_mwh",), "energy (MWh)"),
    "steps": (("_position", "_steps"), "position (steps)"),
}
LIMIT: style.LineStyle = {"color": style.GREY, "linewidth": 1.0, "linestyle": "--"}
STORED = "soc"  # the figure of stores, whose columns are energies whatever they end with
BEFORE = "_before_"  # in the names of columns that say what another one said a step ago


def draw(
    steps: pd.DataFrame,
    run: str,
    days: Sequence[int] | None = None,
    *,
    devices: Sequence[str] | None = None,
    scenario: Scenario | None = None,
    overlay: Sequence[str] = (),
) -> Figure:
    """Draw one device.

    Parameters
    ----------
    steps
        As from `evaluation.tables.step_metrics`.
    run, days
        What to show; days None: all.
    devices
        The device, by its kind and bus as ``battery_7`` or ``pv_16``; one alone. None: the first of the table.
    scenario
        That was played: its device's limits are drawn. None: no limits.
    overlay
        Further runs, as thin lines.

    Returns
    -------
    figure
        A panel for each unit that the table has of the device: MW and Mvar positive into the grid, MWh after each
        step, and positions.

    Raises
    ------
    InputError
        If the device, the run or a day is not in the table, saying what is, or several devices are asked for.
    """
    name, kind, bus = _one_device(steps, devices)
    panels = _panels(steps, kind, bus)
    if not panels:
        raise InputError(f"the table has no column of device {name!r} in {', '.join(PANELS)}; nothing can be drawn")
    shown = [choose(steps, run, days)]
    shown += [choose(steps, other, shown[0].days) for other in overlay]
    n_days = len(shown[0].days)
    title = shown[0].title(_titled(scenario, kind, bus))
    figure, axes = style.new_panels(title, [PANELS[unit][1] for unit in panels], n_days)
    bounds = _bounds(scenario, kind, bus, shown[0], panels)
    for panel, (unit, found) in zip(axes, panels.items(), strict=True):
        if unit in bounds:
            _draw_bounds(panel, bounds[unit], shown[0])
        elif unit != "MWh":
            panel.axhline(0.0, color=style.GREY, linewidth=0.8, zorder=1)
        for number, chosen in enumerate(shown):
            _draw_columns(panel, chosen, found, unit, number)
        style.day_axis(panel, shown[0])
        if unit == "steps":
            panel.yaxis.set_major_locator(MaxNLocator(integer=True))
        if panel is not axes[-1]:
            panel.set_xlabel("")
    style.legend(figure, *axes)
    return figure


def device_names(steps: pd.DataFrame) -> dict[str, tuple[Kind, str]]:
    """Return the kind and the bus of every device that a step table has columns of, by kind and bus as `battery_7`."""
    found = {}
    for kind in registered_kinds():
        for begins, ends in kind.table_families:
            for column in columns_of(steps, begins, ends):
                bus = column.removeprefix(begins).removesuffix(ends)
                if not any(bus.endswith(other) for _, other in kind.table_families if other):
                    found[f"{kind.prefix}_{bus}"] = kind, bus
    return found


def _one_device(steps: pd.DataFrame, devices: Sequence[str] | None) -> tuple[str, Kind, str]:
    """Return the device's name, kind and bus."""
    known = device_names(steps)
    if not known:
        raise InputError("the table has no column of a device: there is none to show")
    names = picked(list(known)[:1] if devices is None else devices, known, "device", "devices")
    if len(names) > 1:
        raise InputError(f"devices = {shown_list(names)}: this figure shows one device; draw a figure for each")
    (name,) = names
    return name, *known[name]


def _titled(scenario: Scenario | None, kind: Kind, bus: str) -> str:
    own = "" if (device := _device(scenario, kind, bus)) is None else device.name
    noun = kind.noun[0].upper() + kind.noun[1:]
    return f"{noun} {own} at bus {bus}" if own else f"{noun} at bus {bus}"


def _device(scenario: Scenario | None, kind: Kind, bus: str) -> Device | None:
    devices = () if scenario is None else scenario.of(kind)
    return next((each for each in devices if str(each.bus) == bus), None)


def _panels(steps: pd.DataFrame, kind: Kind, bus: str) -> dict[str, dict[str, str]]:
    """Return by unit the device's columns, with what each is called."""
    panels: dict[str, dict[str, str]] = {}
    for begins, ends in kind.table_families:
        column, unit = f"{begins}{bus}{ends}", _unit(kind, begins, ends)
        if column in steps and unit and BEFORE not in begins:
            panels.setdefault(unit, {})[column] = _called(begins, ends)
    return {unit: panels[unit] for unit in PANELS if unit in panels}


def _unit(kind: Kind, begins: str, ends: str) -> str:
    """Return what a family of columns is in; empty for what has no panel, as shares."""
    stored = kind.drawn.get(STORED)
    if stored is not None and (begins, ends) == (stored.begins, stored.ends):
        return "MWh"
    return next((unit for unit, (suffixes, _) in PANELS.items() if ends.endswith(suffixes)), "")


def _called(begins: str, ends: str) -> str:
    """Return what a legend calls a column: its name without bus and unit, as `pv p`."""
    for suffix in (suffix for suffixes, _ in PANELS.values() for suffix in suffixes if suffix.startswith("_m")):
        ends = ends.removesuffix(suffix)
    return " ".join(f"{begins.removesuffix('bus_')} {ends}".replace("_", " ").split())


def _bounds(
    scenario: Scenario | None, kind: Kind, bus: str, chosen: ChosenDays, panels: Mapping[str, Mapping[str, str]]
) -> Mapping[str, tuple[Bound, Bound]]:
    """Return the device's limits by unit; none where the scenario has no such device."""
    device = _device(scenario, kind, bus)
    if device is None:
        return {}
    powers = list(panels.get("MW", {}))
    delivered = chosen.table[powers[0]].to_numpy(float) if powers else np.zeros(len(chosen.table))
    return device.bounds(delivered)


def _draw_bounds(axes: Axes, bounds: tuple[Bound, Bound], chosen: ChosenDays) -> None:
    """Draw the lowest and the highest value that the device's limits allow in every step."""
    hours = chosen.table[COLUMN_MIDDLE].to_numpy(float)
    for label, bound in zip(("limits", ""), bounds, strict=True):
        if np.ndim(bound):
            axes.plot(hours, np.asarray(bound), drawstyle="steps-mid", label=label, zorder=1, **LIMIT)
        else:
            axes.axhline(float(bound), label=label, zorder=1, **LIMIT)


def _draw_columns(axes: Axes, chosen: ChosenDays, columns: Mapping[str, str], unit: str, number: int) -> None:
    """Draw the columns of one panel: energies are those after the step, all else holds during it."""
    after = unit == "MWh"
    hours = chosen.table[COLUMN_END if after else COLUMN_MIDDLE]
    for index, (column, called) in enumerate(columns.items()):
        axes.plot(
            hours,
            chosen.table[column],
            color=style.COLOURS[(index + 2 * (number > 0)) % len(style.COLOURS)],
            linestyle=style.LINE_STYLES[number % len(style.LINE_STYLES)],
            linewidth=1.0 if number else 1.7,
            drawstyle="default" if after else "steps-mid",
            label=style.entry(f"{called}, {chosen.run}"),
        )
