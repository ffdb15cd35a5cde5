"""The values of a step that anybody can see, in the order of `observations.py`: measured, forecast, or on the clock.

A sensor's noise is normal and additive, on voltages. Forecasts of Demand and Solar, for the steps beyond the next:
`perfect` is what will come while the day lasts, and beyond midnight the file's rows; `persistence` repeats the same
hours of the file's last day that is over by then; `noisy` is perfect times ``1 + sigma sqrt(lead / furthest) n``, not
below 0, drawn every step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jax import Array

from neomflex_jax.environment.step.disturbances import FORECAST_NOISE, SENSOR_NOISE, Today, demand_and_solar, step_key
from neomflex_jax.environment.step.observations import hide_missing

if TYPE_CHECKING:
    from neomflex_jax.environment.environment import Environment


def measure(
    env: Environment, today: Today, row: Array, step: Array, vm_pu: Array, battery_soc: Array, owed_mwh: Array
) -> Array:
    """Values (n_values,) after a step: voltages and energies as they are, the rest of the next `row`, day's `step`."""
    scenario = env.scenario
    sensed = vm_pu - 1.0
    if scenario.observation.sensor_noise_pu > 0:
        noise = jax.random.normal(step_key(today, SENSOR_NOISE, step), sensed.shape, sensed.dtype)
        sensed = sensed + scenario.observation.sensor_noise_pu * noise
    parts = [sensed, demand_and_solar(env.profiles, scenario, today, row, step)]
    ahead = jnp.arange(1, scenario.observation.forecast_steps + 1)
    if len(ahead):
        parts.append(_forecast(env, today, row, step, ahead).ravel())
    if env.profiles.price is not None:
        parts.append(env.profiles.price[(row + jnp.append(jnp.zeros(1, int), ahead)) % env.profiles.n_rows])
    parts.append(jnp.clip(battery_soc, 0.0, 1.0))  # rounding may leave an empty battery a hair below
    if scenario.flexible_loads:
        parts.append(_share(owed_mwh, jnp.array([load.buffer_mwh for load in scenario.flexible_loads])))
    steps = scenario.steps_per_day
    time_of_day = (row % steps) / (steps - 1)
    values = jnp.concatenate([*parts, time_of_day[None]])
    return values if today.missing is None else hide_missing(env.observation_layout, values, today.missing)


def _forecast(env: Environment, today: Today, row: Array, step: Array, ahead: Array) -> Array:
    """Demand and Solar of the steps `ahead` of the next, (2, forecast_steps)."""
    scenario, profiles = env.scenario, env.profiles
    config = scenario.observation
    rows = (row + ahead) % profiles.n_rows
    if config.forecast == "persistence":
        rows = (rows - scenario.steps_per_day * (1 + ahead // scenario.steps_per_day)) % profiles.n_rows
        return jnp.stack([profiles.demand[rows], profiles.solar[rows]])
    values = jax.vmap(lambda row, step: demand_and_solar(profiles, scenario, today, row, step), out_axes=1)(
        rows, step + ahead
    )
    if config.forecast == "perfect":
        return values
    noise = jax.random.normal(step_key(today, FORECAST_NOISE, step), values.shape, values.dtype)
    spread = config.forecast_noise * jnp.sqrt(ahead / config.forecast_steps)
    return values * jnp.maximum(1.0 + spread * noise, 0.0)


def _share(part: Array, whole: Array) -> Array:
    return part / jnp.where(whole > 0, whole, 1.0)
