"""The series of a feeder's own loads, generators and storages: read for a scenario, and told where none is stated."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neomflex_jax.devices.device import Turn
from neomflex_jax.devices.registry import STANDING
from neomflex_jax.errors import InputError, shown_list
from neomflex_jax.files.parquet import is_parquet
from neomflex_jax.files.paths import is_folder
from neomflex_jax.grid import AnyFeeder, Feeder, UnbalancedFeeder
from neomflex_jax.grid.elements import Element, OneLoadEach, Places, loads_at_buses
from neomflex_jax.profiles import (
    Profiles,
    SeriesConfig,
    SessionDevice,
    SolarDevice,
    Wanted,
    assign,
    assign_sessions,
    assign_solar,
    check_plain_clock,
    read_profiles,
    read_profiles_by_element,
    resolve_profiles,
)
from neomflex_jax.profiles.assign import DEMAND, SOLAR, STEADY, Assigned
from neomflex_jax.profiles.by_element import element_series
from neomflex_jax.profiles.config import PLAIN, SESSION_TABLES, SOLAR_TABLES
from neomflex_jax.profiles.split import Split
from neomflex_jax.profiles.table import read_columns, read_split
from neomflex_jax.resources import PROFILES, packaged_profiles
from neomflex_jax.scenario import Scenario

MOST_NAMED = 4


def elements_of(feeder: AnyFeeder) -> tuple[Element, ...]:
    """Return a feeder's elements; of one whose source does not list them, a load for each bus that consumes."""
    if isinstance(feeder, UnbalancedFeeder):
        return loads_with_phases(feeder)
    listed = feeder.elements or loads_at_buses(feeder.nodes, feeder.load_p_mw, feeder.load_q_mvar)
    return listed.rows


TABLES_OF_CLASSES = {
    **{"pvsystem": "sgen", "generator": "sgen", "storage": "storage"},  # OpenDSS's
    **{"sgen": "sgen", "asymmetric_sgen": "sgen"},  # pandapower's
}


def loads_with_phases(feeder: UnbalancedFeeder) -> tuple[Element, ...]:
    """Return the loads of a feeder with phases as elements, row by row, without the names of their classes."""
    found = []
    for row, (load, bus) in enumerate(zip(feeder.loads, feeder.load_buses, strict=True)):
        kind, _, name = load.name.partition(".")
        sun = "pv" if kind == "pvsystem" else ""
        found.append(Element(TABLES_OF_CLASSES.get(kind, "load"), row, name, bus, load.p_mw, load.q_mvar, sun))
    return tuple(found)


def places_of(feeder: AnyFeeder) -> Places:
    """Return where consumption counts: at the nodes of a balanced feeder, with phases load by load."""
    return OneLoadEach(feeder.n_load) if isinstance(feeder, UnbalancedFeeder) else feeder.nodes


def assigned_elements(scenario: Scenario, feeder: AnyFeeder) -> tuple[Assigned, ...]:
    """Assign a feeder's elements what the scenario has them follow; none where all of them follow Demand."""
    assigned = assign(scenario.series, elements_of(feeder))
    return assigned if any(each.is_mapped or each.p_column != DEMAND for each in assigned) else ()


def solar_devices(scenario: Scenario) -> tuple[SolarDevice, ...]:
    """Return the devices of `SOLAR_TABLES` with the columns of their own sun."""
    devices = [
        SolarDevice(kind.table, row, device.label, device.bus, device.p_max_mw)
        for kind in scenario.kinds
        if kind.table in SOLAR_TABLES
        for row, device in enumerate(scenario.of(kind))
    ]
    return assign_solar(scenario.series, devices)


def session_devices(scenario: Scenario) -> tuple[SessionDevice, ...]:
    """Return the devices of `SESSION_TABLES` with the chargers of the sessions' file; none without one."""
    if not scenario.series.sessions_file:
        return ()
    (table,) = SESSION_TABLES
    own = [device for kind in scenario.kinds if kind.table == table for device in scenario.of(kind)]
    devices = [
        SessionDevice(
            index=row,
            name=device.label,
            bus=device.bus,
            title=f"{device.noun} {device.label!r}",
            efficiency=device.efficiency,
            largest_mwh=device.largest_mwh,
            every_day=device.sessions,
        )
        for row, device in enumerate(own)
    ]
    return assign_sessions(scenario.series, table, devices)


def read_scenario_profiles(scenario: Scenario, path: Path, feeder: AnyFeeder) -> Profiles:
    """Read a series as the scenario's ``[profiles]`` and the feeder's elements have it, before any variant's factors.

    Raises
    ------
    InputError
        As `read_profiles`, `check_plain_clock` and `read_profiles_by_element`.
    """
    if scenario.series != PLAIN or is_folder(path) or is_parquet(path):
        return read_profiles_by_element(path, _wanted(scenario, feeder), places_of(feeder))
    loads_mw = sum(element.p_mw for element in elements_of(feeder) if element.table == "load")
    if path not in map(packaged_profiles, PROFILES):  # whose clocks are in order
        check_plain_clock(path, scenario.step_hours)
    profiles = read_profiles(path, scenario.steps_per_day, scenario.tariff_column, loads_mw)
    return with_own_generation(profiles, assigned_elements(scenario, feeder), places_of(feeder))


def _wanted(scenario: Scenario, feeder: AnyFeeder) -> Wanted:
    devices = solar_devices(scenario)
    n_suns = sum(device.column is not None for device in devices)
    n_generating = sum(len(scenario.of(kind)) for kind in scenario.kinds if kind.turn == Turn.GENERATION)
    return Wanted(
        config=scenario.series,
        assigned=assign(scenario.series, elements_of(feeder)),
        step_hours=scenario.step_hours,
        steps_per_day=scenario.steps_per_day,
        tariff_column=scenario.tariff_column,
        needs_solar=n_suns < n_generating,
        devices=devices,
        chargers=session_devices(scenario),
    )


def split_of(scenario: Scenario, feeder: AnyFeeder) -> Split | None:
    """Return which days of the scenario's file are for training, validation and test; None without such rules."""
    if not scenario.series.splits:
        return None
    path, wanted = resolve_profiles(scenario.profiles), _wanted(scenario, feeder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # whoever plays these days is told
        return read_split(path, wanted, read_columns(path, wanted))


def with_own_generation(profiles: Profiles, assigned: Sequence[Assigned], places: Places) -> Profiles:
    """Profiles with every element on Demand, Solar or its nominal power; as they are where all follow Demand."""
    if not assigned:
        return profiles
    own = element_series(SeriesConfig(), assigned, (), np.zeros((profiles.n_rows, 0)), places)
    return profiles.with_elements(own)


def check_loads_of_devices(scenario: Scenario, feeder: AnyFeeder) -> None:
    """Refuse a device that changes a load that is not all Demand's: what it would have consumed is not recorded."""
    other = {each.element.bus: each for each in assigned_elements(scenario, feeder) if each.p_column != DEMAND}
    for kind in scenario.kinds:
        for device in scenario.of(kind) if kind.turn == Turn.LOAD else ():
            if device.bus in other:
                follows = other[device.bus]
                what = repr(follows.p_column) if follows.p_column else "its nominal power"
                raise InputError(
                    f"{device.noun} {device.label!r}: at bus {device.bus}, {follows.element.title} follows {what}, and "
                    "such a device needs a bus whose loads follow Demand; move it, or leave the element to Demand"
                )


def own_generation_text(feeder: AnyFeeder, series: SeriesConfig = PLAIN, *, sure: bool = True) -> str | None:
    """Return what a feeder's own generators and storages follow where no column is stated, None without any.

    Without `sure` those that their type says to be photovoltaic are left out: that they follow Solar is no guess.
    """
    left = [each for each in assign(series, elements_of(feeder)) if not each.is_mapped and each.element.p_mw]
    parts = []
    for column, what in ((SOLAR, "following Solar"), (STEADY, "at nominal power day and night")):
        own = [each.element for each in left if each.p_column == column and (sure or not each.element.is_photovoltaic)]
        if own:
            power_mw = sum(abs(element.p_mw) for element in own)
            names = shown_list(element.title for element in own[:MOST_NAMED]) + (", ..." if own[MOST_NAMED:] else "")
            parts.append(f"{names} ({power_mw:.4g} MW) {what}")
    if parts:
        advice = "[profiles] generators and storages give them columns of their own"
        return f"plays what the grid has of its own as {' and '.join(parts)}; {advice}"
    return None if isinstance(feeder, UnbalancedFeeder) or feeder.elements else _hidden_generation(feeder)


def _hidden_generation(feeder: Feeder) -> str | None:
    """Return what a load hides that is only known as a sum: production that rises and falls with the demand."""
    own, producing = str(feeder.own_devices), np.asarray(feeder.load_p_mw) < 0
    if not own and producing.any():
        labels = list(dict.fromkeys(np.array(feeder.nodes.bus)[producing].tolist()))
        own = f"net generation at bus {shown_list(labels[:12])} ({-feeder.load_p_mw[producing].sum():.4g} MW)"
    if not own:
        return None
    tables = " or ".join(f"[[{kind.table}]]" for kind in reversed(STANDING) if kind.turn != Turn.LOAD)
    advice = f"list them in the folder's elements.csv, or leave them out and state them as {tables}"
    return f"generation in its load follows the demand curve, day and night: {own}; {advice}"
