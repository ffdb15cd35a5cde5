"""A rule that a battery can follow with a clock and an eye on the sun: charge by day, discharge in the evening.

While Solar is above `sun` and the window is not full, it charges with the power that fills the whole window in
`charge_hours`; between the hours `evening` it discharges with the power that empties it in that time; otherwise it
rests. Its own state of charge limits both (`devices/battery.py`). Nothing else is used: no voltage, no forecast, nobody
else's state. Batteries larger than their rating allows do what the rating allows.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from neomflex_jax.devices import Battery
from neomflex_jax.environment import Environment, State


@dataclass(frozen=True)
class ClockRule:
    """Hours from midnight; Solar per unit."""

    sun: float = 0.3
    charge_hours: float = 5.0
    evening: tuple[float, float] = (17.0, 22.0)

    def fractions(
        self, env: Environment, state: State, fractions: Float[Array, " n_control"]
    ) -> Float[Array, " n_control"]:
        """Return the controls' fractions with those of all batteries' power set."""
        sizes, columns = env.params(Battery), env.action_layout.by_device["battery_p"]
        if not len(columns):
            return fractions
        hour = (state.step * env.scenario.step_hours) % 24.0
        solar = env.profiles.solar[state.day_row + state.step]
        window_mwh = (sizes.soc_max - sizes.soc_min) * sizes.capacity_mwh
        begin, end = self.evening
        charge = window_mwh / sizes.charge_efficiency / self.charge_hours / sizes.power_mw
        discharge = window_mwh * sizes.discharge_efficiency / (end - begin) / sizes.power_mw
        in_evening = (hour >= begin) & (hour < end)
        wanted = jnp.where(in_evening, discharge, jnp.where(solar > self.sun, -charge, 0.0))
        return fractions.at[columns].set(jnp.clip(wanted, -1.0, 1.0))
