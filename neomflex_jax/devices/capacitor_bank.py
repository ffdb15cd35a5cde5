"""A capacitor bank: as many equal steps of a shunt as are switched in, ``q = position x step_mvar x vm^2``.

Powers in Mvar **into the grid**, `step_mvar` at 1 pu, position in 0..N, as the `step` of pandapower's shunts. A request
r in -1..1 asks for the position ``round(N max(r, 0))``: 0 and below, none. `stepped.py` says when and how far it moves.
The power flow gets the shunt; as a constant admittance it gives less where the voltage is low. Neglected: losses,
inrush and what harmonics do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.devices.checks import check_above_zero, check_name
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


class CapacitorParams(NamedTuple):
    """Fields of `CapacitorBank` as arrays (n_bank,)."""

    steps: np.ndarray
    step_mvar: np.ndarray
    operation_cost: np.ndarray
    delay: np.ndarray
    most: np.ndarray  # operations a day, infinite: no limit


def _from_zero(request: Array) -> Array:
    """The request, 0 where it is below, with its own derivative there too."""
    return jax.lax.stop_gradient(jnp.maximum(request, 0.0)) + (request - jax.lax.stop_gradient(request))


def _operations(params: CapacitorParams, delivered: Delivery, weight: float, step_hours: float) -> Array:
    return jnp.abs(delivered.recorded["capacitor_moved"]) * params.operation_cost


@dataclass(frozen=True)
class CapacitorBank(Device):
    """A capacitor bank: its bus (by label) and its steps."""

    table: ClassVar = "capacitor_banks"
    noun: ClassVar = "capacitor bank"
    prefix: ClassVar = "capacitor"
    turn: ClassVar = Turn.GRID
    controls: ClassVar = (
        Control("capacitor_target", "share of the steps switched in; 0 and below: none", lasting=True),
    )
    recorded: ClassVar = (
        Recorded("capacitor_steps", "steps", "switched in after the step", before="capacitor_steps_before"),
        Recorded("capacitor_moved", "steps", "operations, negative where steps were switched out"),
        Recorded("capacitor_wait", "steps", "steps of the day in which it may not switch yet"),
        Recorded("capacitor_made", "operations", "operations of the day so far"),
    )
    observables: ClassVar = (Observable("steps of {}", "of all", 0.0, 1.0),)
    costs: ClassVar = (CostTerm("capacitor_operations", _operations, priced=lambda bank: bank.operation_cost > 0),)
    table_families: ClassVar = (("capacitor_bus_", "_steps"), ("capacitor_bus_", "_operations"))

    bus: int
    step_mvar: float
    steps: int = 1
    delay: int = 1  # steps of the day from a move to the next
    operations_per_day: int | None = None
    operation_cost: float = 0.0  # of one step switched in or out
    name: str = ""

    def __post_init__(self) -> None:
        device = f"capacitor bank at bus {self.bus}"
        check_steps(
            device,
            steps=self.steps,
            delay=self.delay,
            operations_per_day=self.operations_per_day,
            operation_cost=self.operation_cost,
        )
        check_above_zero(device, step_mvar=self.step_mvar)
        check_name(device, self.name)

    @staticmethod
    def stack(devices: Sequence[CapacitorBank]) -> CapacitorParams:
        """Parameters as new arrays."""
        limits = np.array([limits_of(bank.delay, bank.operations_per_day) for bank in devices]).reshape(-1, 2)
        return stacked(CapacitorParams, devices, delay=limits[:, 0].copy(), most=limits[:, 1].copy())

    @staticmethod
    def step(
        params: CapacitorParams, requests: Mapping[str, Array], store: StepStore, around: Surroundings
    ) -> Delivery:
        """Switch towards the steps asked for."""
        after, moved, clipped = move(
            store,
            _from_zero(requests["capacitor_target"]) * params.steps,
            around.step,
            span=params.steps,
            delay=params.delay,
            most=params.most,
            in_service=around.in_service,
        )
        recorded = {"capacitor_moved": moved, "capacitor_wait": after.wait, "capacitor_made": after.made}
        shunt_mvar = after.position * params.step_mvar
        return Delivery(jnp.zeros_like(moved), None, after, clipped, recorded, shunt_mvar=shunt_mvar)

    @staticmethod
    def first(params: CapacitorParams) -> StepStore:
        """Have no step switched in."""
        return at_first(len(params.steps))

    @staticmethod
    def random(key: Array, params: CapacitorParams) -> StepStore:
        """Draw the number of steps."""
        drawn = jax.random.uniform(key, params.steps.shape, minval=-0.5, maxval=0.5)
        return at_first(len(params.steps))._replace(position=jnp.round(params.steps / 2 + drawn * params.steps))

    @staticmethod
    def middle(params: CapacitorParams) -> StepStore:
        """Have half of the steps switched in."""
        return at_first(len(params.steps))._replace(position=jnp.asarray(np.round(params.steps / 2)))

    @staticmethod
    def at_rest(store: StepStore) -> StepStore:
        """Keep the steps, free to switch."""
        return at_first(len(store.position))._replace(position=store.position)

    @staticmethod
    def kept(store: StepStore) -> dict[str, Array]:
        """Record the steps."""
        return {"capacitor_steps": store.position}

    @staticmethod
    def observe(params: CapacitorParams, store: StepStore) -> tuple[Array, ...]:
        """See the share of the steps."""
        return (store.position / params.steps,)

    @staticmethod
    def step_columns(
        devices: Sequence[CapacitorBank], recorded: Mapping[str, np.ndarray], load_p_mw: np.ndarray
    ) -> StepColumns:
        """Columns of the step table: steps and operations."""
        columns = {}
        for index, bank in enumerate(devices):
            columns[f"capacitor_bus_{bank.bus}_steps"] = recorded["capacitor_steps"][:, index]
            columns[f"capacitor_bus_{bank.bus}_operations"] = np.abs(recorded["capacitor_moved"][:, index])
        return StepColumns({}, columns)
