"""What can be said of a trajectory without a power flow: its shapes, and whether its records fit together.

``injection = sum of batteries + sum of PV - load`` at each bus, positive into the grid, worked out here from the
scenario's own bus labels. Loads are their nominal p times Demand and nominal q times `load_q_factor`; only where the
scenario makes them flexible or random is their recorded consumption taken.
"""

from __future__ import annotations

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.scenario.controls import controls_of
from validation.recompute.observations import observation_size
from validation.referee.pandapower_net import SetPoints


def check_trajectory(trajectory: Trajectory, feeder: Feeder) -> None:
    """Make sure that the trajectory can be replayed on the feeder and holds whole days.

    Raises
    ------
    InputError
        If it is empty, has other buses than the feeder, an array of another shape, an unfinished, missing or repeated
        day, or a set-point that is not finite; the message names the array and the step.
    """
    where = f"trajectory {trajectory.run!r}"
    scenario, n = trajectory.scenario, trajectory.n_steps
    if n == 0:
        raise InputError(f"{where} has no steps; record at least one day")
    if scenario.uncertainty.line_error > 0:
        raise InputError(
            f"{where} was recorded with line_error = {scenario.uncertainty.line_error}: its impedances are random, and "
            "the referee's are not; record it in `evaluation_environment(env)`, which leaves disturbances out"
        )
    if trajectory.bus_labels != feeder.bus_labels:
        raise InputError(f"{where} has other buses than feeder {feeder.name!r}, which its scenario names")
    n_agents = len(scenario.agents)
    width = dict.fromkeys(("p_injection_mw", "q_injection_mvar", "vm_pu"), feeder.n_bus)
    width |= dict.fromkeys(("load_p_mw", "load_q_mvar"), feeder.n_bus) | {"local_reward": n_agents, "reward": n_agents}
    battery = ("battery_p_mw", "battery_q_mvar", "battery_soc_before", "battery_soc")
    width |= dict.fromkeys(battery, len(scenario.batteries))
    width |= dict.fromkeys(("pv_p_mw", "pv_q_mvar", "pv_available_mw"), len(scenario.pv_inverters))
    flexible = ("load_curtailed_mw", "load_owed_before_mwh", "load_owed_mwh")
    width |= dict.fromkeys(flexible, len(scenario.flexible_loads))
    grid = ("loss_mw", "slack_p_mw", "slack_q_mvar", "converged", "violated")
    plain = ("dataset_index", "demand", "solar", "load_q_factor", "price", "residual_mva", *grid)
    shapes: dict[str, tuple[int, ...]] = {name: (n, size) for name, size in width.items()}
    shapes |= dict.fromkeys(plain, (n,))
    controls = controls_of(scenario)
    action_size = max(sum(control.bus in part.buses for control in controls) for part in scenario.territories)
    shapes |= {"observation": (n, n_agents, observation_size(scenario, feeder)), "action": (n, n_agents, action_size)}
    for name, shape in shapes.items():
        if getattr(trajectory, name).dtype.kind not in "fiub":
            raise InputError(f"{where}: {name} holds {getattr(trajectory, name).dtype} values, expected numbers")
        if getattr(trajectory, name).shape != shape:
            raise InputError(f"{where}: {name} has shape {getattr(trajectory, name).shape}, expected {shape}")
    for name in ("converged", "violated"):
        if getattr(trajectory, name).dtype != bool:  # ~1 is -2: counts of integers come out negative
            raise InputError(f"{where}: {name} holds {getattr(trajectory, name).dtype} values, expected bool")
    _check_days(where, trajectory)
    for name, values in vars(set_points_of(trajectory, feeder)).items():
        if values is None:
            continue
        bad = np.argwhere(~np.isfinite(values))
        if bad.size:
            raise InputError(f"{where}: {name} at step {bad[0][0]} is not finite; it cannot be replayed")


def _check_days(where: str, trajectory: Trajectory) -> None:
    steps = trajectory.scenario.steps_per_day
    if trajectory.n_steps % steps:
        raise InputError(
            f"{where} has {trajectory.n_steps} steps, no multiple of the {steps} of a day; it is truncated"
        )
    row = np.asarray(trajectory.dataset_index)
    if row[0] % steps:
        raise InputError(f"{where} starts at row {row[0]} of the profiles, in the middle of a day")
    jump = np.flatnonzero(np.diff(row) != 1)
    if jump.size:
        step = int(jump[0]) + 1
        raise InputError(
            f"{where}: row {row[step]} follows row {row[step - 1]} at step {step}; days are missing or mixed"
        )


def set_points_of(trajectory: Trajectory, feeder: Feeder) -> SetPoints:
    """Take the recorded set-points in double precision."""
    scenario = trajectory.scenario
    names = ("demand", "load_q_factor", "battery_p_mw", "battery_q_mvar", "pv_p_mw", "pv_q_mvar")
    points = {name: np.asarray(getattr(trajectory, name), np.float64) for name in names}
    flexible = np.isin(feeder.bus_labels, [load.bus for load in scenario.flexible_loads])
    flexible |= scenario.uncertainty.varies_loads
    if flexible.any():
        nominal_p_mw = np.outer(points["demand"], feeder.load_p_mw)
        nominal_q_mvar = np.outer(points["load_q_factor"], feeder.load_q_mvar)
        points["load_p_extra_mw"] = np.where(flexible, trajectory.load_p_mw - nominal_p_mw, 0.0)
        points["load_q_extra_mvar"] = np.where(flexible, trajectory.load_q_mvar - nominal_q_mvar, 0.0)
    return SetPoints(**points)


def implied_injections(trajectory: Trajectory, feeder: Feeder) -> tuple[np.ndarray, np.ndarray]:
    """Net p and q injections (n, n_bus) that the recorded set-points mean on the feeder."""
    points, scenario = set_points_of(trajectory, feeder), trajectory.scenario
    p_mw = -np.outer(points.demand, feeder.load_p_mw)
    q_mvar = -np.outer(points.load_q_factor, feeder.load_q_mvar)
    if points.load_p_extra_mw is not None and points.load_q_extra_mvar is not None:
        p_mw, q_mvar = p_mw - points.load_p_extra_mw, q_mvar - points.load_q_extra_mvar
    assert points.battery_q_mvar is not None  # a trajectory always has it
    for number, battery in enumerate(scenario.batteries):
        p_mw[:, feeder.bus_position(battery.bus)] += points.battery_p_mw[:, number]
        q_mvar[:, feeder.bus_position(battery.bus)] += points.battery_q_mvar[:, number]
    for number, inverter in enumerate(scenario.pv_inverters):
        p_mw[:, feeder.bus_position(inverter.bus)] += points.pv_p_mw[:, number]
        q_mvar[:, feeder.bus_position(inverter.bus)] += points.pv_q_mvar[:, number]
    return p_mw, q_mvar


def energy_gaps_mwh(trajectory: Trajectory, feeder: Feeder) -> np.ndarray:
    """Give what is missing in the energy balance of every battery and flexible load, (n, n_battery + n_flexible).

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
    """Give how far each step's first energies are from those that the step before ended with, (n - 1, n_store).

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


def ruled_load_q_factor(trajectory: Trajectory) -> np.ndarray:
    """Give the factor that the scenario's rule sets on every load's reactive power, (n,)."""
    demand = np.asarray(trajectory.demand, np.float64)
    if trajectory.scenario.rules.load_q == "follows_demand":
        return demand
    return np.repeat(demand[:: trajectory.scenario.steps_per_day], trajectory.scenario.steps_per_day)
