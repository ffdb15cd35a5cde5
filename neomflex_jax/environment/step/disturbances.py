"""What a day draws at random, from its key and inside jit; what a scenario does not ask for is None and costs nothing.

Factors of growth, of buses' loads and of branches' impedances are uniform and hold a day. Profile noise is drawn anew
every step: ``value max(1 + sigma n, 0)`` with n standard normal. An outage takes a device away from a random
step on; a missing agent is away all day.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Int

from neomflex_jax.grid import AnyFeeder, Feeder
from neomflex_jax.one_line import one_line
from neomflex_jax.profiles import Profiles
from neomflex_jax.profiles.by_element import ElementSeries
from neomflex_jax.scenario import Scenario


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Today:
    """One day's draw."""

    growth: Float[Array, " 2"] | None = None  # factors on Demand and Solar
    load_factor: Float[Array, " n_load"] | None = None
    impedance_factor: Float[Array, "2 n_branch"] | None = None  # on r and x
    outage_step: Int[Array, " n_device"] | None = None  # first step without the device, after the day's last if none
    missing: Bool[Array, " n_agents"] | None = None
    noise_key: Array | None = None  # () of everything that is drawn step by step

    __repr__ = one_line


def draw_today(key: Array, scenario: Scenario, feeder: AnyFeeder) -> Today:
    """Draw a day's disturbances."""
    config, seen, steps = scenario.uncertainty, scenario.observation, scenario.steps_per_day
    growth_key, load_key, line_key, outage_key, missing_key, noise_key = jax.random.split(key, 6)
    growth = load_factor = impedance_factor = outage_step = missing = None
    if config.varies_growth:
        low, high = (jnp.array(ends) for ends in zip(config.load_growth, config.pv_growth, strict=True))
        growth = low + (high - low) * jax.random.uniform(growth_key, (2,))
    if config.varies_loads:
        load_factor = 1.0 + config.demand_spread * jax.random.uniform(load_key, np.shape(feeder.load_p_mw), minval=-1.0)
    if config.line_error > 0 and isinstance(feeder, Feeder):
        shape = (2, feeder.topology.n_branch)
        impedance_factor = 1.0 + config.line_error * jax.random.uniform(line_key, shape, minval=-1.0)
    if config.outage_probability > 0:
        which_key, when_key = jax.random.split(outage_key)
        n_device = len(scenario.devices)
        fails = jax.random.bernoulli(which_key, config.outage_probability, (n_device,))
        outage_step = jnp.where(fails, jax.random.randint(when_key, (n_device,), 0, steps), steps)
    if seen.missing_probability > 0:
        missing = jax.random.bernoulli(missing_key, seen.missing_probability, (len(scenario.agents),))
    return Today(growth, load_factor, impedance_factor, outage_step, missing, noise_key if _draws(scenario) else None)


def _draws(scenario: Scenario) -> bool:
    seen = scenario.observation
    noisy_forecast = seen.forecast_steps > 0 and seen.forecast == "noisy"
    return scenario.uncertainty.profile_noise > 0 or seen.sensor_noise_pu > 0 or noisy_forecast


PROFILE_NOISE, SENSOR_NOISE, FORECAST_NOISE = range(3)


def step_key(today: Today, purpose: int, step: Array) -> Array:
    """Key of one purpose at one step of the day."""
    assert today.noise_key is not None
    return jax.random.fold_in(jax.random.fold_in(today.noise_key, purpose), step)


def demand_and_solar(profiles: Profiles, scenario: Scenario, today: Today, row: Array, step: Array) -> Array:
    """Demand and Solar, (2,), of a row that is the day's `step`; beyond midnight, on another day, undisturbed."""
    values = jnp.stack([profiles.demand[row], profiles.solar[row]])
    return _disturbed(values, scenario, today, step, lambda factors: factors)


def element_values(own: ElementSeries, scenario: Scenario, today: Today, row: Array, step: Array) -> Array:
    """Series by element, (n_series,), likewise: of consumers disturbed as Demand is, of generators as Solar is."""
    return _disturbed(jnp.take(own.values, row, axis=0, mode="clip"), scenario, today, step, own.scaled)


def _disturbed(
    values: Array, scenario: Scenario, today: Today, step: Array, of_values: Callable[[Array], Array]
) -> Array:
    """Values under the day's growth and the step's noise; `of_values` makes of factors (2,) those of the values."""
    disturbed = values
    if today.growth is not None:
        disturbed = disturbed * of_values(today.growth)
    if scenario.uncertainty.profile_noise > 0:
        noise = jax.random.normal(step_key(today, PROFILE_NOISE, step), (2,))
        disturbed = disturbed * of_values(jnp.maximum(1.0 + scenario.uncertainty.profile_noise * noise, 0.0))
    return values if disturbed is values else jnp.where(step < scenario.steps_per_day, disturbed, values)


def in_service(today: Today, scenario: Scenario, step: Array) -> dict[str, Array]:
    """Which devices are in service, (n_device,) bool by table; empty where all are."""
    if today.outage_step is None:
        return {}
    out = (step >= today.outage_step) & (step < today.outage_step + scenario.uncertainty.outage_steps)
    ends = np.cumsum([len(scenario.of(kind)) for kind in scenario.kinds])
    return {kind.table: ~part for kind, part in zip(scenario.kinds, jnp.split(out, ends[:-1]), strict=True)}
