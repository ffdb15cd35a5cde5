"""The base of twins of devices with whole steps: how far a record is from a position that moves by the rules.

``moved = position - position before``, whole; ``made = moved counted since midnight <= limit``; after a move no other
for `delay` steps of the day. Counters begin at 0 with the record's first step and, where positions are drawn anew, with
each day; operations begin at 0 with every day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Generic, Protocol, TypeVar

import numpy as np
from jaxtyping import Float, Num

from neomflex_jax.scenario import Scenario
from validation.recompute.devices.twin import Part, Store, Twin


class HasSteps(Protocol):
    """What is asked of a device here."""

    @property
    def steps(self) -> int:
        """The highest position."""

    @property
    def delay(self) -> int:
        """Steps of the day from a move to the next."""

    @property
    def operations_per_day(self) -> int | None:
        """Most operations of a day; None: no limit."""

    @property
    def operation_cost(self) -> float:
        """Of one step."""


SteppedT = TypeVar("SteppedT", bound=HasSteps)


class Position(Store[SteppedT]):
    """A position in whole steps; one step counts as 1 MWh where energies are added up."""

    moved: ClassVar[str]  # recorded array (n, n_device)

    def size_mwh(self, device: SteppedT) -> float:
        """Return 1: a gap is counted in steps."""
        return 1.0

    def energy_mwh(self, device: SteppedT, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the position."""
        return values

    def observed(self, device: SteppedT, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return the position as a share of the highest."""
        return values / device.steps

    def gap_mwh(self, part: Part[SteppedT]) -> Float[np.ndarray, " n_steps"]:
        """Return by how much position, position before and move do not fit together."""
        return part[self.after] - part[self.before] - part[self.moved]


class SteppedTwin(Twin[SteppedT], Generic[SteppedT]):
    """What twins of such kinds have in common."""

    stem: ClassVar[str]  # with which the names of what is recorded begin
    position: ClassVar[str]  # recorded array (n, n_device)

    def lowest(self, device: SteppedT) -> int:
        """Return the lowest position; `device.steps` is the highest."""
        return 0

    def excess(self, part: Part[SteppedT]) -> Float[np.ndarray, " n_steps"]:
        """Return by how many steps each step is outside range, pause and limit."""
        device, step, position = part.device, part["step"], part[self.position]
        moved, wait, made = (part[f"{self.stem}_{what}"] for what in ("moved", "wait", "made"))
        follows = np.arange(len(position)) > 0
        if part.scenario.rules.energies != "carried":
            follows &= step > 0
        wait_before = np.where(follows, np.roll(wait, 1), 0.0)
        made_before = np.where(follows & (step > 0), np.roll(made, 1), 0.0)
        operations = np.abs(moved)
        wait_after = np.where(operations > 0, device.delay - 1.0, np.maximum(wait_before - 1.0, 0.0))
        over = [self.lowest(device) - position, position - device.steps, np.abs(position - np.round(position))]
        over += [np.where(wait_before > 0, operations, 0.0), np.abs(made - made_before - operations)]
        over.append(np.abs(wait - wait_after))
        if device.operations_per_day is not None:
            over.append(made - device.operations_per_day)
        return np.max(over, axis=0)

    def costs(
        self, device: SteppedT, scenario: Scenario, recorded: Mapping[str, Num[np.ndarray, " n_steps"]]
    ) -> Iterator[np.ndarray]:
        """Yield the cost of operations, (n_steps,)."""
        if device.operation_cost:
            yield device.operation_cost * np.abs(recorded[f"{self.stem}_moved"])
