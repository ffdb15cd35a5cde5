"""A PV inverter: active power follows the sun, both powers stay inside the apparent-power circle.

``p = min(w, s)``, ``q = a sqrt(s^2 - p^2)`` where active power has priority; ``q = a s``, ``p = min(w, sqrt(s^2 -
q^2))`` where reactive power has it; for a request ``a`` in -1..1, in MW / Mvar **positive into the grid** (positive q
raises the voltage). The wanted power is ``w = min((1 - c) solar p_max, limit)`` with ``solar`` per unit of ``p_max``,
the curtailed share ``c`` in 0..1 and what an export limit leaves, ``max(0, export limit + load - battery)`` at that
bus. An inverter with ``s > p_max`` is oversized: it has reactive power left in full sun.

The circle is that of K. Turitsyn, P. Sulc, S. Backhaus and M. Chertkov, "Options for control of reactive power by
distributed photovoltaic generators", Proceedings of the IEEE 99(6), 2011; the priorities are what grid codes call
watt and var priority. Neglected: the inverter's losses, limits of its power factor, and its limit being one of current
(less power at low voltage).
"""

import math
from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from neomflex_jax.devices.checks import check_above_zero, check_name, check_not_negative, refuse
from neomflex_jax.devices.options import is_off, room_in_circle


@dataclass(frozen=True)
class PvInverter:
    """One inverter: its bus (by label), ratings and what may be asked of it."""

    bus: int
    p_max_mw: float
    s_mva: float
    curtailable: bool = False
    priority: str = "p"  # of active ("p") or reactive ("q") power where the circle has no room for both
    export_limit_mw: float | None = None  # of the bus's net export, after load and battery; None: no limit
    name: str = ""

    def __post_init__(self) -> None:
        device = f"PV inverter at bus {self.bus}"
        check_above_zero(device, p_max_mw=self.p_max_mw, s_mva=self.s_mva)
        if not isinstance(self.curtailable, bool):
            raise refuse(device, "be True or False", curtailable=self.curtailable)
        if self.priority not in ("p", "q"):
            raise refuse(device, "be 'p' or 'q'", priority=self.priority)
        if self.export_limit_mw is not None:
            check_not_negative(device, export_limit_mw=self.export_limit_mw)
        check_name(device, self.name)

    @property
    def label(self) -> str:
        """The name, or one made of the bus."""
        return self.name or f"pv_{self.bus}"


def deliver_pv_power(
    q_fraction: ArrayLike,
    solar: ArrayLike,
    *,
    p_max_mw: ArrayLike,
    s_mva: ArrayLike,
    curtail_fraction: ArrayLike = 0.0,
    q_priority: ArrayLike = False,
    p_limit_mw: ArrayLike = math.inf,
    available: ArrayLike = True,
) -> tuple[Array, Array]:
    """Active and reactive power for a request in -1..1; elementwise over any shape.

    `curtail_fraction` in 0..1 is the share of the available power solar p_max that is given up, `p_limit_mw` what
    `export_room_mw` leaves. What stays unused, solar p_max - p, is never below 0; it includes what the rating clips. An
    inverter that is not `available` gives neither power.

    Returns
    -------
    p_mw, q_mvar
        Both positive into the grid, with p^2 + q^2 <= s^2.
    """
    wanted = solar * jnp.asarray(p_max_mw)
    if not is_off(curtail_fraction, 0.0, wanted):
        wanted = wanted * (1.0 - jnp.asarray(curtail_fraction))
    if not is_off(p_limit_mw, math.inf, wanted):
        wanted = jnp.minimum(wanted, p_limit_mw)
    if not is_off(available, True, wanted):
        wanted, q_fraction = jnp.where(available, wanted, 0.0), jnp.where(available, q_fraction, 0.0)
    q_fraction = jnp.asarray(q_fraction)
    if is_off(q_priority, False, wanted):
        p_mw = jnp.minimum(wanted, s_mva)
        return p_mw, q_fraction * room_in_circle(s_mva, p_mw)
    p_mw = jnp.minimum(wanted, jnp.where(q_priority, room_in_circle(s_mva, q_fraction * s_mva), s_mva))
    return p_mw, q_fraction * jnp.where(q_priority, s_mva, room_in_circle(s_mva, p_mw))


def export_room_mw(export_limit_mw: ArrayLike, load_p_mw: ArrayLike, battery_p_mw: ArrayLike) -> Array:
    """PV power that may flow at a bus before its net export, PV + battery - load, passes the limit; elementwise.

    Never below 0: a battery that exports more than the limit by itself leaves nothing, and is not held back here.
    """
    return jnp.maximum(jnp.asarray(export_limit_mw) + load_p_mw - jnp.asarray(battery_p_mw), 0.0)
