"""Which of a feeder's own controls a scenario follows, worked out a second time, and what its record has of them.

Where a scenario says ``feeder_controls = "follow"``, those of windings and capacitors that no device takes over; the
record has the tap of each regulator in per unit and the steps of each capacitor, before a step and after it, regulators
and capacitors in the feeder's order of controls.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import AnyFeeder, UnbalancedFeeder
from neomflex_jax.grid.unbalanced.control import CapacitorControl, RegulatorControl
from neomflex_jax.scenario import Scenario
from validation.recompute.taken_over import steps_of, taps_of

TAPS, TAPS_BEFORE = "feeder_tap_ratio", "feeder_tap_ratio_before"
STEPS, STEPS_BEFORE = "feeder_bank_steps", "feeder_bank_steps_before"
RECORDED = (TAPS, TAPS_BEFORE, STEPS, STEPS_BEFORE)  # (n_steps, n_regulator) and (n_steps, n_capacitor)


class OwnControls(NamedTuple):
    """Controls that are followed, by their names, and what they move."""

    regulators: tuple[RegulatorControl, ...] = ()
    capacitors: tuple[CapacitorControl, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """With their classes."""
        return (*(each.name for each in self.regulators), *(each.name for each in self.capacitors))

    @property
    def windings(self) -> tuple[tuple[str, int], ...]:
        """Transformer and number of the winding from 1, of each regulator."""
        return tuple((each.transformer, each.tap_winding) for each in self.regulators)

    @property
    def banks(self) -> tuple[str, ...]:
        """Name of each capacitor."""
        return tuple(each.capacitor for each in self.capacitors)

    def width(self, name: str) -> int:
        """Return the number of columns of a recorded array."""
        return len(self.regulators) if name in (TAPS, TAPS_BEFORE) else len(self.capacitors)


NONE = OwnControls()


def own_controls(scenario: Scenario, feeder: AnyFeeder) -> OwnControls:
    """Controls that a scenario's feeder follows; none where it follows none."""
    if scenario.feeder_controls != "follow" or not isinstance(feeder, UnbalancedFeeder):
        return NONE
    tapped, switched = taps_of(scenario, feeder, {}, 1)[0], steps_of(scenario, feeder, {}, 1)[0]
    return OwnControls(
        tuple(
            each
            for each in feeder.controls
            if isinstance(each, RegulatorControl) and (each.transformer, each.tap_winding) not in tapped
        ),
        tuple(
            each for each in feeder.controls if isinstance(each, CapacitorControl) and each.capacitor not in switched
        ),
    )


def recorded_names(scenario: Scenario) -> tuple[str, ...]:
    """Return names of what a record has of the controls."""
    return RECORDED if scenario.feeder_controls == "follow" else ()


def step_sizes(feeder: UnbalancedFeeder) -> dict[tuple[str, int], float]:
    """Step of every winding's taps in per unit, by its transformer and number from 1."""
    return {
        (element.name, number): winding.step
        for element in feeder.elements
        for number, winding in enumerate(element.windings, 1)
    }


def operations(controls: OwnControls, feeder: UnbalancedFeeder, recorded: dict[str, np.ndarray]) -> np.ndarray:
    """Steps by which all controls together moved in each step of a record, (n_steps,)."""
    sizes = np.array([step_sizes(feeder)[each] for each in controls.windings])
    taps = np.round((recorded[TAPS].astype(float) - recorded[TAPS_BEFORE]) / sizes) if len(sizes) else recorded[TAPS]
    switched = recorded[STEPS] - recorded[STEPS_BEFORE]
    return np.asarray(np.abs(taps).sum(axis=1) + np.abs(switched).sum(axis=1), float)


def of_run(trajectory: Trajectory) -> dict[str, np.ndarray]:
    """Return what a run recorded of the controls, by name; nothing where none is followed."""
    return {name: np.asarray(getattr(trajectory, name), float) for name in recorded_names(trajectory.scenario)}
