"""Set-points and loads to net bus injections, positive into the grid.

``p = battery + pv - load``, ``q = battery + pv - load``, in MW and Mvar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid.territories import TerritoryLayout

if TYPE_CHECKING:
    from neomflex_jax.environment.dispatch import Delivered


def bus_injections(delivered: Delivered, layout: TerritoryLayout, *, battery_q: bool) -> tuple[Array, Array]:
    """Active and reactive injections of one step, shapes (n_bus,); `battery_q`: whether any battery has some."""
    n_bus = delivered.load_p_mw.shape[-1]
    p_mw = (
        sum_at_bus(delivered.battery_p_mw, layout.battery_bus, n_bus)
        + sum_at_bus(delivered.pv_p_mw, layout.pv_bus, n_bus)
        - delivered.load_p_mw
    )
    q_mvar = sum_at_bus(delivered.pv_q_mvar, layout.pv_bus, n_bus) - delivered.load_q_mvar
    if battery_q:
        q_mvar = q_mvar + sum_at_bus(delivered.battery_q_mvar, layout.battery_bus, n_bus)
    return p_mw, q_mvar


def sum_at_bus(values: Array, bus: np.ndarray, n_bus: int) -> Array:
    """Add device values (n_device,) at their buses, (n_bus,)."""
    # a small constant product: XLA turns a scatter into a serial loop on CPU
    with jax.default_matmul_precision("highest"):
        return values @ jnp.asarray(np.eye(n_bus)[bus], values.dtype)
