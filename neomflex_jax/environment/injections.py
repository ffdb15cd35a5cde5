"""Set-points and profiles to net bus injections, positive into the grid.

``p = -load_p demand + battery + pv``, ``q = -load_q load_q_factor + pv``, in MW and Mvar.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.territories import TerritoryLayout


def bus_injections(
    feeder: Feeder,
    layout: TerritoryLayout,
    *,
    demand: Array,
    load_q_factor: Array,
    battery_p_mw: Array,
    pv_p_mw: Array,
    pv_q_mvar: Array,
) -> tuple[Array, Array]:
    """Active and reactive injections of one step, shapes (n_bus,)."""
    # a small constant product: XLA turns a scatter into a serial loop on CPU
    battery_at_bus = np.eye(feeder.n_bus)[layout.battery_bus]
    pv_at_bus = np.eye(feeder.n_bus)[layout.pv_bus]
    with jax.default_matmul_precision("highest"):
        p_mw = battery_p_mw @ battery_at_bus + pv_p_mw @ pv_at_bus - jnp.asarray(feeder.load_p_mw) * demand
        q_mvar = pv_q_mvar @ pv_at_bus - jnp.asarray(feeder.load_q_mvar) * load_q_factor
    return p_mw, q_mvar
