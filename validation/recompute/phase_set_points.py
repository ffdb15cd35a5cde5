"""What is set in each step on a feeder with phases, in this project's signs.

Loads are consumption by load, nominal: what they draw follows the voltage as each is modelled. They are their nominal p
times Demand and nominal q times `load_q_factor`, but for those that are taken as recorded (`set_points.py`). Devices
are constant power between a node and ground, positive into the grid, an equal share at each of a device's phases; what
devices without a twin do is believed as recorded, at their nodes and in the loads at their buses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import AnyFeeder, UnbalancedFeeder
from neomflex_jax.one_line import one_line
from neomflex_jax.scenario import Scenario
from validation.recompute.device_nodes import device_nodes, loads_at
from validation.recompute.own_controls import STEPS, TAPS, of_run, own_controls
from validation.recompute.set_points import SetPoints, recorded_loads, set_points_of
from validation.recompute.taken_over import Positions, recorded_positions, steps_of, taps_of
from validation.recompute.twins import devices_by_table, feed_ins_of, without_twin


@dataclass(frozen=True, eq=False)
class PhaseSetPoints:
    """First axis: steps."""

    load_p_mw: np.ndarray  # (n, n_load) in the order of the feeder's loads; what feeds in there is below 0
    load_q_mvar: np.ndarray  # (n, n_load)
    device_p_mw: np.ndarray  # (n, n_device_node) what devices feed in at their nodes
    device_q_mvar: np.ndarray  # (n, n_device_node)
    device_nodes: tuple[int, ...] = ()  # positions of those nodes
    taps: np.ndarray | None = None  # (n, n_tapped) in per unit of the winding's rated voltage
    tapped: tuple[tuple[str, int], ...] = ()  # transformer and number of the winding from 1
    steps: np.ndarray | None = None  # (n, n_switched) of capacitors that are in
    switched: tuple[str, ...] = ()  # which

    __repr__ = one_line

    def __len__(self) -> int:
        return len(self.load_p_mw)

    def arrays(self) -> dict[str, np.ndarray | None]:
        """All of them by name; None: there is none."""
        names = ("load_p_mw", "load_q_mvar", "device_p_mw", "device_q_mvar", "taps", "steps")
        return {name: getattr(self, name) for name in names} | {"device_nodes": np.array(self.device_nodes, float)}

    def rows(self, which: slice) -> PhaseSetPoints:
        """Return some of the steps."""
        return self._each(lambda values: values[which])

    def _each(self, change: Callable[[np.ndarray], np.ndarray]) -> PhaseSetPoints:
        return replace(
            self,
            load_p_mw=change(self.load_p_mw),
            load_q_mvar=change(self.load_q_mvar),
            device_p_mw=change(self.device_p_mw),
            device_q_mvar=change(self.device_q_mvar),
            taps=None if self.taps is None else change(self.taps),
            steps=None if self.steps is None else change(self.steps),
        )

    def at_nodes(self, n_node: int) -> tuple[np.ndarray, np.ndarray]:
        """What devices feed in at every node, p in MW and q in Mvar, (n, n_node) each."""
        both = np.zeros((2, len(self), n_node))
        both[0][:, list(self.device_nodes)], both[1][:, list(self.device_nodes)] = (
            self.device_p_mw,
            self.device_q_mvar,
        )
        return both[0], both[1]


AnySetPoints: TypeAlias = SetPoints | PhaseSetPoints


def nodes_of_devices(scenario: Scenario, feeder: UnbalancedFeeder) -> tuple[int, ...]:
    """Positions of the nodes at which a scenario's devices feed in, ascending."""
    feeding = [device for _, own in feed_ins_of(scenario) for device in own]
    feeding += [device for table in without_twin(scenario) for device in devices_by_table(scenario)[table]]
    return tuple(sorted({int(node) for device in feeding for node in device_nodes(feeder, device)}))


def idle_with_phases(
    scenario: Scenario, feeder: UnbalancedFeeder, demand: np.ndarray, load_q_factor: np.ndarray
) -> PhaseSetPoints:
    """Return steps with nominal loads times factors (n,), and all devices at zero."""
    nodes = nodes_of_devices(scenario, feeder)
    nothing = np.zeros((len(demand), len(nodes)))
    loads = (np.outer(demand, feeder.load_p_mw), np.outer(load_q_factor, feeder.load_q_mvar))
    return _with_positions(PhaseSetPoints(*loads, nothing, nothing, nodes), scenario, feeder, {}, {})


def _with_positions(
    points: PhaseSetPoints,
    scenario: Scenario,
    feeder: UnbalancedFeeder,
    positions: Positions,
    recorded: Mapping[str, np.ndarray],
) -> PhaseSetPoints:
    """Return steps with windings and capacitors at positions, 0 where there are none, and what own controls move.

    These stand as `recorded`, and as the feeder has them where nothing is.
    """
    controls, n = own_controls(scenario, feeder), len(points)
    tapped, taps = taps_of(scenario, feeder, positions, n)
    switched, steps = steps_of(scenario, feeder, positions, n)
    own_taps = recorded.get(TAPS, np.tile([feeder.taps[each] for each in controls.windings], (n, 1)))
    own_steps = recorded.get(STEPS, np.tile([feeder.steps[each] for each in controls.banks], (n, 1)))
    return replace(
        points,
        tapped=(*tapped, *controls.windings),
        taps=_beside(taps, own_taps),
        switched=(*switched, *controls.banks),
        steps=_beside(steps, own_steps),
    )


def _beside(taken_over: np.ndarray | None, own: np.ndarray) -> np.ndarray | None:
    """Put what controls move behind what devices took over; None where there is neither."""
    if not own.shape[1]:
        return taken_over
    return own if taken_over is None else np.concatenate([taken_over, own], axis=1)


def phase_set_points_of(trajectory: Trajectory, feeder: UnbalancedFeeder) -> PhaseSetPoints:
    """Set-points of a recorded run in double precision, n rows."""
    scenario, unknown = trajectory.scenario, without_twin(trajectory.scenario)
    demand, load_q_factor = (np.asarray(each, np.float64) for each in (trajectory.demand, trajectory.load_q_factor))
    idle = idle_with_phases(scenario, feeder, demand, load_q_factor)
    points = _with_positions(idle, scenario, feeder, recorded_positions(trajectory), of_run(trajectory))
    place = {node: number for number, node in enumerate(points.device_nodes)}
    p_mw, q_mvar = np.zeros_like(points.device_p_mw), np.zeros_like(points.device_q_mvar)
    for powers, own in feed_ins_of(scenario):
        for name, total in ((powers.p_mw, p_mw), (powers.q_mvar, q_mvar)):
            recorded = None if name is None else np.asarray(getattr(trajectory, name), np.float64)
            for number, device in enumerate(own if recorded is not None else ()):
                at = [place[int(node)] for node in device_nodes(feeder, device)]
                total[:, at] += recorded[:, number, None] / len(at)  # type: ignore[index]  # it is there
    taken = recorded_loads(scenario, feeder)
    for device in (device for table in unknown for device in devices_by_table(scenario)[table]):
        at = [place[int(node)] for node in device_nodes(feeder, device)]
        own_nodes = [points.device_nodes[each] for each in at]
        p_mw[:, at], q_mvar[:, at] = trajectory.p_injection_mw[:, own_nodes], trajectory.q_injection_mvar[:, own_nodes]
        taken[loads_at(feeder, device.bus)] = True
    return replace(
        points,
        load_p_mw=np.where(taken, np.asarray(trajectory.load_p_mw, np.float64), points.load_p_mw),
        load_q_mvar=np.where(taken, np.asarray(trajectory.load_q_mvar, np.float64), points.load_q_mvar),
        device_p_mw=p_mw,
        device_q_mvar=q_mvar,
    )


def any_set_points_of(trajectory: Trajectory, feeder: AnyFeeder) -> AnySetPoints:
    """Set-points of a recorded run, of whichever kind its feeder takes."""
    if isinstance(feeder, UnbalancedFeeder):
        return phase_set_points_of(trajectory, feeder)
    return set_points_of(trajectory, feeder)
