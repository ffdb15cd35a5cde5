"""What can be said of a trajectory without a power flow: its shapes, and whether its records fit together.

``p_injection = sum of batteries + sum of PV - load_p demand`` and ``q_injection = sum of PV - load_q load_q_factor`` at
each bus, positive into the grid, worked out here from the scenario's own bus labels.
"""

from __future__ import annotations

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid.feeder import Feeder
from validation.pandapower_net import SetPoints


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
    if trajectory.bus_labels != feeder.bus_labels:
        raise InputError(f"{where} has other buses than feeder {feeder.name!r}, which its scenario names")
    n_agents = len(scenario.agents)
    width = dict.fromkeys(("p_injection_mw", "q_injection_mvar", "vm_pu"), feeder.n_bus)
    width |= dict.fromkeys(("battery_p_mw", "battery_soc"), len(scenario.batteries))
    width |= dict.fromkeys(("pv_p_mw", "pv_q_mvar"), len(scenario.pv_inverters)) | {"local_reward": n_agents}
    plain = ("demand", "solar", "load_q_factor", "loss_mw", "slack_p_mw", "slack_q_mvar", "converged", "violated")
    shapes: dict[str, tuple[int, ...]] = {name: (n, size) for name, size in width.items()}
    shapes |= dict.fromkeys(plain, (n,))
    for name, shape in shapes.items():
        if getattr(trajectory, name).shape != shape:
            raise InputError(f"{where}: {name} has shape {getattr(trajectory, name).shape}, expected {shape}")
    _check_days(where, trajectory)
    for name, values in vars(set_points_of(trajectory)).items():
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


def set_points_of(trajectory: Trajectory) -> SetPoints:
    """Take the recorded set-points in double precision."""
    return SetPoints(**{name: np.asarray(getattr(trajectory, name), np.float64) for name in SetPoints.__annotations__})


def implied_injections(trajectory: Trajectory, feeder: Feeder) -> tuple[np.ndarray, np.ndarray]:
    """Net p and q injections (n, n_bus) that the recorded set-points mean on the feeder."""
    points, scenario = set_points_of(trajectory), trajectory.scenario
    p_mw = -np.outer(points.demand, feeder.load_p_mw)
    q_mvar = -np.outer(points.load_q_factor, feeder.load_q_mvar)
    for number, battery in enumerate(scenario.batteries):
        p_mw[:, feeder.bus_labels.index(battery.bus)] += points.battery_p_mw[:, number]
    for number, inverter in enumerate(scenario.pv_inverters):
        p_mw[:, feeder.bus_labels.index(inverter.bus)] += points.pv_p_mw[:, number]
        q_mvar[:, feeder.bus_labels.index(inverter.bus)] += points.pv_q_mvar[:, number]
    return p_mw, q_mvar


def ruled_load_q_factor(trajectory: Trajectory) -> np.ndarray:
    """Give the factor that the scenario's rule sets on every load's reactive power, (n,)."""
    demand = np.asarray(trajectory.demand, np.float64)
    if trajectory.scenario.rules.load_q == "follows_demand":
        return demand
    return np.repeat(demand[:: trajectory.scenario.steps_per_day], trajectory.scenario.steps_per_day)
