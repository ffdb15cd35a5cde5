"""What can be set at a scenario's devices: one entry of an agent's action each.

An agent's action holds first the controls that all devices of their kind have, kind by kind, then those that only an
option gives; within a control in the scenario's order of devices. So a scenario without options has "batteries first,
then PV".
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from neomflex_jax.devices.device import Control, Kind, Own
from neomflex_jax.loose_types import BusLabel


class HasDevices(Protocol):
    """What is asked of a scenario here."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Its kinds in order."""

    def of(self, kind: Kind) -> tuple[Own, ...]:
        """Its devices of a kind."""


class ActionEntry(NamedTuple):
    """One entry of an agent's action: a control of one device."""

    control: Control
    kind: Kind
    number: int  # of the device among those of its kind, in the scenario's order
    bus: BusLabel
    device: str  # label

    @property
    def text(self) -> str:
        """What is set at which device: "battery_p of battery_7"."""
        return f"{self.control.name} of {self.device}"


def ordered_controls(kinds: tuple[Kind, ...]) -> list[tuple[Kind, Control]]:
    """Controls of kinds in the order of actions."""
    controls = [(kind, control) for kind in kinds for control in kind.controls]
    return sorted(controls, key=lambda pair: pair[1].option is not None)


def controls_of(scenario: HasDevices) -> tuple[ActionEntry, ...]:
    """All entries of a scenario's actions, agents mixed, in their order."""
    return tuple(
        ActionEntry(control, kind, number, device.bus, device.label)
        for kind, control in ordered_controls(scenario.kinds)
        for number, device in enumerate(scenario.of(kind))
        if not device.follows_rule and (control.option is None or control.option(device))
    )
