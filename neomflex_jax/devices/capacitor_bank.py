"""A capacitor bank: as many equal steps of a shunt as are switched in, ``q = position x step_mvar x vm^2``.

Powers in Mvar **into the grid**, `step_mvar` at 1 pu, position in 0..N, as the `step` of pandapower's shunts. A request
r in -1..1 asks for the position ``round(N max(r, 0))``: 0 and below, none. `stepped.py` says when and how far it moves.
The power flow gets the shunt; as a constant admittance it gives less where the voltage is low. Neglected: losses,
inrush and what harmonics do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jax import Array
from jaxtyping import Float

from neomflex_jax.devices.checks import check_above_zero
from neomflex_jax.devices.device import Control, Observable
from neomflex_jax.devices.figures import Lines
from neomflex_jax.devices.stepped import StepParams, SteppedDevice, operations_term, recorded_steps
from neomflex_jax.loose_types import BusLabel


@dataclass(frozen=True)
class CapacitorBank(SteppedDevice):
    """A capacitor bank: its bus (by label) and its steps."""

    table: ClassVar = "capacitor_banks"
    noun: ClassVar = "capacitor bank"
    prefix: ClassVar = "capacitor"
    word: ClassVar = "steps"
    step_field: ClassVar = "step_mvar"
    both_ways: ClassVar = False
    controls: ClassVar = (
        Control("capacitor_target", "share of the steps switched in; 0 and below: none", lasting=True, rounded=True),
    )
    recorded: ClassVar = recorded_steps("capacitor", "steps")
    observables: ClassVar = (Observable("steps of {}", "of all", 0.0, 1.0),)
    costs: ClassVar = (operations_term("capacitor"),)
    drawn: ClassVar = {
        "positions": Lines(
            "capacitor_bus_", "_steps", "capacitor bank", "capacitor banks", "Steps of the capacitor banks"
        )
    }
    table_families: ClassVar = (("capacitor_bus_", "_steps"), ("capacitor_bus_", "_operations"))

    bus: BusLabel
    """Where it stands, by the feeder's own number; a bus of some territory. At most one of a kind at a bus."""
    step_mvar: float
    """Reactive power of one step at 1 pu, into the grid. Allowed: above 0."""
    steps: int = 1
    """Steps that can be switched in. Unit: steps. Allowed: 1 .. 1000."""
    delay: int = 1
    """Pause from a move to the next. Unit: steps. Allowed: 1 .. 1000."""
    operations_per_day: int | None = None
    """Steps of the position that it may take in a day. None: no limit. Unit: steps. Allowed: at least 1."""
    operation_cost: float = 0.0
    """Cost of one step of the position. Unit: 1/step. Allowed: at least 0."""
    hysteresis_steps: float = 0.0
    """A request no farther than this from the position leaves it there; up to 0.5 it goes to the nearest. Left out
    under band control. Unit: steps. Allowed: 0 .. steps."""
    control: str = "agent"
    """Who moves it: its agent, or no action and the rule of a dead band. Allowed: "agent", "band"."""
    vm_set_pu: float | None = None
    """Set-point of band control; left out without. Allowed: above 0."""
    dead_band_pu: float | None = None
    """Whole width of the dead band, half of it on each side of the set-point; left out without band control.
    Allowed: above 0."""
    controlled_bus: BusLabel | None = None
    """Bus whose voltage band control keeps, on feeders with phases their mean there. None: its own bus."""
    name: str = ""
    """Your name of it; two devices must not share one. Without one it is called after its kind and bus. Allowed:
    letters, digits, _ and -."""
    phases: tuple[int, ...] = ()
    """At which of its bus's phases it stands, each with an equal share of its power; for feeders with phases. Empty:
    all that the bus has. Unit: numbers of phases. Allowed: 1, 2, 3, each once."""

    def __post_init__(self) -> None:
        where = f"capacitor bank at bus {self.bus}"
        self.check(where)
        check_above_zero(where, step_mvar=self.step_mvar)

    @property
    def measured_bus(self) -> int | None:
        """The controlled bus."""
        own = self.bus if self.controlled_bus is None else self.controlled_bus
        return own if self.follows_rule else None

    @staticmethod
    def grid_effect(params: StepParams, position: Float[Array, " n_device"]) -> dict[str, Float[Array, " n_device"]]:
        """Return the shunts."""
        return {"shunt_mvar": position * params.step_size}
