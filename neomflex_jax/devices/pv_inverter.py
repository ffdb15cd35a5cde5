"""A PV inverter: active power follows the sun, reactive power is chosen inside the apparent-power circle.

``p = min(solar p_max, s)`` and ``q = a sqrt(s^2 - p^2)`` for a request ``a`` in -1..1; both in MW / Mvar **positive
into the grid** (positive q raises the voltage). ``solar`` is per unit of ``p_max``. Active power has priority.
"""

import math
from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from neomflex_jax.errors import InputError


@dataclass(frozen=True)
class PvInverter:
    """One inverter: its bus (by label) and ratings."""

    bus: int
    p_max_mw: float
    s_mva: float

    def __post_init__(self) -> None:
        for name in ("p_max_mw", "s_mva"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"PV inverter at bus {self.bus}: {name} = {getattr(self, name)} must be above 0")


def deliver_pv_power(
    q_fraction: ArrayLike, solar: ArrayLike, *, p_max_mw: ArrayLike, s_mva: ArrayLike
) -> tuple[Array, Array]:
    """Active and reactive power for a request in -1..1; elementwise over any shape.

    Returns
    -------
    p_mw, q_mvar
        Both positive into the grid, with p^2 + q^2 <= s^2.
    """
    p_mw = jnp.minimum(solar * jnp.asarray(p_max_mw), s_mva)
    return p_mw, jnp.asarray(q_fraction) * jnp.sqrt(jnp.maximum(jnp.asarray(s_mva) ** 2 - p_mw**2, 0.0))
