"""A tap changer at the from end of a branch: of a transformer, or a line regulator, where the branch is a line.

``t = 1 + position x step_percent / 100`` multiplies the branch's voltage ratio, position in -N..N, as pandapower's
`tap_pos` of a tap changer of the type Ratio on the high-voltage side: positions above 0 lower the voltage behind it. A
request r in -1..1 asks for the position ``round(r N)``; `stepped.py` says when and how far it moves. Nothing is fed in:
the power flow gets t. Neglected: that the impedance of a transformer changes with its tap, the time of a move within a
step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jax import Array
from jaxtyping import Float

from neomflex_jax.devices.checks import refuse
from neomflex_jax.devices.device import Control, Observable
from neomflex_jax.devices.figures import Lines
from neomflex_jax.devices.stepped import StepParams, SteppedDevice, operations_term, recorded_steps
from neomflex_jax.loose_types import BusLabel

MOST_CHANGE = 0.5  # of the ratio: beyond it a power flow has hardly ever a solution


@dataclass(frozen=True)
class TapChanger(SteppedDevice):
    """A tap changer: its branch by the labels of its ends, the bus (by label) whose agent moves it, its steps."""

    table: ClassVar = "tap_changers"
    noun: ClassVar = "tap changer"
    prefix: ClassVar = "tap"
    word: ClassVar = "position"
    step_field: ClassVar = "step_percent"
    both_ways: ClassVar = True
    controls: ClassVar = (
        Control("tap_target", "position of the range, -1 the lowest, 1 the highest", lasting=True, rounded=True),
    )
    recorded: ClassVar = recorded_steps("tap", "position")
    observables: ClassVar = (Observable("position of {}", "of range", -1.0, 1.0),)
    costs: ClassVar = (operations_term("tap"),)
    drawn: ClassVar = {
        "positions": Lines("tap_bus_", "_position", "tap changer", "tap changers", "Positions of the tap changers")
    }
    table_families: ClassVar = (("tap_bus_", "_position"), ("tap_bus_", "_operations"))

    bus: BusLabel
    """Whose agent moves it, by the feeder's own number; a bus of some territory."""
    from_bus: BusLabel
    """End of the branch at which it sits."""
    to_bus: BusLabel
    """Other end of that branch: a transformer, or a line, which then has a regulator."""
    steps: int = 8
    """Positions on each side of 0. Unit: steps. Allowed: 1 .. 1000."""
    step_percent: float = 1.25
    """Change of the ratio by one step; a position above 0 lowers the voltage behind it. Allowed: above 0."""
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
    """Bus whose voltage band control keeps, one behind the branch; on feeders with phases their mean there. None:
    to_bus."""
    name: str = ""
    """Your name of it; two devices must not share one. Without one it is called after its kind and bus. Allowed:
    letters, digits, _ and -."""
    phases: tuple[int, ...] = ()
    """At which of its bus's phases it stands, each with an equal share of its power; for feeders with phases. Empty:
    all that the bus has. Unit: numbers of phases. Allowed: 1, 2, 3, each once."""

    def __post_init__(self) -> None:
        where = f"tap changer at bus {self.bus}"
        self.check(where)
        if not (self.step_percent > 0 and self.steps * self.step_percent <= 100 * MOST_CHANGE):
            allowed = f"be above 0, and steps x step_percent at most {100 * MOST_CHANGE:g}"
            raise refuse(where, allowed, step_percent=self.step_percent)
        if self.from_bus == self.to_bus:
            raise refuse(where, "differ from from_bus: it sits on the branch between both", to_bus=self.to_bus)
        if self.dead_band_pu is not None and self.dead_band_pu <= 0.01 * self.step_percent:
            allowed = f"be wider than a step of {self.step_percent} per cent, or it moves up and down for ever"
            raise refuse(where, allowed, dead_band_pu=self.dead_band_pu)

    @property
    def tap_branch(self) -> tuple[int, int]:
        """Ends of the branch whose ratio it multiplies."""
        return self.from_bus, self.to_bus

    @property
    def measured_bus(self) -> int | None:
        """The controlled bus."""
        own = self.to_bus if self.controlled_bus is None else self.controlled_bus
        return own if self.follows_rule else None

    @property
    def raising(self) -> int:
        """Direction in which positions raise the voltage of the controlled bus: down, but for that of the from end."""
        return 1 if self.controlled_bus == self.from_bus else -1

    @staticmethod
    def grid_effect(params: StepParams, position: Float[Array, " n_device"]) -> dict[str, Float[Array, " n_device"]]:
        """Return the factors on the ratios."""
        return {"tap_ratio": 1.0 + position * (0.01 * params.step_size)}
