"""What is set in each step, and the injections that follow from it at each node.

``injection = sum of devices - load`` at each node, positive into the grid, worked out here from the scenario's own bus
labels; a device feeds as much into each node of its bus as into the others. Loads are their nominal p times Demand and
nominal q times `load_q_factor`; only where devices change them, elements have series of their own (`profile_check`
holds those against the file) or the scenario makes them random is their recorded consumption taken. What devices
without a twin do is believed as recorded: whatever their nodes' recorded injections hold beside what is known counts as
load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import AnyFeeder, Feeder
from neomflex_jax.one_line import one_line
from neomflex_jax.scenario import Scenario
from validation.recompute.element_loads import loads_with_own_series
from validation.recompute.twins import devices_by_table, feed_ins_of, sets_of, twins_of, without_twin
from validation.recompute.voltage_dependence import factors_at


@dataclass(frozen=True, eq=False)
class SetPoints:
    """What is set in some steps, in this project's signs; first axis: steps."""

    demand: np.ndarray  # (n,) factor on every load's nominal p
    load_q_factor: np.ndarray  # (n,) factor on every load's nominal q
    devices: Mapping[str, np.ndarray]  # (n, n_device) powers into the grid and positions, by their recorded names
    load_p_extra_mw: np.ndarray | None = None  # (n, n_node) consumption beside nominal p x demand
    load_q_extra_mvar: np.ndarray | None = None  # (n, n_node)
    steady_p_mw: np.ndarray | None = None  # (n, n_node) what devices feed in, where loads follow the voltage
    steady_q_mvar: np.ndarray | None = None  # (n, n_node)

    __repr__ = one_line

    def __len__(self) -> int:
        return len(self.demand)

    def arrays(self) -> dict[str, np.ndarray | None]:
        """All of them by name; None: there is none."""
        own = {name: values for name, values in vars(self).items() if name != "devices"}
        return {**self.devices, **own}

    def rows(self, which: slice) -> SetPoints:
        """Return some of the steps."""
        return self._each(lambda values: values[which])

    def padded(self, n_more: int) -> SetPoints:
        """Append steps in which everything is zero."""
        return self._each(lambda values: np.concatenate([values, np.zeros((n_more, *values.shape[1:]))]))

    def at_voltages(self, feeder: Feeder, vm_pu: np.ndarray) -> SetPoints:
        """Add to the loads what would follow voltages (n, n_bus) of what devices feed in, and does not."""
        if self.steady_p_mw is None or self.steady_q_mvar is None:
            return self
        of_p, of_q = factors_at(feeder, vm_pu)
        extra_p_mw, extra_q_mvar = self.steady_p_mw * (1 - 1 / of_p), self.steady_q_mvar * (1 - 1 / of_q)
        if self.load_p_extra_mw is not None and self.load_q_extra_mvar is not None:
            extra_p_mw, extra_q_mvar = self.load_p_extra_mw + extra_p_mw, self.load_q_extra_mvar + extra_q_mvar
        return replace(self, load_p_extra_mw=extra_p_mw, load_q_extra_mvar=extra_q_mvar)

    def _each(self, change: Callable[[np.ndarray], np.ndarray]) -> SetPoints:
        extra = (self.load_p_extra_mw, self.load_q_extra_mvar, self.steady_p_mw, self.steady_q_mvar)
        return SetPoints(
            change(self.demand),
            change(self.load_q_factor),
            {name: change(values) for name, values in self.devices.items()},
            *(None if values is None else change(values) for values in extra),
        )


def idle(scenario: Scenario, demand: np.ndarray, load_q_factor: np.ndarray) -> SetPoints:
    """Return steps with nominal loads times factors (n,), and all devices at zero, or position 0."""
    names = {name: len(own) for powers, own in feed_ins_of(scenario) for name in powers.names}
    names |= {sets.position: len(own) for sets, own in sets_of(scenario)}
    devices = {name: np.zeros((len(demand), n_device)) for name, n_device in names.items()}
    return SetPoints(demand, load_q_factor, devices)


def set_points_of(trajectory: Trajectory, feeder: Feeder) -> SetPoints:
    """Set-points of a recorded run in double precision, n rows."""
    demand, load_q_factor = (np.asarray(each, np.float64) for each in (trajectory.demand, trajectory.load_q_factor))
    names = [name for powers, _ in feed_ins_of(trajectory.scenario) for name in powers.names]
    names += [sets.position for sets, _ in sets_of(trajectory.scenario)]
    devices = {name: np.asarray(getattr(trajectory, name), np.float64) for name in names}
    points = SetPoints(demand, load_q_factor, devices)
    recorded, believed = recorded_loads(trajectory.scenario, feeder), _nodes_without_twin(trajectory, feeder)
    points = _with_extra_loads(points, trajectory, feeder, recorded, believed)
    if feeder.voltage_dependence is None:
        return points
    p_mw, q_mvar = injections_of(points, trajectory.scenario, feeder)
    own = recorded | believed
    load_p_mw = np.where(own, trajectory.load_p_mw, np.outer(demand, feeder.load_p_mw))
    load_q_mvar = np.where(own, trajectory.load_q_mvar, np.outer(load_q_factor, feeder.load_q_mvar))
    return replace(points, steady_p_mw=p_mw + load_p_mw, steady_q_mvar=q_mvar + load_q_mvar)


def _with_extra_loads(
    points: SetPoints, trajectory: Trajectory, feeder: Feeder, recorded: np.ndarray, believed: np.ndarray
) -> SetPoints:
    """Add consumption beside the nominal loads, at nodes (n_node,) where it is recorded or devices are believed."""
    demand, load_q_factor = points.demand, points.load_q_factor
    if not (recorded.any() or believed.any()):
        return points
    extra_p_mw = np.where(recorded, trajectory.load_p_mw - np.outer(demand, feeder.load_p_mw), 0.0)
    extra_q_mvar = np.where(recorded, trajectory.load_q_mvar - np.outer(load_q_factor, feeder.load_q_mvar), 0.0)
    points = replace(points, load_p_extra_mw=extra_p_mw, load_q_extra_mvar=extra_q_mvar)
    if believed.any():
        p_mw, q_mvar = injections_of(points, trajectory.scenario, feeder)
        extra_p_mw = extra_p_mw + np.where(believed, p_mw - trajectory.p_injection_mw, 0.0)
        extra_q_mvar = extra_q_mvar + np.where(believed, q_mvar - trajectory.q_injection_mvar, 0.0)
        points = replace(points, load_p_extra_mw=extra_p_mw, load_q_extra_mvar=extra_q_mvar)
    return points


def recorded_loads(scenario: Scenario, feeder: AnyFeeder) -> np.ndarray:
    """Which loads are taken as recorded, (n_load,) bool: by node on balanced feeders."""
    if scenario.uncertainty.varies_loads:
        return np.ones(len(feeder.load_buses), bool)
    at_load = [own for twin, own in twins_of(scenario) if twin.feed_in is None and twin.sets is None]
    changing = [device.bus for own in at_load for device in own]
    return np.isin(feeder.load_buses, changing) | loads_with_own_series(scenario, feeder)


def _nodes_without_twin(trajectory: Trajectory, feeder: Feeder) -> np.ndarray:
    """Where devices of a kind without a twin are, (n_node,) bool."""
    tables = devices_by_table(trajectory.scenario)
    unknown = [device.bus for table in without_twin(trajectory.scenario) for device in tables[table]]
    return np.isin(feeder.nodes.bus, unknown)


def injections_of(points: SetPoints, scenario: Scenario, feeder: Feeder) -> tuple[np.ndarray, np.ndarray]:
    """Net p in MW and q in Mvar (n, n_node) that set-points mean on the feeder, positive into the grid."""
    p_mw = -np.outer(points.demand, feeder.load_p_mw)
    q_mvar = -np.outer(points.load_q_factor, feeder.load_q_mvar)
    if points.load_p_extra_mw is not None and points.load_q_extra_mvar is not None:
        p_mw, q_mvar = p_mw - points.load_p_extra_mw, q_mvar - points.load_q_extra_mvar
    for powers, own in feed_ins_of(scenario):
        for number, device in enumerate(own):
            nodes = feeder.nodes.at[device.bus]
            p_mw[:, nodes] += points.devices[powers.p_mw][:, number, None] / len(nodes)
            if powers.q_mvar is not None:
                q_mvar[:, nodes] += points.devices[powers.q_mvar][:, number, None] / len(nodes)
    return p_mw, q_mvar


def implied_injections(trajectory: Trajectory, feeder: Feeder) -> tuple[np.ndarray, np.ndarray]:
    """Net p in MW and q in Mvar (n, n_node) that a run's recorded set-points mean on the feeder."""
    return injections_of(set_points_of(trajectory, feeder), trajectory.scenario, feeder)


def ruled_load_q_factor(trajectory: Trajectory) -> np.ndarray:
    """Factor that the scenario's rule sets on every load's reactive power, (n,)."""
    demand = np.asarray(trajectory.demand, np.float64)
    if trajectory.scenario.rules.load_q == "follows_demand":
        return demand
    return np.repeat(demand[:: trajectory.scenario.steps_per_day], trajectory.scenario.steps_per_day)
