"""Capacitor banks: ``q = position x step_mvar x vm^2`` into the grid, position whole in 0..N."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from neomflex_jax.devices import CapacitorBank
from neomflex_jax.scenario import Scenario
from validation.recompute.devices.twin import Part, Sets, Twin
from validation.recompute.stepped import Position, steps_excess


class CapacitorPosition(Position):
    """The steps that are switched in."""

    entry: ClassVar = "capacitor"
    before: ClassVar = "capacitor_steps_before"
    after: ClassVar = "capacitor_steps"
    moved: ClassVar = "capacitor_moved"


class CapacitorBankTwin(Twin[CapacitorBank]):
    """Capacitor banks as the referee has them."""

    table: ClassVar = "capacitor_banks"
    delivered: ClassVar = ("capacitor_moved", "capacitor_wait", "capacitor_made")
    remembered: ClassVar = ("capacitor_wait", "capacitor_made")
    store: ClassVar = CapacitorPosition()
    sets: ClassVar = Sets("capacitor_steps", shunt=lambda bank: (bank.bus, bank.step_mvar))

    def excess(self, part: Part[CapacitorBank]) -> np.ndarray:
        """Return by how many steps each step is outside range, pause and limit, (n,)."""
        return steps_excess(part, "capacitor", part["capacitor_steps"], 0)

    def costs(
        self, device: CapacitorBank, scenario: Scenario, recorded: Mapping[str, np.ndarray]
    ) -> Iterator[np.ndarray]:
        """Yield the cost of operations, (n,)."""
        if device.operation_cost:
            yield device.operation_cost * np.abs(recorded["capacitor_moved"])


TWIN = CapacitorBankTwin()
