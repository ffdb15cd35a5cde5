"""What a device meets in a step: the hour, load, sun, prices, sessions, and what other devices at its bus do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from jax import Array
from jaxtyping import Float, Int

InService: TypeAlias = Array | bool  # (n_device,) bool; True: all of them, known beforehand


class Sessions(NamedTuple):
    """Whom a step of a sessions' file has at each device, (n_device,)."""

    energy_mwh: Float[Array, " n_device"]  # wanted by a vehicle that comes in this step; 0 where none does
    power_mw: Float[Array, " n_device"]  # most that the vehicle there may draw; 0 where none is
    ends: Float[Array, " n_device"]  # 1 where it leaves at the step's end


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What a device meets in a step."""

    step_hours: float
    step: Int[Array, ""]  # of the day
    demand: Float[Array, ""]  # factor on nominal loads
    solar: Float[Array, "*n_device"]  # per unit of a rating: one for all, or each device's own
    price: Float[Array, ""] | None  # per MWh; None without a tariff
    in_service: InService
    load: Callable[[], tuple[Array, Array]]  # p and q (n_device,) consumed at its bus by now, in MW and Mvar
    others_p_mw: Callable[[], Array]  # (n_device,) what kinds of earlier turns feed in at its bus, loads left out
    outdoor_temperature_c: Float[Array, ""] | None = None  # None where `[profiles]` names no column of it
    sessions: Sessions | None = None  # of the kind's devices; None where no file has them

    @property
    def hour(self) -> Array:
        """Hours since midnight, ()."""
        return (self.step * self.step_hours) % 24.0
