"""What a battery delivers of a request: the equations of `battery.py`, elementwise over any shape."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from neomflex_jax.devices.options import is_off, over, room_in_circle, times


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
    most_discharge = jnp.minimum(power_mw, times(store_gives, discharge_efficiency))
    store_takes = jnp.maximum(jnp.asarray(soc_max) - soc, 0.0) * mw_per_soc
    most_charge = jnp.minimum(power_mw, over(store_takes, charge_efficiency))
    p_mw = jnp.clip(p_requested_mw, -most_charge, most_discharge)
    if not is_off(available, True, p_mw):
        p_mw = jnp.where(available, p_mw, 0.0)
    drawn, put = over(p_mw, discharge_efficiency), times(p_mw, charge_efficiency)
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
