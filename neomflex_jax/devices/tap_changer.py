"""A tap changer at the from end of a branch: of a transformer, or a line regulator, where the branch is a line.

``t = 1 + position x step_percent / 100`` multiplies the branch's voltage ratio, position in -N..N, as pandapower's
`tap_pos` of a tap changer of the type Ratio on the high-voltage side: positions above 0 lower the voltage behind it. A
request r in -1..1 asks for the position ``round(r N)``; `stepped.py` says when and how far it moves. Nothing is fed in:
the power flow gets t. Neglected: that the impedance of a transformer changes with its tap, the time of a move within a
step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.devices.checks import check_name, refuse
from neomflex_jax.devices.device import (
    Control,
    CostTerm,
    Delivery,
    Device,
    Observable,
    Recorded,
    StepColumns,
    Surroundings,
    Turn,
)
from neomflex_jax.devices.options import stacked
from neomflex_jax.devices.stepped import StepStore, at_first, check_steps, limits_of, move

MOST_CHANGE = 0.5  # of the ratio: beyond it a power flow has hardly ever a solution


class TapParams(NamedTuple):
    """Fields of `TapChanger` as arrays (n_tap,)."""

    steps: np.ndarray
    step_percent: np.ndarray
    operation_cost: np.ndarray
    delay: np.ndarray
    most: np.ndarray  # operations a day, infinite: no limit


def _operations(params: TapParams, delivered: Delivery, weight: float, step_hours: float) -> Array:
    return jnp.abs(delivered.recorded["tap_moved"]) * params.operation_cost


@dataclass(frozen=True)
class TapChanger(Device):
    """A tap changer: its branch by the labels of its ends, the bus (by label) whose agent moves it, its steps."""

    table: ClassVar = "tap_changers"
    noun: ClassVar = "tap changer"
    prefix: ClassVar = "tap"
    turn: ClassVar = Turn.GRID
    controls: ClassVar = (Control("tap_target", "position of the range, -1 the lowest, 1 the highest", lasting=True),)
    recorded: ClassVar = (
        Recorded("tap_position", "steps", "position after the step", before="tap_position_before"),
        Recorded("tap_moved", "steps", "operations, negative where the position fell"),
        Recorded("tap_wait", "steps", "steps in which it may not move yet"),
        Recorded("tap_made", "operations", "operations of the day so far"),
    )
    observables: ClassVar = (Observable("position of {}", "of range", -1.0, 1.0),)
    costs: ClassVar = (CostTerm("tap_operations", _operations, priced=lambda tap: tap.operation_cost > 0),)
    table_families: ClassVar = (("tap_bus_", "_position"), ("tap_bus_", "_operations"))

    bus: int
    from_bus: int
    to_bus: int
    steps: int = 8  # positions on each side of 0
    step_percent: float = 1.25
    delay: int = 1  # steps of the day from a move to the next
    operations_per_day: int | None = None
    operation_cost: float = 0.0  # of one step of the position
    name: str = ""

    def __post_init__(self) -> None:
        device = f"tap changer at bus {self.bus}"
        check_steps(
            device,
            steps=self.steps,
            delay=self.delay,
            operations_per_day=self.operations_per_day,
            operation_cost=self.operation_cost,
        )
        if not (self.step_percent > 0 and self.steps * self.step_percent <= 100 * MOST_CHANGE):
            allowed = f"be above 0, and steps x step_percent at most {100 * MOST_CHANGE:g}"
            raise refuse(device, allowed, step_percent=self.step_percent)
        if self.from_bus == self.to_bus:
            raise refuse(device, "differ from from_bus: it sits on the branch between both", to_bus=self.to_bus)
        check_name(device, self.name)

    @property
    def tap_branch(self) -> tuple[int, int]:
        """Ends of the branch whose ratio it multiplies."""
        return self.from_bus, self.to_bus

    @staticmethod
    def stack(devices: Sequence[TapChanger]) -> TapParams:
        """Parameters as new arrays."""
        limits = np.array([limits_of(tap.delay, tap.operations_per_day) for tap in devices]).reshape(-1, 2)
        return stacked(TapParams, devices, delay=limits[:, 0].copy(), most=limits[:, 1].copy())

    @staticmethod
    def step(params: TapParams, requests: Mapping[str, Array], store: StepStore, around: Surroundings) -> Delivery:
        """Move towards the position asked for; the ratio is that of the new position."""
        after, moved, clipped = move(
            store,
            requests["tap_target"] * params.steps,
            around.step,
            span=2.0 * params.steps,
            delay=params.delay,
            most=params.most,
            in_service=around.in_service,
        )
        recorded = {"tap_moved": moved, "tap_wait": after.wait, "tap_made": after.made}
        ratio = 1.0 + after.position * (0.01 * params.step_percent)
        return Delivery(jnp.zeros_like(moved), None, after, clipped, recorded, tap_ratio=ratio)

    @staticmethod
    def first(params: TapParams) -> StepStore:
        """Position 0, free to move."""
        return at_first(len(params.steps))

    @staticmethod
    def random(key: Array, params: TapParams) -> StepStore:
        """Draw a position uniform in the range."""
        drawn = jax.random.uniform(key, params.steps.shape, minval=-0.5, maxval=0.5)
        return at_first(len(params.steps))._replace(position=jnp.round(drawn * (2.0 * params.steps + 1.0)))

    @staticmethod
    def middle(params: TapParams) -> StepStore:
        """Stand at position 0."""
        return at_first(len(params.steps))

    @staticmethod
    def at_rest(store: StepStore) -> StepStore:
        """Stand where it stood, free to move."""
        return at_first(len(store.position))._replace(position=store.position)

    @staticmethod
    def kept(store: StepStore) -> dict[str, Array]:
        """Record the position."""
        return {"tap_position": store.position}

    @staticmethod
    def observe(params: TapParams, store: StepStore) -> tuple[Array, ...]:
        """See the position as a share of the range."""
        return (store.position / params.steps,)

    @staticmethod
    def step_columns(
        devices: Sequence[TapChanger], recorded: Mapping[str, np.ndarray], load_p_mw: np.ndarray
    ) -> StepColumns:
        """Columns of the step table: position and operations."""
        columns = {}
        for index, tap in enumerate(devices):
            columns[f"tap_bus_{tap.bus}_position"] = recorded["tap_position"][:, index]
            columns[f"tap_bus_{tap.bus}_operations"] = np.abs(recorded["tap_moved"][:, index])
        return StepColumns({}, columns)
