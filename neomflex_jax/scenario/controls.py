"""What can be set at the devices: one control is one entry of an agent's action.

An agent's action holds its controls in the order of `KINDS`, and within a kind in the scenario's order of devices, so
that a scenario without the later kinds has "batteries first, then PV".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from neomflex_jax.devices import Battery, FlexibleLoad, PvInverter

if TYPE_CHECKING:
    from neomflex_jax.scenario.scenario import Scenario

KINDS = {
    "battery_p": "share of the power rating, positive discharging",
    "pv_q": "share of the reactive power that the circle leaves, positive into the grid",
    "battery_q": "share of the reactive power that the circle leaves, positive into the grid",
    "pv_curtailment": "below 0: minus the share of the available power that is not fed in; 0 and above: none",
    "load_curtailment": "below 0: minus the share of what may be shed; 0 and above: none",
    "load_shift": "share of the shifting power, positive defers, negative catches up",
}

# Those whose effect outlasts their step, in energies and debts; all others act on the grid of their own step alone.
LASTING = ("battery_p", "load_curtailment", "load_shift")


class Control(NamedTuple):
    """One entry of an agent's action."""

    kind: str
    number: int  # of the device among those of its kind, in the scenario's order
    bus: int  # label
    device: str  # label


def controls_of(scenario: Scenario) -> tuple[Control, ...]:
    """Give all controls of a scenario in the order of their kinds."""
    batteries, inverters, loads = scenario.batteries, scenario.pv_inverters, scenario.flexible_loads
    having: dict[str, list[tuple[int, Battery | PvInverter | FlexibleLoad]]] = {
        "battery_p": [(number, each) for number, each in enumerate(batteries)],
        "pv_q": [(number, each) for number, each in enumerate(inverters)],
        "battery_q": [(number, each) for number, each in enumerate(batteries) if each.s_mva is not None],
        "pv_curtailment": [(number, each) for number, each in enumerate(inverters) if each.curtailable],
        "load_curtailment": [(number, each) for number, each in enumerate(loads) if each.curtail_share > 0],
        "load_shift": [(number, each) for number, each in enumerate(loads) if each.shift_mw > 0],
    }
    return tuple(Control(kind, number, device.bus, device.label) for kind in KINDS for number, device in having[kind])
