"""A battery that keeps its energy inside a window by clipping its power.

``soc' = soc - h / e * (p / eta_d  if p > 0  else  eta_c p)`` with ``p`` in MW at the AC terminals, **positive when
discharging** (injecting into the grid), ``h`` the step in hours, ``e`` the capacity in MWh and ``soc`` the fraction 0
to 1 of it. ``eta_c`` and ``eta_d`` are one-way efficiencies, stored over drawn from the grid and delivered over drawn
from the store; a round trip returns ``eta_c eta_d``. Reactive power is ``q = a sqrt(s^2 - p^2)`` in Mvar, positive
into the grid, for a request ``a`` in -1..1 and the inverter's rating ``s``: active power has priority.

The model is the energy balance of F. Geth, C. Coffrin and D. M. Fobes, "A flexible storage model for power network
optimization", ACM e-Energy 2020, without its standby losses. Also neglected: efficiencies that depend on power,
temperature or state of charge, ageing, and losses that reactive power causes in the inverter.
"""

import math
from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from neomflex_jax.devices.checks import check_above_zero, check_name, refuse
from neomflex_jax.devices.options import is_off, room_in_circle


@dataclass(frozen=True)
class Battery:
    """One battery: its bus (by label), sizes, window and limits."""

    bus: int
    capacity_mwh: float
    power_mw: float
    soc_min: float = 0.2
    soc_max: float = 0.9
    soc_initial: float = 0.5
    charge_efficiency: float = 1.0  # one way
    discharge_efficiency: float = 1.0  # one way
    ramp_mw: float | None = None  # largest change of p_mw from one step to the next; None: no limit
    s_mva: float | None = None  # rating of a four-quadrant inverter; None: no reactive power
    name: str = ""

    def __post_init__(self) -> None:
        device = f"battery at bus {self.bus}"
        check_above_zero(device, capacity_mwh=self.capacity_mwh, power_mw=self.power_mw)
        if not 0 <= self.soc_min < self.soc_max <= 1:
            allowed = "satisfy 0 <= soc_min < soc_max <= 1"
            raise refuse(device, allowed, soc_min=self.soc_min, soc_max=self.soc_max)
        if not self.soc_min <= self.soc_initial <= self.soc_max:
            allowed = f"lie in soc_min..soc_max = {self.soc_min}..{self.soc_max}"
            raise refuse(device, allowed, soc_initial=self.soc_initial)
        for name in ("charge_efficiency", "discharge_efficiency"):
            if not 0 < getattr(self, name) <= 1:
                raise refuse(device, "lie above 0 and at most at 1 (one way)", **{name: getattr(self, name)})
        if self.ramp_mw is not None:
            check_above_zero(device, ramp_mw=self.ramp_mw)
        if self.s_mva is not None and not self.power_mw <= self.s_mva < math.inf:
            allowed = f"be at least power_mw = {self.power_mw} and finite; leave it out for no reactive power"
            raise refuse(device, allowed, s_mva=self.s_mva)
        check_name(device, self.name)

    @property
    def label(self) -> str:
        """The name, or one made of the bus."""
        return self.name or f"battery_{self.bus}"


def deliver_battery_power(
    p_requested_mw: ArrayLike,
    soc: ArrayLike,
    *,
    capacity_mwh: ArrayLike,
    power_mw: ArrayLike,
    soc_min: ArrayLike,
    soc_max: ArrayLike,
    step_hours: float,
    charge_efficiency: ArrayLike = 1.0,
    discharge_efficiency: ArrayLike = 1.0,
    previous_p_mw: ArrayLike = 0.0,
    ramp_mw: ArrayLike = math.inf,
    available: ArrayLike = True,
) -> tuple[Array, Array]:
    """Deliver as much of the request as ramp, rating and window allow; elementwise over any shape.

    The request is first moved to within `ramp_mw` of `previous_p_mw`, then clipped to rating and window: these always
    win, so that a battery that runs empty stops at once. One whose `soc` lies outside its window can only move back in.
    With `available` False it delivers nothing at once and keeps its energy.

    Returns
    -------
    p_mw, next_soc
        Delivered power at the AC terminals, positive discharging, and the state of charge after the step.
    """
    if not is_off(ramp_mw, math.inf, p_requested_mw):
        previous_p_mw, ramp_mw = jnp.asarray(previous_p_mw), jnp.asarray(ramp_mw)
        p_requested_mw = jnp.clip(p_requested_mw, previous_p_mw - ramp_mw, previous_p_mw + ramp_mw)
    mw_per_soc = jnp.asarray(capacity_mwh) / step_hours
    store_gives = jnp.maximum(soc - jnp.asarray(soc_min), 0.0) * mw_per_soc
    most_discharge = jnp.minimum(power_mw, _times(store_gives, discharge_efficiency))
    store_takes = jnp.maximum(jnp.asarray(soc_max) - soc, 0.0) * mw_per_soc
    most_charge = jnp.minimum(power_mw, _over(store_takes, charge_efficiency))
    p_mw = jnp.clip(p_requested_mw, -most_charge, most_discharge)
    if not is_off(available, True, p_mw):
        p_mw = jnp.where(available, p_mw, 0.0)
    drawn, put = _over(p_mw, discharge_efficiency), _times(p_mw, charge_efficiency)
    from_store = p_mw if drawn is put else jnp.where(p_mw > 0, drawn, put)
    return p_mw, jnp.asarray(soc) - from_store / mw_per_soc


def deliver_battery_q(
    q_fraction: ArrayLike, p_mw: ArrayLike, *, s_mva: ArrayLike, available: ArrayLike = True
) -> Array:
    """Reactive power for a request in -1..1 beside the delivered `p_mw`; elementwise over any shape.

    Returns
    -------
    q_mvar
        Positive into the grid, with p^2 + q^2 <= s^2; 0 where `s_mva` is 0 or the battery is not `available`.
    """
    q_mvar = jnp.asarray(q_fraction) * room_in_circle(s_mva, p_mw)
    return q_mvar if is_off(available, True, q_mvar) else jnp.where(available, q_mvar, 0.0)


def _times(power: Array, efficiency: ArrayLike) -> Array:
    return power if is_off(efficiency, 1.0, power) else power * jnp.asarray(efficiency)


def _over(power: Array, efficiency: ArrayLike) -> Array:
    return power if is_off(efficiency, 1.0, power) else power / jnp.asarray(efficiency)
