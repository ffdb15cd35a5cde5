"""What a node's voltage costs, in the forms that the literature compares; all are 0 or more, elementwise in vm_pu.

band              distance outside the band, the original NeomFlex reward
l1                |v - 1|
l2                2 (v - 1)^2
bowl              2 |v - 1| - 0.095 where |v - 1| > 0.05, else 0.04 - 0.01 N(v; 1, 0.1) with the normal density N
bump              exp(-1 / (1 - (|v - 1| - 1)^4)) where 0 < |v - 1| < 2, else 0 (flat to all orders at v = 1)
courant_beltrami  squared distance outside the band

Source of all but `band`: J. Wang et al., "Multi-agent reinforcement learning for active voltage control on power
distribution networks", NeurIPS 2021 (MAPDN), as its program defines them; there their mean over the buses is taken.
Here an agent's are summed over its buses, so a weight of 1 / (number of buses) gives their mean for the team.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from neomflex_jax.scenario import Limits

Barrier = Callable[[Array, Limits], Array]


def outside_band(vm_pu: Array, limits: Limits) -> Array:
    """Distance outside the band."""
    return jnp.maximum(vm_pu - limits.band_max_pu, 0.0) + jnp.maximum(limits.band_min_pu - vm_pu, 0.0)


def _l1(vm_pu: Array, limits: Limits) -> Array:
    return jnp.abs(vm_pu - 1.0)


def _l2(vm_pu: Array, limits: Limits) -> Array:
    return 2.0 * (vm_pu - 1.0) ** 2


def _bowl(vm_pu: Array, limits: Limits) -> Array:
    off, width = jnp.abs(vm_pu - 1.0), 0.1
    density = jnp.exp(-0.5 * (off / width) ** 2) / (width * math.sqrt(2.0 * math.pi))
    return jnp.where(off > 0.05, 2.0 * off - 0.095, 0.04 - 0.01 * density)


def _bump(vm_pu: Array, limits: Limits) -> Array:
    off = jnp.abs(vm_pu - 1.0)
    room = 1.0 - (off - 1.0) ** 4
    inside = room > 0
    return jnp.where(inside, jnp.exp(-1.0 / jnp.where(inside, room, 1.0)), 0.0)


def _courant_beltrami(vm_pu: Array, limits: Limits) -> Array:
    above, below = jnp.maximum(vm_pu - limits.band_max_pu, 0.0), jnp.maximum(limits.band_min_pu - vm_pu, 0.0)
    return above**2 + below**2


BARRIER_FUNCTIONS: dict[str, Barrier] = {
    "band": outside_band,
    "l1": _l1,
    "l2": _l2,
    "bowl": _bowl,
    "bump": _bump,
    "courant_beltrami": _courant_beltrami,
}
