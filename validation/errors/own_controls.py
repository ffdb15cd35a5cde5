"""How far a record's feeder controls are from OpenDSS's own: steps of taps and capacitors, step by step.

OpenDSS follows its controls from where the record says that they stood before the step, under the recorded loads and
injections. A voltage next to a band's edge may be inside here and outside there, so a small share of steps may differ.
"""

from __future__ import annotations

import math

import numpy as np

from neomflex_jax.grid import UnbalancedFeeder
from validation.recompute.own_controls import STEPS, STEPS_BEFORE, TAPS, TAPS_BEFORE, of_run, own_controls, step_sizes
from validation.recompute.phase_set_points import PhaseSetPoints
from validation.recompute.record import Record
from validation.referee.opendss.own_controls import Moved, moved_by_opendss


def controls_apart(record: Record) -> tuple[float, float] | None:
    """Share of the steps in which a control stands elsewhere than OpenDSS's, and by how many steps at most.

    None where none is followed; infinite where what stands before a step is not what the step before left.
    """
    recorded, points, feeder = of_run(record.trajectory), record.set_points, record.feeder
    if not recorded or not isinstance(points, PhaseSetPoints) or not isinstance(feeder, UnbalancedFeeder):
        return None
    trajectory, controls = record.trajectory, own_controls(record.trajectory.scenario, feeder)
    follows = np.flatnonzero(np.diff(trajectory.dataset_index) == 1) + 1
    for after, before in ((TAPS, TAPS_BEFORE), (STEPS, STEPS_BEFORE)):
        if not np.array_equal(recorded[before][follows], recorded[after][follows - 1]):
            return math.inf, math.inf
    before_step = Moved(recorded[TAPS_BEFORE], recorded[STEPS_BEFORE])
    hour = np.asarray(trajectory.step) * trajectory.scenario.step_hours
    found = moved_by_opendss(feeder, controls, points, hour, before_step)
    step = np.array([step_sizes(feeder)[each] for each in controls.windings])
    apart = np.concatenate(
        [np.abs(np.round((found.tap_ratio - recorded[TAPS]) / step)), np.abs(found.steps - recorded[STEPS])], axis=1
    )
    settled = np.asarray(trajectory.devices["feeder_controls_settled"], bool) & np.isfinite(apart).all(axis=1)
    if not settled.any():
        return math.nan, math.nan
    return float((apart[settled] > 0).any(axis=1).mean()), float(apart[settled].max())
