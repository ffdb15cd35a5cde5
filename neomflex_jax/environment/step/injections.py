"""Set-points and loads to net bus injections, positive into the grid.

``p = battery + pv - load``, ``q = battery + pv - load``, in MW and Mvar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.territories import TerritoryLayout

if TYPE_CHECKING:
    from neomflex_jax.environment.step.dispatch import Delivered


def bus_injections(
    delivered: Delivered,
    layout: TerritoryLayout,
    feeder: Feeder,
    *,
    battery_q: bool,
    load_factors: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """Active and reactive injections of one step, shapes (n_bus,).

    `battery_q`: whether any battery has reactive power. `load_factors`: on all nominal p and q, where loads are nothing
    else; then they are one more row of the product that brings the devices to their buses, instead of passes over all
    buses of their own.
    """
    at_bus = np.eye(feeder.n_bus)
    places = [at_bus[layout.pv_bus], at_bus[layout.battery_bus]]
    p_parts, p_rows = [delivered.pv_p_mw, delivered.battery_p_mw], list(places)
    q_parts, q_rows = [delivered.pv_q_mvar], places[:1]
    if battery_q:
        q_parts, q_rows = [*q_parts, delivered.battery_q_mvar], list(places)
    if load_factors is None:
        return (
            _product(p_parts, p_rows) - delivered.load_p_mw,
            _product(q_parts, q_rows) - delivered.load_q_mvar,
        )
    p_load, q_load = (-jnp.asarray(load)[None] for load in (feeder.load_p_mw, feeder.load_q_mvar))
    p_factor, q_factor = (factor[None] for factor in load_factors)
    return _product([*p_parts, p_factor], [*p_rows, p_load]), _product([*q_parts, q_factor], [*q_rows, q_load])


def sum_at_bus(values: Array, bus: np.ndarray, n_bus: int) -> Array:
    """Add device values (n_device,) at their buses, (n_bus,)."""
    return _product([values], [np.eye(n_bus)[bus]])


def _product(parts: list[Array], rows: list[np.ndarray | Array]) -> Array:
    # a small product: XLA turns a scatter into a serial loop on CPU
    values = jnp.concatenate(parts)
    with jax.default_matmul_precision("highest"):
        return values @ jnp.concatenate([jnp.asarray(part, values.dtype) for part in rows])
