"""A load that sheds a share of its power, or defers some of it and catches up later.

``p = p_load - curtailed - deferred + caught_up`` and ``owed' = owed + h (deferred - caught_up)``, with powers in MW
**positive when consumed**, ``h`` the step in hours and ``owed`` in 0..buffer the energy in MWh still to be caught up.
What is shed is lost for the consumer, what is deferred is not; so over any span the energies obey
``sum p h = sum p_load h - sum curtailed h - (owed_end - owed_start)``.

Deferring is the storage equivalent of flexible demand (H. Hao, B. M. Sanandaji, K. Poolla and T. L. Vincent, "Aggregate
flexibility of thermostatically controlled loads", IEEE Transactions on Power Systems 30(1), 2015), without its
dissipation. Neglected: deadlines, rebound above what is owed, and what the consumer loses; to pay the debt back is the
controller's task.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from neomflex_jax.devices.checks import check_name, check_not_negative, refuse
from neomflex_jax.devices.options import is_off


@dataclass(frozen=True)
class FlexibleLoad:
    """The flexible part of the load at a bus (by label): how much may be shed, deferred and owed."""

    bus: int
    curtail_share: float = 0.0  # largest share of the load that may be shed
    shift_mw: float = 0.0  # largest power deferred or caught up
    buffer_mwh: float = 0.0  # largest energy owed
    name: str = ""

    def __post_init__(self) -> None:
        device = f"flexible load at bus {self.bus}"
        if not 0 <= self.curtail_share <= 1:
            raise refuse(device, "lie in 0..1", curtail_share=self.curtail_share)
        shifting = {"shift_mw": self.shift_mw, "buffer_mwh": self.buffer_mwh}
        check_not_negative(device, **shifting)
        if (self.shift_mw > 0) != (self.buffer_mwh > 0):
            raise refuse(device, "both be above 0 (to shift load) or both be 0", **shifting)
        if self.curtail_share == 0 and self.shift_mw == 0:
            allowed = "not all be 0: set curtail_share to shed load, shift_mw and buffer_mwh to shift it"
            raise refuse(device, allowed, curtail_share=self.curtail_share, **shifting)
        check_name(device, self.name)

    @property
    def label(self) -> str:
        """The name, or one made of the bus."""
        return self.name or f"load_{self.bus}"


def deliver_flexible_load(
    curtail_fraction: ArrayLike,
    shift_fraction: ArrayLike,
    p_load_mw: ArrayLike,
    owed_mwh: ArrayLike,
    *,
    curtail_share: ArrayLike,
    shift_mw: ArrayLike,
    buffer_mwh: ArrayLike,
    step_hours: float,
    available: ArrayLike = True,
) -> tuple[Array, Array, Array]:
    """Shed and shift as much of a load as asked and possible; elementwise over any shape.

    `curtail_fraction` in 0..1 is a share of what may be shed, `shift_fraction` in -1..1 one of `shift_mw`: positive
    defers, negative catches up. Deferred is at most what shedding leaves of the load and what the buffer can still owe,
    caught up at most what is owed. A load that is 0 or negative (a feed-in) has nothing to shed or defer. With
    `available` False the load is not controlled: it consumes `p_load_mw` and owes what it owed. The caller scales q
    with p (constant power factor).

    Returns
    -------
    p_mw, curtailed_mw, next_owed_mwh
        Consumption (at least 0 where the load is), what was shed of it, and the energy owed after the step.
    """
    p_load_mw, owed_mwh = jnp.asarray(p_load_mw), jnp.asarray(owed_mwh)
    curtail_fraction, shift_fraction = jnp.asarray(curtail_fraction), jnp.asarray(shift_fraction)
    if not is_off(available, True, p_load_mw):
        curtail_fraction = jnp.where(available, curtail_fraction, 0.0)
        shift_fraction = jnp.where(available, shift_fraction, 0.0)
    curtailed_mw = curtail_fraction * curtail_share * jnp.maximum(p_load_mw, 0.0)
    left_mw = p_load_mw - curtailed_mw
    can_owe_mw = jnp.maximum(jnp.asarray(buffer_mwh) - owed_mwh, 0.0) / step_hours
    can_defer_mw = jnp.minimum(jnp.maximum(left_mw, 0.0), can_owe_mw)
    deferred_mw = jnp.minimum(jnp.maximum(shift_fraction, 0.0) * shift_mw, can_defer_mw)
    can_catch_up_mw = jnp.maximum(owed_mwh, 0.0) / step_hours
    caught_up_mw = jnp.minimum(jnp.maximum(-shift_fraction, 0.0) * shift_mw, can_catch_up_mw)
    owed = owed_mwh + step_hours * (deferred_mw - caught_up_mw)
    # Takes off rounding only; a debt that starts outside 0..buffer stays where it is.
    next_owed_mwh = jnp.clip(owed, jnp.minimum(owed_mwh, 0.0), jnp.maximum(owed_mwh, buffer_mwh))
    return left_mw - deferred_mw + caught_up_mw, curtailed_mw, next_owed_mwh
