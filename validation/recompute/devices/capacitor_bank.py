"""Capacitor banks: ``q = position x step_mvar x vm^2`` into the grid, position whole in 0..N."""

from __future__ import annotations

from typing import ClassVar

from neomflex_jax.devices import CapacitorBank
from validation.recompute.devices.twin import Sets
from validation.recompute.stepped import Position, SteppedTwin


class CapacitorPosition(Position[CapacitorBank]):
    """The steps that are switched in."""

    entry: ClassVar = "capacitor"
    before: ClassVar = "capacitor_steps_before"
    after: ClassVar = "capacitor_steps"
    moved: ClassVar = "capacitor_moved"


class CapacitorBankTwin(SteppedTwin[CapacitorBank]):
    """Capacitor banks as the referee has them."""

    table: ClassVar = "capacitor_banks"
    stem: ClassVar = "capacitor"
    position: ClassVar = "capacitor_steps"
    delivered: ClassVar = ("capacitor_moved", "capacitor_wait", "capacitor_made")
    remembered: ClassVar = ("capacitor_wait", "capacitor_made")
    store: ClassVar = CapacitorPosition()
    sets: ClassVar = Sets("capacitor_steps", shunt=lambda bank: (bank.bus, bank.step_mvar))

    def measured_bus(self, device: CapacitorBank) -> int | None:
        """Return the controlled bus."""
        bus = device.bus if device.controlled_bus is None else device.controlled_bus
        return bus if device.control == "band" else None


TWIN = CapacitorBankTwin()
