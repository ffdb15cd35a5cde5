"""Actions to requested set-points.

An agent's vector in [-1, 1] holds its batteries first (share of the power rating, positive discharging), then its PV
inverters (share of the reactive power that the apparent-power circle leaves). Padded entries are never read.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid.territories import TerritoryLayout, pad


def action_slots(layout: TerritoryLayout) -> tuple[np.ndarray, np.ndarray]:
    """Slots (n_agents, action_size) by device number, batteries before PV inverters, and the mask of real ones."""
    n_battery, n_pv = len(layout.battery_bus), len(layout.pv_bus)
    rows = [
        np.concatenate([own, n_battery + pv]).astype(int)
        for own, pv in zip(layout.batteries, layout.pv_inverters, strict=True)
    ]
    return pad(rows, fill=n_battery + n_pv)


def requested_fractions(action: Array, slots: np.ndarray, n_battery: int, n_pv: int) -> tuple[Array, Array]:
    """Give the requests in [-1, 1] by device: batteries (n_battery,), PV inverters (n_pv,).

    Values outside [-1, 1] are clipped; NaN counts as 0, so that a broken policy cannot poison the state.
    """
    where = [np.argwhere(slots == device)[0] for device in range(n_battery + n_pv)]
    index = np.array(where, int).reshape(-1, 2)
    fractions = action[index[:, 0], index[:, 1]]
    fractions = jnp.clip(jnp.where(jnp.isnan(fractions), 0.0, fractions), -1.0, 1.0)
    return fractions[:n_battery], fractions[n_battery:]
