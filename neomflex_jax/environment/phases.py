"""What a scenario asks for that feeders with phases do not have yet, refused by name with the way out."""

from __future__ import annotations

import numpy as np

from neomflex_jax.devices.device import Turn
from neomflex_jax.environment.feeder_controls import plan_for
from neomflex_jax.environment.measured_buses import check_measured_phases
from neomflex_jax.environment.taken_over import switched_capacitors, tapped_windings
from neomflex_jax.errors import InputError
from neomflex_jax.grid import Feeder, UnbalancedFeeder
from neomflex_jax.grid.parts import summarise_labels
from neomflex_jax.grid.unbalanced.supply import refuse_unfed
from neomflex_jax.powerflow import UnbalancedPowerFlow, check_unbalanced
from neomflex_jax.scenario import Scenario
from neomflex_jax.scenario.parts import FOLLOW

NEUTRAL_PU = 0.1  # a neutral's voltage without load stays below it


def check_playable_with_phases(scenario: Scenario, feeder: UnbalancedFeeder) -> None:
    """Check that a scenario can be played on a feeder with phases.

    Raises
    ------
    InputError
        On a method of balanced feeders alone, buses that nothing feeds, devices that set what the feeder does not have,
        controlled buses that they do not move, errors of lines, and loads that flex where a bus has none or several.
    """
    where = f"feeder {feeder.name!r} has phases"
    check_unbalanced(scenario.power_flow, feeder.name)
    refuse_unfed(feeder)
    if scenario.fallback or scenario.enforce_q_lims:
        raise InputError(f"{where}: its power flow has no fallback, and no generators with limits; leave both out")
    if scenario.uncertainty.line_error > 0:
        raise InputError(
            f"{where}, whose impedances have no errors; line_error = {scenario.uncertainty.line_error} must be 0"
        )
    for kind in scenario.kinds:
        for device in scenario.of(kind):
            who = f"{device.noun} {device.label!r}"
            n_load = feeder.load_buses.count(device.bus)
            if kind.turn == Turn.LOAD and n_load != 1:
                raise InputError(
                    f"{who}: bus {device.bus} has {n_load or 'no'} loads, and such a device needs a bus with one of "
                    "them; move it"
                )
    tapped_windings(scenario, feeder)
    switched_capacitors(scenario, feeder)
    check_measured_phases(scenario, feeder)
    plan_for(scenario, feeder)
    _check_operations(scenario)


def check_neutrals(scenario: Scenario, feeder: UnbalancedFeeder, power_flow: UnbalancedPowerFlow) -> None:
    """Check that no node stands at a neutral's voltage, for limits hold at every node.

    Raises
    ------
    InputError
        If one is near 0 without load, naming it.
    """
    without_load_pu = np.hypot(*np.split(np.asarray(power_flow.network.node_start), 2))
    near_zero = np.flatnonzero(without_load_pu < min(NEUTRAL_PU, scenario.limits.hard_min_pu))
    if near_zero.size:
        named = summarise_labels([feeder.node_labels[node] for node in near_zero.tolist()])
        raise InputError(
            f"feeder {feeder.name!r}: node {named} is below {NEUTRAL_PU} pu without load, as neutrals are, and limits "
            "of voltages, which hold at every node, would be broken there in every step; ground neutrals in the file "
            "(bus2=b.1.2.3.0), or reduce lines' matrices to their phases (OpenDSS's Kron); if it is a phase, "
            "name its voltage in set voltagebases"
        )


def check_playable_without_phases(scenario: Scenario, feeder: Feeder) -> None:
    """Raise `InputError` on what a scenario asks for that balanced feeders do not have."""
    plan_for(scenario, feeder)
    _check_operations(scenario)
    weight = scenario.reward.unbalance_weight
    if weight > 0 and not feeder.nodes.three_phase_buses:
        raise InputError(f"feeder {feeder.name!r} is balanced, without phases; unbalance_weight = {weight} must be 0")


def _check_operations(scenario: Scenario) -> None:
    weight = scenario.reward.feeder_operation_weight
    if weight > 0 and scenario.feeder_controls != FOLLOW:
        raise InputError(
            f'feeder_operation_weight = {weight} needs feeder_controls = "follow": frozen controls make no operations'
        )
