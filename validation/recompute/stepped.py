"""What twins of devices with whole steps share: how far a record is from a position that moves by the rules.

``moved = position - position before``, whole; ``made = moved counted since midnight <= limit``; after a move no other
for `delay` steps of the day. Counters begin at 0 with the record's first step and, where positions are drawn anew, with
each day; operations begin at 0 with every day.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from validation.recompute.devices.twin import Part, Store


class Position(Store[Any]):
    """A position in whole steps; one step counts as 1 MWh where energies are added up."""

    moved: ClassVar[str]  # recorded array (n, n_device)

    def size_mwh(self, device: Any) -> float:
        """Return 1: a gap is counted in steps."""
        return 1.0

    def energy_mwh(self, device: Any, values: np.ndarray) -> np.ndarray:
        """Return the position."""
        return values

    def observed(self, device: Any, values: np.ndarray) -> np.ndarray:
        """Return the position as a share of the range."""
        return values / device.steps

    def gap_mwh(self, part: Part[Any]) -> np.ndarray:
        """Return by how much position, position before and move do not fit together, (n,)."""
        return part[self.after] - part[self.before] - part[self.moved]


def steps_excess(part: Part[Any], stem: str, position: np.ndarray, lowest: int) -> np.ndarray:
    """Return by how many steps a device is outside range, pause and limit in each step, (n,).

    Parameters
    ----------
    stem
        With which the names of what is recorded begin.
    lowest
        End of the range; `device.steps` is the other.
    """
    device, scenario, step = part.device, part.scenario, part["step"]
    moved, wait, made = (part[f"{stem}_{what}"] for what in ("moved", "wait", "made"))
    follows = np.arange(len(position)) > 0
    if scenario.rules.energies != "carried":
        follows &= step > 0
    wait_before = np.where(follows, np.roll(wait, 1), 0.0)
    made_before = np.where(follows & (step > 0), np.roll(made, 1), 0.0)
    operations = np.abs(moved)
    wait_after = np.where(operations > 0, device.delay - 1.0, np.maximum(wait_before - 1.0, 0.0))
    over = [lowest - position, position - device.steps, np.abs(position - np.round(position))]
    over += [np.where(wait_before > 0, operations, 0.0), np.abs(made - made_before - operations)]
    over.append(np.abs(wait - wait_after))
    if device.operations_per_day is not None:
        over.append(made - device.operations_per_day)
    return np.max(over, axis=0)
