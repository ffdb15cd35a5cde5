"""What is set in each step, and the injections that follow from it at each bus.

``injection = sum of devices - load`` at each bus, positive into the grid, worked out here from the scenario's own bus
labels. Loads are their nominal p times Demand and nominal q times `load_q_factor`; only where the scenario makes them
flexible or random is their recorded consumption taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.one_line import one_line


@dataclass(frozen=True, eq=False)
class SetPoints:
    """What is set in some steps, in this project's signs; first axis: steps."""

    demand: np.ndarray  # (n,) factor on every load's nominal p
    load_q_factor: np.ndarray  # (n,) factor on every load's nominal q
    battery_p_mw: np.ndarray  # (n, n_battery) positive discharging
    pv_p_mw: np.ndarray  # (n, n_pv)
    pv_q_mvar: np.ndarray  # (n, n_pv)
    battery_q_mvar: np.ndarray | None = None  # (n, n_battery) into the grid
    load_p_extra_mw: np.ndarray | None = None  # (n, n_bus) consumption beside nominal p x demand
    load_q_extra_mvar: np.ndarray | None = None  # (n, n_bus)

    __repr__ = one_line

    def __len__(self) -> int:
        return len(self.demand)

    def rows(self, which: slice) -> SetPoints:
        """Take some of the steps."""
        return SetPoints(**{name: values[which] for name, values in self._given()})

    def padded(self, n_more: int) -> SetPoints:
        """Append steps in which everything is zero."""
        return SetPoints(
            **{name: np.concatenate([values, np.zeros((n_more, *values.shape[1:]))]) for name, values in self._given()}
        )

    def _given(self) -> list[tuple[str, np.ndarray]]:
        return [(name, values) for name, values in vars(self).items() if values is not None]


def set_points_of(trajectory: Trajectory, feeder: Feeder) -> SetPoints:
    """Set-points of a recorded run in double precision, n rows."""
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


def ruled_load_q_factor(trajectory: Trajectory) -> np.ndarray:
    """Factor that the scenario's rule sets on every load's reactive power, (n,)."""
    demand = np.asarray(trajectory.demand, np.float64)
    if trajectory.scenario.rules.load_q == "follows_demand":
        return demand
    return np.repeat(demand[:: trajectory.scenario.steps_per_day], trajectory.scenario.steps_per_day)
