"""Tap changers: the branch's ratio times ``1 + position x step_percent / 100``, position whole in -N..N."""

from __future__ import annotations

from typing import ClassVar

from neomflex_jax.devices import TapChanger
from validation.recompute.devices.twin import Sets
from validation.recompute.stepped import Position, SteppedTwin


class TapPosition(Position[TapChanger]):
    """The position."""

    entry: ClassVar = "tap"
    before: ClassVar = "tap_position_before"
    after: ClassVar = "tap_position"
    moved: ClassVar = "tap_moved"


class TapChangerTwin(SteppedTwin[TapChanger]):
    """Tap changers as the referee has them."""

    table: ClassVar = "tap_changers"
    stem: ClassVar = "tap"
    position: ClassVar = "tap_position"
    delivered: ClassVar = ("tap_moved", "tap_wait", "tap_made")
    remembered: ClassVar = ("tap_wait", "tap_made")
    store: ClassVar = TapPosition()
    sets: ClassVar = Sets("tap_position", tap=lambda tap: (tap.from_bus, tap.to_bus, tap.step_percent))

    def measured_bus(self, device: TapChanger) -> int | None:
        """Return the controlled bus."""
        bus = device.to_bus if device.controlled_bus is None else device.controlled_bus
        return bus if device.control == "band" else None

    def raising(self, device: TapChanger) -> int:
        """Return -1: a higher position lowers the voltage, but for that of its own end."""
        return 1 if device.controlled_bus == device.from_bus else -1

    def lowest(self, device: TapChanger) -> int:
        """Return the other end of the range."""
        return -device.steps


TWIN = TapChangerTwin()
