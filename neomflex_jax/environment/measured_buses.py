"""A check that devices can move the voltages they measure, which takes both scenario and feeder.

On a feeder with phases a bus is behind a branch if all ways of elements from the sources to it lead over what joins the
branch's two buses.
"""

from __future__ import annotations

from neomflex_jax.devices.device import Device
from neomflex_jax.environment.step.measured_voltages import measured_nodes
from neomflex_jax.errors import InputError
from neomflex_jax.grid import Feeder, UnbalancedFeeder
from neomflex_jax.grid.territories import check_buses
from neomflex_jax.grid.unbalanced.supply import fed_buses
from neomflex_jax.grid.way_from_slack import way_from_slack
from neomflex_jax.loose_types import BusLabel
from neomflex_jax.powerflow.network.taps import tap_branches
from neomflex_jax.scenario import Scenario


def check_measured_buses(scenario: Scenario, feeder: Feeder) -> None:
    """Check the controlled buses of a scenario's devices.

    Raises
    ------
    InputError
        If the feeder has no such bus, it is the slack's, or a device that sets a ratio does not move its voltage, or
        moves it in the other direction than it believes.
    """
    for device in scenario.devices:
        bus = device.measured_bus
        if bus is None:
            continue
        where, way = f"{device.noun} {device.label!r}", way_from_slack(feeder, bus)
        if way is None:
            raise InputError(f"{where}: the voltage of bus {bus} is the slack's and never moves; control another bus")
        if device.tap_branch is None:
            continue
        [branch] = tap_branches(feeder, [device.tap_branch])
        away_from_slack = way[branch]  # 0: the bus is not behind the branch
        if away_from_slack == 0:
            raise _not_behind(device, bus)
        if away_from_slack < 0 and bus != device.tap_branch[0]:
            raise _towards_the_slack(device)


def check_measured_phases(scenario: Scenario, feeder: UnbalancedFeeder) -> None:
    """Check the controlled buses of a scenario's devices on a feeder with phases; raises as `check_measured_buses`."""
    for device in scenario.devices:
        bus = device.measured_bus
        if bus is None:
            continue
        check_buses(feeder, "the controlled bus of", [(device.label, [bus])])
        try:
            measured_nodes(feeder.nodes, device)
        except InputError as error:
            raise InputError(f"{device.noun} {device.label!r} {error} (its controlled_bus)") from None
        if device.tap_branch is None:
            continue
        start, end = device.tap_branch
        fed = fed_buses(feeder, without=device.tap_branch)
        if bus in fed or (start in fed) == (end in fed):
            raise _not_behind(device, bus)
        if start not in fed and bus != start:
            raise _towards_the_slack(device)


def _not_behind(device: Device, bus: BusLabel) -> InputError:
    start, end = _ends(device)
    return InputError(
        f"{device.noun} {device.label!r}: it moves no voltage of bus {bus}, which is not behind the branch from bus "
        f"{start} to bus {end}, seen from the slack; control a bus that is"
    )


def _towards_the_slack(device: Device) -> InputError:
    start, end = _ends(device)
    return InputError(
        f"{device.noun} {device.label!r}: the branch from bus {start} to bus {end} is listed towards the slack, where "
        f"it can control the bus of its from end alone: controlled_bus = {start}"
    )


def _ends(device: Device) -> tuple[BusLabel, BusLabel]:
    assert device.tap_branch is not None
    return device.tap_branch
