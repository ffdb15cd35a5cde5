"""Which program solves a scenario's days: pandapower on balanced feeders, OpenDSS on those with phases.

A feeder with phases that was read from a pandapower net is pandapower's too, by `runpp_3ph`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from neomflex_jax.grid import AnyFeeder, UnbalancedFeeder
from neomflex_jax.scenario import Scenario
from validation.recompute.phase_set_points import PhaseSetPoints, nodes_of_devices
from validation.referee import runpp
from validation.referee.opendss.circuit import open_circuit
from validation.referee.opendss.day_solver import OpenDssDaySolver, opendss_day_solver
from validation.referee.pandapower_net import build_net
from validation.referee.phase_net import PhaseNet, of_pandapower, open_phase_net
from validation.referee.prepared import step_solver

PANDAPOWER, OPENDSS = "pandapower", "OpenDSS"


class AnyDaySolver(Protocol):
    """Solves the steps of a day by their set-points, of the kind that its feeder takes."""

    def solve(self, points: Any, /) -> runpp.Solved:
        """Return the answers, first axis: steps."""


def program_for(feeder: AnyFeeder) -> str:
    """Name of the program that judges runs on a feeder."""
    return OPENDSS if isinstance(feeder, UnbalancedFeeder) and not of_pandapower(feeder) else PANDAPOWER


def day_solver(scenario: Scenario, feeder: AnyFeeder) -> AnyDaySolver:
    """Make what solves a scenario's days.

    Raises
    ------
    InputError
        If the program's own data of the feeder differ from ours, or it cannot have the feeder.
    """
    if isinstance(feeder, UnbalancedFeeder):
        return feeder_solver(feeder, nodes_of_devices(scenario, feeder))
    return runpp.day_solver(scenario, feeder)


def feeder_solver(feeder: UnbalancedFeeder, device_nodes: tuple[int, ...] = ()) -> AnyDaySolver:
    """Make what solves steps on a feeder with phases, where devices stand at these nodes; raises as `day_solver`."""
    return open_phase_net(feeder, device_nodes) if of_pandapower(feeder) else opendss_day_solver(feeder, device_nodes)


class AnyStepSolver(Protocol):
    """Solves single steps of a scenario."""

    def solve(self, step: Any, /) -> runpp.Solved:
        """Return the answer, one row."""

    def once_more(self, step: Any, /) -> runpp.Solved:
        """Return the answer found in another way, for a sample of the steps."""


@dataclass(frozen=True, eq=False)
class OpenDssStepSolver:
    """Steps in a circuit that stays open, and some of them in one that has been given no other step."""

    kept: OpenDssDaySolver

    def solve(self, step: PhaseSetPoints) -> runpp.Solved:
        """Solve one step."""
        return self.kept.solve(step)

    def once_more(self, step: PhaseSetPoints) -> runpp.Solved:
        """Solve one step in a circuit opened for it."""
        return opendss_day_solver(self.kept.circuit.feeder, self.kept.circuit.device_nodes).solve(step)


@dataclass(frozen=True, eq=False)
class PhaseNetStepSolver:
    """Steps in a net that stays open, and some of them in one that is read for it."""

    kept: PhaseNet

    def solve(self, step: PhaseSetPoints) -> runpp.Solved:
        """Solve one step."""
        return self.kept.solve(step)

    def once_more(self, step: PhaseSetPoints) -> runpp.Solved:
        """Solve one step in a net read for it."""
        return open_phase_net(self.kept.feeder, self.kept.device_nodes).solve(step)


def step_solver_for(scenario: Scenario, feeder: AnyFeeder) -> AnyStepSolver:
    """Make what solves single steps; raises `InputError` as `day_solver` does."""
    if isinstance(feeder, UnbalancedFeeder):
        nodes = nodes_of_devices(scenario, feeder)
        if of_pandapower(feeder):
            return PhaseNetStepSolver(open_phase_net(feeder, nodes))
        return OpenDssStepSolver(opendss_day_solver(feeder, nodes))
    return step_solver(scenario, feeder)


def check_solvable(scenario: Scenario, feeder: AnyFeeder) -> None:
    """Raise `InputError` as `day_solver` would, for what is wrong with the grid."""
    if isinstance(feeder, UnbalancedFeeder):
        (open_phase_net if of_pandapower(feeder) else open_circuit)(feeder, nodes_of_devices(scenario, feeder))
    else:
        build_net(scenario, feeder)
