"""What is recorded of series (Demand, Solar, ..., loads by element, devices' own sun, sessions) against their file.

``recorded = row of the file x factor of the scenario's variant``; by `dataset_index`, without a power flow.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError, reason_of
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import AnyFeeder, load_feeder
from neomflex_jax.profiles import profiles_hash
from neomflex_jax.scenario import Scenario
from validation.recompute.device_solar import mean_solar, recorded_solar, solar_columns, stated_solar
from validation.recompute.element_loads import at_loads, element_powers, file_rows, loads_with_own_series
from validation.recompute.session_rows import session_gap
from validation.recompute.twins import OUTDOOR, twins_of

SMALLEST_MVA = 1e-6  # below it a difference is a share of this


def check_profiles_file(trajectory: Trajectory, path: Path) -> None:
    """Make sure that the file is the one that the trajectory names by its hash.

    Raises
    ------
    InputError
        If it cannot be read, or is another.
    """
    try:
        found = profiles_hash(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)}); give the profiles that were played") from error
    if found != trajectory.profiles_sha256:
        raise InputError(
            f"{path}: its SHA-256 is {found[:12]}..., trajectory {trajectory.run!r} was recorded on "
            f"{trajectory.profiles_sha256[:12] or 'unknown profiles'}...; give the file that was played"
        )


def profile_gap(trajectory: Trajectory, path: Path, feeder: AnyFeeder | None = None) -> float | None:
    """Return the largest difference from the file's rows, of values above 1 as a share of them; infinite past its end.

    Loads by element are differences as a share of the largest power at their bus. None where the scenario disturbs its
    days at random, so that the file does not say what is right.
    """
    scenario = trajectory.scenario
    if scenario.uncertainty.varies_growth or scenario.uncertainty.profile_noise > 0:
        return None
    feeder = load_feeder(scenario.feeder) if feeder is None else feeder
    rows, at = file_rows(scenario, path), np.asarray(trajectory.dataset_index)
    if at.min() < 0 or at.max() >= len(rows):
        return float("inf")
    of_sessions = session_gap(trajectory, twins_of(scenario), path, rows, at)
    rows = rows.iloc[at].reset_index(drop=True)
    stated = _common(scenario, feeder, rows)
    gaps = [
        np.abs(np.asarray(getattr(trajectory, name), float) - right) / np.maximum(np.abs(right), 1.0)
        for name, right in stated.items()
    ]
    return float(max(np.max(gaps), of_sessions, _load_gap(trajectory, feeder, rows), _solar_gap(trajectory, rows)))


def _common(scenario: Scenario, feeder: AnyFeeder, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return Demand, Solar, price and outdoor temperature (n,) as they should be recorded."""
    variant, zero = scenario.chosen_variant, np.zeros(len(rows))
    price = np.asarray(rows[scenario.tariff_column], float) if scenario.tariff_column else zero
    if "Solar" in rows:
        solar = np.maximum(np.asarray(rows["Solar"], float), 0.0) * variant.solar_factor
    else:
        solar = mean_solar(scenario, twins_of(scenario), rows)
    if "Demand" in rows:
        demand = np.asarray(rows["Demand"], float) * variant.demand_factor
    else:
        elements, p_mw, _ = element_powers(scenario, feeder, rows)
        is_load = np.array([element.table == "load" for element in elements])
        nominal_mw = sum(element.p_mw for element in elements if element.table == "load")
        demand = p_mw[:, is_load].sum(axis=1) / nominal_mw
    stated = {"demand": demand, "solar": solar, "price": price}
    column = scenario.series.outdoor_temperature
    return stated | {OUTDOOR: np.asarray(rows[column], float)} if column else stated


def _solar_gap(trajectory: Trajectory, rows: pd.DataFrame) -> float:
    """Return the largest difference of a device's own Solar; devices that may fail have none at times."""
    scenario, worst = trajectory.scenario, 0.0
    for twin, devices in twins_of(scenario) if scenario.uncertainty.outage_probability == 0 else ():
        if solar_columns(scenario, twin, devices):
            stated = stated_solar(scenario, twin, devices, rows)
            gaps = np.abs(recorded_solar(trajectory, twin, devices) - stated)
            worst = max(worst, float(gaps[:, ~np.isnan(stated[0])].max()))
    return worst


def _load_gap(trajectory: Trajectory, feeder: AnyFeeder, rows: pd.DataFrame) -> float:
    """Return the largest difference of a load by element, as a share of the largest power at its bus."""
    scenario = trajectory.scenario
    own = loads_with_own_series(scenario, feeder)
    if not own.any() or scenario.uncertainty.varies_loads:
        return 0.0
    elements, p_mw, q_mvar = element_powers(scenario, feeder, rows)
    recorded = trajectory.load_p_mw, trajectory.load_q_mvar
    worst = 0.0
    for values, of_record in zip((p_mw, q_mvar), recorded, strict=True):
        right, most = (at_loads(feeder, elements, each) for each in (values, np.abs(values)))
        share = np.abs(np.asarray(of_record, float) - right) / np.maximum(most.max(axis=0), SMALLEST_MVA)
        worst = max(worst, float(share[:, own].max()))
    return worst
