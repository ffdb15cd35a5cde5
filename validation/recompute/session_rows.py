"""Charging sessions of a file, laid out on the series' rows a second time.

A session has the steps that it touches and that the one before has not, and in each the share of its power that it
is there for. On each day that it touches it is a session by itself, with its energy's share by time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.files.tables import read_table
from neomflex_jax.grid.elements import Element
from neomflex_jax.scenario import Scenario
from validation.recompute.day_parts import standard_times
from validation.recompute.devices.twin import SomeDevice, SomeTwin
from validation.recompute.element_loads import DATE, looked_up, times_in

COLUMNS = ("charger", "arrival", "departure", "energy_kwh", "power_kw")
NAMES = ("session_energy_mwh", "session_power_mw", "session_ends")
EARLY_HOURS = 1e-6  # hours are sums of floats


def session_names(scenario: Scenario, twin: SomeTwin) -> tuple[str, ...]:
    """Return the recorded arrays (n, n_device) of a kind's sessions, none where no file has them."""
    return NAMES if twin.has_sessions and scenario.series.sessions_file else ()


def session_gap(
    trajectory: Trajectory,
    kinds: Sequence[tuple[SomeTwin, Sequence[SomeDevice]]],
    folder: Path,
    rows: pd.DataFrame,
    at: np.ndarray,
) -> float:
    """Return the largest difference of a recorded session, as a share of the charger's largest value.

    `rows` are the file's, `at` (n,) those of them that the record plays.
    """
    scenario, worst = trajectory.scenario, 0.0
    for twin, devices in kinds:
        names = session_names(scenario, twin)
        if not names:
            continue
        stated: Mapping[str, str] = getattr(scenario.series, twin.table)
        table = read_table(folder / scenario.series.sessions_file, COLUMNS, others=False)
        for number, device in enumerate(devices):
            if device.sessions:
                continue  # the same every day: its twin knows them
            label = Element(twin.table, number, device.label, device.bus, 0.0, 0.0)
            charger = looked_up(stated, label) or device.label
            right = _laid_out(scenario, table[table["charger"].str.strip() == charger], rows)[at]
            recorded = np.stack([np.asarray(getattr(trajectory, name)[:, number], float) for name in names], axis=1)
            largest = np.maximum(np.abs(right).max(axis=0), 1e-6)
            worst = max(worst, float((np.abs(recorded - right) / largest).max()))
    return worst


def _laid_out(scenario: Scenario, sessions: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    """Return a charger's energies, powers and ends, (n, 3), on rows of the file, which are in order."""
    step_hours, values = scenario.step_hours, np.zeros((len(rows), 3))
    dates = pd.DatetimeIndex(rows[DATE])
    midnight = _hours(dates, dates[0])
    begin = midnight + np.arange(len(rows)) % scenario.steps_per_day * step_hours
    times = (_hours(_counted(scenario, sessions[name]), dates[0]) for name in ("arrival", "departure"))
    numbers = sessions[["energy_kwh", "power_kw"]].astype(float).to_numpy() / 1000.0
    free = -np.inf  # from when on the charger has no vehicle of a session before
    for arrival, departure, (energy_mwh, power_mw) in sorted(zip(*times, numbers, strict=True), key=lambda one: one[0]):
        arrives, free = max(arrival, free), np.ceil((departure - EARLY_HOURS) / step_hours) * step_hours
        hours = np.minimum(departure, begin + step_hours) - np.maximum(arrives, begin)
        for day in np.unique(midnight[hours > EARLY_HOURS]):
            own = np.flatnonzero((hours > EARLY_HOURS) & (midnight == day))
            values[own[0], 0] = energy_mwh * hours[own].sum() / (departure - arrives)
            values[own, 1] = power_mw * hours[own] / step_hours
            values[own[-1], 2] = 1.0
    return values


def _hours(times: pd.DatetimeIndex, since: pd.Timestamp) -> np.ndarray:
    return np.asarray((times - since) / pd.Timedelta(hours=1), float)


def _counted(scenario: Scenario, cells: pd.Series[str]) -> pd.DatetimeIndex:
    """Return times by the clock that counts the days."""
    times = times_in(tuple(cells))
    assert times is not None, "the environment has read them"
    return standard_times(times, scenario.series.timezone)
