"""Solar of devices with columns of their own, worked out a second time.

``solar = max(column, 0)`` per unit of the rating, of a column of powers divided by it, times the variant's factor. A
record holds it as what was available over the rating.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid.elements import Element
from neomflex_jax.scenario import Scenario
from validation.recompute.devices.twin import SomeDevice, SomeTwin
from validation.recompute.element_loads import PER_UNIT_COLUMNS, POWERS, looked_up


def solar_columns(scenario: Scenario, twin: SomeTwin, devices: Sequence[SomeDevice]) -> tuple[str | None, ...]:
    """Return the column of each device's own sun, None for those that follow Solar; empty if all of them do."""
    stated: Mapping[str, str] = {} if twin.sun is None else getattr(scenario.series, twin.table)
    rows = [Element(twin.table, row, each.label, each.bus, 0.0, 0.0) for row, each in enumerate(devices)]
    columns = tuple(looked_up(stated, row) for row in rows)
    return columns if any(columns) else ()


def stated_solar(scenario: Scenario, twin: SomeTwin, devices: Sequence[SomeDevice], rows: pd.DataFrame) -> np.ndarray:
    """Return Solar of each device (n, n_device) on rows of the file, NaN for those that follow the common one."""
    stated = np.full((len(rows), len(devices)), np.nan)
    for number, column in enumerate(solar_columns(scenario, twin, devices)):
        if column is not None:
            is_power = scenario.series.unit in POWERS and column not in PER_UNIT_COLUMNS
            unit = POWERS[scenario.series.unit] / _rating_mw(twin, devices[number]) if is_power else 1.0
            stated[:, number] = np.maximum(np.asarray(rows[column], float) * unit, 0.0)
    return stated * scenario.chosen_variant.solar_factor


def recorded_solar(trajectory: Trajectory, twin: SomeTwin, devices: Sequence[SomeDevice]) -> np.ndarray:
    """Return Solar of each device (n, n_device) as recorded; out of service it has none."""
    assert twin.sun is not None
    rating_mw = np.array([_rating_mw(twin, device) for device in devices])
    return np.asarray(getattr(trajectory, twin.sun.available_mw), float) / rating_mw


def mean_solar(
    scenario: Scenario, kinds: Sequence[tuple[SomeTwin, Sequence[SomeDevice]]], rows: pd.DataFrame
) -> np.ndarray:
    """Return Solar (n,) where the file has none: the mean of the devices' own by rating, 0 without any."""
    total_mw, ratings_mw = np.zeros(len(rows)), 0.0
    for twin, devices in kinds:
        stated = stated_solar(scenario, twin, devices, rows)
        for number in np.flatnonzero(~np.isnan(stated[0])).tolist():
            rating_mw = _rating_mw(twin, devices[number])
            total_mw, ratings_mw = total_mw + rating_mw * stated[:, number], ratings_mw + rating_mw
    return total_mw / (ratings_mw or 1.0)


def _rating_mw(twin: SomeTwin, device: SomeDevice) -> float:
    assert twin.sun is not None
    return twin.sun.rating_mw(device)
