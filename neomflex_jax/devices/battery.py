"""A lossless battery that keeps its energy inside a window by clipping its power.

``soc' = soc - p h / e`` with ``p`` in MW **positive when discharging** (injecting into the grid), ``h`` the step in
hours, ``e`` the capacity in MWh and ``soc`` the fraction 0 to 1 of it. Delivered power is the request clipped to the
rating and to what the window ``soc_min .. soc_max`` leaves.
"""

import math
from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from neomflex_jax.errors import InputError


@dataclass(frozen=True)
class Battery:
    """One battery: its bus (by label), sizes and window."""

    bus: int
    capacity_mwh: float
    power_mw: float
    soc_min: float = 0.2
    soc_max: float = 0.9
    soc_initial: float = 0.5

    def __post_init__(self) -> None:
        for name in ("capacity_mwh", "power_mw"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"battery at bus {self.bus}: {name} = {getattr(self, name)} must be above 0")
        if not 0 <= self.soc_min < self.soc_max <= 1:
            raise InputError(
                f"battery at bus {self.bus}: soc_min = {self.soc_min}, soc_max = {self.soc_max}; "
                "need 0 <= soc_min < soc_max <= 1"
            )
        if not self.soc_min <= self.soc_initial <= self.soc_max:
            raise InputError(
                f"battery at bus {self.bus}: soc_initial = {self.soc_initial} must lie in "
                f"soc_min..soc_max = {self.soc_min}..{self.soc_max}"
            )


def deliver_battery_power(
    p_requested_mw: ArrayLike,
    soc: ArrayLike,
    *,
    capacity_mwh: ArrayLike,
    power_mw: ArrayLike,
    soc_min: ArrayLike,
    soc_max: ArrayLike,
    step_hours: float,
) -> tuple[Array, Array]:
    """Deliver as much of the request as rating and window allow; elementwise over any shape.

    Returns
    -------
    p_mw, next_soc
        Delivered power, positive discharging, and the state of charge after the step.
    """
    mw_per_soc = jnp.asarray(capacity_mwh) / step_hours
    most_discharge = jnp.minimum(power_mw, jnp.maximum(soc - jnp.asarray(soc_min), 0.0) * mw_per_soc)
    most_charge = jnp.minimum(power_mw, jnp.maximum(jnp.asarray(soc_max) - soc, 0.0) * mw_per_soc)
    p_mw = jnp.clip(p_requested_mw, -most_charge, most_discharge)
    return p_mw, jnp.asarray(soc) - p_mw / mw_per_soc
