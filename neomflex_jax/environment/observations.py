"""What each agent sees: its own territory, and nothing else of the grid.

``[vm_pu - 1 at its buses, Demand, Solar, state of charge of its batteries, time of day k / (steps_per_day - 1)]``.
Voltages and charge are those after the action; Demand, Solar and time are the next step's.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.grid.territories import TerritoryLayout, pad


def observation_slots(layout: TerritoryLayout, n_bus: int) -> tuple[np.ndarray, np.ndarray]:
    """Index of every observation entry in `observe`'s list of values, (n_agents, observation_size), and the mask."""
    demand, solar, first_soc = n_bus, n_bus + 1, n_bus + 2
    time = first_soc + len(layout.battery_bus)
    rows = [
        np.concatenate([buses, [demand, solar], first_soc + batteries, [time]]).astype(int)
        for buses, batteries in zip(layout.buses, layout.batteries, strict=True)
    ]
    return pad(rows, fill=time + 1)


def observe(
    slots: np.ndarray, *, vm_pu: Array, demand: Array, solar: Array, battery_soc: Array, time_of_day: Array
) -> Array:
    """Observations of all agents, (n_agents, observation_size), zero where padded."""
    scalars = jnp.stack([demand, solar])
    ending = jnp.stack([time_of_day, jnp.zeros_like(time_of_day)])
    values = jnp.concatenate([vm_pu - 1.0, scalars, battery_soc, ending])
    return values[slots]
