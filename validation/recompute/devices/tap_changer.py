"""Tap changers: the branch's ratio times ``1 + position x step_percent / 100``, position whole in -N..N."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from neomflex_jax.devices import TapChanger
from neomflex_jax.scenario import Scenario
from validation.recompute.devices.twin import Part, Sets, Twin
from validation.recompute.stepped import Position, steps_excess


class TapPosition(Position):
    """The position."""

    entry: ClassVar = "tap"
    before: ClassVar = "tap_position_before"
    after: ClassVar = "tap_position"
    moved: ClassVar = "tap_moved"


class TapChangerTwin(Twin[TapChanger]):
    """Tap changers as the referee has them."""

    table: ClassVar = "tap_changers"
    delivered: ClassVar = ("tap_moved", "tap_wait", "tap_made")
    remembered: ClassVar = ("tap_wait", "tap_made")
    store: ClassVar = TapPosition()
    sets: ClassVar = Sets("tap_position", tap=lambda tap: (tap.from_bus, tap.to_bus, tap.step_percent))

    def excess(self, part: Part[TapChanger]) -> np.ndarray:
        """Return by how many steps each step is outside range, pause and limit, (n,)."""
        return steps_excess(part, "tap", part["tap_position"], -part.device.steps)

    def costs(self, device: TapChanger, scenario: Scenario, recorded: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the cost of operations, (n,)."""
        if device.operation_cost:
            yield device.operation_cost * np.abs(recorded["tap_moved"])


TWIN = TapChangerTwin()
