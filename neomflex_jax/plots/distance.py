"""Voltage by phase over the distance from the source: recorded steps of feeders with phases.

The distance of a bus is the sum of the impedances of the elements on the nearest way to it, each ``1 / |y|`` of the
largest admittance between its two buses, in per unit of 1 MVA.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation import Trajectory
from neomflex_jax.grid import UnbalancedFeeder
from neomflex_jax.grid.nodes import PHASES
from neomflex_jax.grid.partition import distances_from_slack
from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import Axes, Figure, LineCollection
from neomflex_jax.plots.voltage import PHASE_COLOURS, draw_limits


def draw_distance(runs: Sequence[Trajectory], feeder: UnbalancedFeeder, day: int, step: int) -> Figure:
    """Draw the voltages of all nodes at a step of one run or two, one panel each.

    Parameters
    ----------
    runs
        Of the same days, as `evaluation.Trajectory.load` reads them.
    feeder
        That they were played on.
    day, step
        Counted from 0.

    Raises
    ------
    InputError
        If there is no such day or step.
    """
    n_days, steps_per_day = runs[0].n_steps // runs[0].scenario.steps_per_day, runs[0].scenario.steps_per_day
    if not (0 <= day < n_days and 0 <= step < steps_per_day):
        raise InputError(f"day {day}, step {step}: the run has days 0..{n_days - 1} of {steps_per_day} steps")
    hours = step * runs[0].scenario.step_hours
    title = f"Voltage by phase over distance: day {day}, {int(hours):02d}:{round(60 * (hours % 1)):02d}"
    figure, panels = style.new_panels(title, [f"{run.run}\nvoltage (pu)" for run in runs])
    figure.set_figheight(1.2 + 3.0 * len(runs))
    row = day * steps_per_day + step
    distance = distances_from_slack(feeder)
    for axes, run in zip(panels, runs, strict=True):
        draw_limits(axes, run.scenario.limits)
        _draw_phases(axes, feeder, distance, run.vm_pu[row])
        if not run.converged[row]:
            axes.text(0.5, 0.5, "power flow failed", transform=axes.transAxes, ha="center")
    panels[-1].set_xlabel("impedance from the source (pu of 1 MVA, on a scale of square roots)")
    panels[-1].set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0.0)), np.square))
    panels[-1].set_xlim(left=0.0)
    low, high = (np.nanmin([run.vm_pu[row] for run in runs]), np.nanmax([run.vm_pu[row] for run in runs]))
    for axes in panels:
        axes.set_ylim(low - 0.1 * (high - low) - 1e-3, high + 0.1 * (high - low) + 1e-3)
    style.legend(figure, panels[0])
    return figure


def _draw_phases(axes: Axes, feeder: UnbalancedFeeder, distance: np.ndarray, vm_pu: np.ndarray) -> None:
    """Draw a line for each phase that two joined buses share, and a dot a node."""
    node = {str(label): place for place, label in enumerate(feeder.node_labels)}
    topology = feeder.topology
    joined = zip(topology.from_bus, topology.to_bus, topology.in_service, strict=True)
    pairs = [(feeder.bus_labels[a], feeder.bus_labels[b], a, b) for a, b, closed in joined if closed]
    for phase, colour in zip(PHASES, PHASE_COLOURS, strict=True):
        lines = [
            ((distance[a], vm_pu[node[f"{start}.{phase}"]]), (distance[b], vm_pu[node[f"{end}.{phase}"]]))
            for start, end, a, b in pairs
            if f"{start}.{phase}" in node and f"{end}.{phase}" in node
        ]
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.9))
        own = np.array([place for label, place in node.items() if label.endswith(f".{phase}")])
        at = distance[feeder.nodes.bus_position[own]]
        axes.plot(at, vm_pu[own], ".", color=colour, markersize=3, label=f"phase {phase}")
