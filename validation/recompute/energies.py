"""Energies that devices store: each step's balance, and whether a step begins with what the one before left."""

from __future__ import annotations

import numpy as np

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid.feeder import Feeder


def energy_gaps_mwh(trajectory: Trajectory, feeder: Feeder) -> np.ndarray:
    """Return what is missing in the energy balance of every battery and flexible load, (n, n_battery + n_flexible).

    ``e' - e + h (p / eta_d if p > 0 else eta_c p)``, and for a flexible load with nominal consumption p0
    ``h (p0 - curtailed - p) - (owed' - owed)``; its p0 is unknown, and not judged, where loads are random. Of a store
    above 1 MWh the gap is a share of its size: a state of charge is kept in float32.
    """
    scenario, h = trajectory.scenario, trajectory.scenario.step_hours
    gaps = np.zeros((trajectory.n_steps, len(scenario.batteries) + len(scenario.flexible_loads)))
    sizes = [battery.capacity_mwh for battery in scenario.batteries]
    rounding = np.maximum([*sizes, *(load.buffer_mwh for load in scenario.flexible_loads)], 1.0)
    for number, battery in enumerate(scenario.batteries):
        p_mw = np.asarray(trajectory.battery_p_mw[:, number], float)
        from_store = np.where(p_mw > 0, p_mw / battery.discharge_efficiency, p_mw * battery.charge_efficiency)
        soc = np.asarray(trajectory.battery_soc[:, number], float) - trajectory.battery_soc_before[:, number]
        gaps[:, number] = soc * battery.capacity_mwh + h * from_store
    if scenario.uncertainty.varies_loads:
        return gaps / rounding
    for number, load in enumerate(scenario.flexible_loads):
        bus = feeder.bus_position(load.bus)
        nominal_mw = np.asarray(trajectory.demand, float) * feeder.load_p_mw[bus]
        missing_mw = nominal_mw - trajectory.load_curtailed_mw[:, number] - trajectory.load_p_mw[:, bus]
        owed_mwh = np.asarray(trajectory.load_owed_mwh[:, number], float) - trajectory.load_owed_before_mwh[:, number]
        gaps[:, len(scenario.batteries) + number] = h * missing_mw - owed_mwh
    return gaps / rounding


def energy_jumps_mwh(trajectory: Trajectory) -> np.ndarray:
    """Return how far each step's first energies are from those that the step before ended with, (n - 1, n_store).

    Batteries, then flexible loads; 0 between rows that do not follow each other, and at midnights where energies are
    drawn anew. Of a store above 1 MWh the jump is a share of its size.
    """
    scenario = trajectory.scenario
    sizes = np.array([battery.capacity_mwh for battery in scenario.batteries])
    before = np.column_stack([trajectory.battery_soc_before * sizes, trajectory.load_owed_before_mwh])
    after = np.column_stack([trajectory.battery_soc * sizes, trajectory.load_owed_mwh])
    follows = np.diff(trajectory.dataset_index) == 1
    if scenario.rules.energies != "carried":
        follows &= trajectory.step[1:] > 0
    jumps = np.where(follows[:, None], before[1:] - after[:-1], 0.0)
    rounding: np.ndarray = np.maximum([*sizes, *(load.buffer_mwh for load in scenario.flexible_loads)], 1.0)
    return jumps / rounding
