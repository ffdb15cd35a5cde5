"""A check that devices can move the voltages they measure, which takes both scenario and feeder."""

from __future__ import annotations

from neomflex_jax.errors import InputError
from neomflex_jax.grid import Feeder
from neomflex_jax.grid.way_from_slack import way_from_slack
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
        start, end = device.tap_branch
        if away_from_slack == 0:
            raise InputError(
                f"{where}: it moves no voltage of bus {bus}, which is not behind the branch from bus {start} to bus "
                f"{end}, seen from the slack; control a bus that is"
            )
        if away_from_slack < 0 and bus != start:
            raise InputError(
                f"{where}: the branch from bus {start} to bus {end} is listed towards the slack, where it can control "
                f"the bus of its from end alone: controlled_bus = {start}"
            )
