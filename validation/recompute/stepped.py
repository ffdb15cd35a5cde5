"""The base of twins of devices with whole steps: how far a record is from a position that moves by the rules.

``moved = position - position before``, whole; ``made = moved counted since midnight <= limit``; after a move no other
for `delay` steps of the day. Counters begin at 0 with the record's first step and, where positions are drawn anew, with
each day; operations begin at 0 with every day.

Under band control, with v the voltage that the step before left at the controlled bus: one step towards the dead band
where v is outside and no pause left; a pause of `delay - 1` begins with a move, and with every step that found v inside
or unknown. v is unknown before the record's first step, and each day's where positions are drawn anew.
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

    @property
    def control(self) -> str:
        """Who moves it, "agent" or "band"."""

    @property
    def vm_set_pu(self) -> float | None:
        """Set-point of band control."""

    @property
    def dead_band_pu(self) -> float | None:
        """Whole width of the dead band."""


SLIP_PU = 1e-6  # by which a voltage may be off that is compared with the ends of a dead band: records are float32
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

    def raising(self, device: SteppedT) -> int:
        """Return 1 where a higher position raises the voltage of the controlled bus, -1 where it lowers it."""
        return 1

    def excess(self, part: Part[SteppedT]) -> Float[np.ndarray, " n_steps"]:
        """Return by how many steps each step is outside range, pause and limit, or off the rule of band control."""
        device, step, position = part.device, part["step"], part[self.position]
        moved, wait, made = (part[f"{self.stem}_{what}"] for what in ("moved", "wait", "made"))
        follows = np.arange(len(position)) > 0
        if part.scenario.rules.energies != "carried":
            follows &= step > 0
        wait_before = np.where(follows, np.roll(wait, 1), 0.0)
        made_before = np.where(follows & (step > 0), np.roll(made, 1), 0.0)
        operations = np.abs(moved)
        over = [self.lowest(device) - position, position - device.steps, np.abs(position - np.round(position))]
        over += [np.where(wait_before > 0, operations, 0.0), np.abs(made - made_before - operations)]
        if device.operations_per_day is not None:
            over.append(made - device.operations_per_day)
        if device.control == "band":
            vm_pu = np.where(follows, np.roll(part.measured_vm_pu, 1), np.nan)
            ruled = [self._off_rule(part, wait_before, made_before, vm_pu + slip) for slip in (-SLIP_PU, SLIP_PU)]
            over.append(np.min(ruled, axis=0))
        else:
            over.append(np.abs(wait - _counted_down(device, wait_before, operations > 0)))
        return np.max(over, axis=0)

    def _off_rule(
        self, part: Part[SteppedT], wait_before: np.ndarray, made_before: np.ndarray, vm_pu: np.ndarray
    ) -> np.ndarray:
        """Return by how many steps moves and pauses are off the rule, (n,), with `vm_pu` before each step."""
        device, before = part.device, part[self.position] - part[f"{self.stem}_moved"]
        assert device.vm_set_pu is not None and device.dead_band_pu is not None  # the device's own check
        half = device.dead_band_pu / 2
        wanted = 1.0 * (vm_pu < device.vm_set_pu - half) - 1.0 * (vm_pu > device.vm_set_pu + half)
        most = np.inf if device.operations_per_day is None else device.operations_per_day
        may = (wait_before <= 0) & (made_before < most)
        target = np.clip(before + self.raising(device) * wanted, self.lowest(device), device.steps)
        moves = np.where(may, target - before, 0.0)
        moved = part[f"{self.stem}_moved"]
        if part.scenario.uncertainty.outage_probability > 0:  # one that fails stands still
            moves = np.where(moved == 0, 0.0, moves)
        wait = _counted_down(device, wait_before, (moves != 0) | (wanted == 0))
        return np.maximum(np.abs(moved - moves), np.abs(part[f"{self.stem}_wait"] - wait))

    def costs(
        self, device: SteppedT, scenario: Scenario, recorded: Mapping[str, Num[np.ndarray, " n_steps"]]
    ) -> Iterator[np.ndarray]:
        """Yield the cost of operations, (n_steps,)."""
        if device.operation_cost:
            yield device.operation_cost * np.abs(recorded[f"{self.stem}_moved"])


def _counted_down(device: HasSteps, wait_before: np.ndarray, begins: np.ndarray) -> np.ndarray:
    """Return the pauses after steps, (n,); where one begins it has its full length."""
    return np.where(begins, device.delay - 1.0, np.maximum(wait_before - 1.0, 0.0))
