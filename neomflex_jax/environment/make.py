"""From a scenario's name to an environment."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.environment.environment import Environment
from neomflex_jax.environment.step.actions import lay_out_actions, requests_of
from neomflex_jax.environment.step.dispatch import Stores, deliver, rating
from neomflex_jax.environment.step.injections import bus_injections
from neomflex_jax.errors import InputError
from neomflex_jax.fields import with_overrides
from neomflex_jax.grid import Feeder, load_feeder
from neomflex_jax.grid.parts import summarise_labels
from neomflex_jax.grid.territories import TerritoryLayout, layout_territories
from neomflex_jax.jax_settings import nan_is_a_value, platform_is_there
from neomflex_jax.powerflow import PowerFlow, PowerFlowResult, bind, calibrate, method_named
from neomflex_jax.profiles import Profiles, doubts_of, read_profiles, resolve_profiles
from neomflex_jax.scenario import Scenario, Uncertainty, load_scenario

CALIBRATION_SAMPLES, MILD_SHARE = 4096, 0.5


@platform_is_there()
@nan_is_a_value()
def make(
    scenario: str | Path | Scenario = "neom33", *, power_flow: str | PowerFlow | None = None, **overrides: Any
) -> Environment:
    """Build an environment.

    Parameters
    ----------
    scenario
        A packaged scenario's name, a TOML file, or a `Scenario`.
    power_flow
        A method's name or a bound method; None takes the scenario's.
    **overrides
        Any scenario field by name, for example ``profiles="my.csv"``, ``solar_penalty=True``.

    Raises
    ------
    InputError
        If the scenario, a field, a file or the method is not usable; the message says what is allowed.
    """
    overrides = {name: str(value) if isinstance(value, Path) else value for name, value in overrides.items()}
    if isinstance(power_flow, str):
        overrides["power_flow"] = power_flow
    chosen = (
        with_overrides(scenario, overrides) if isinstance(scenario, Scenario) else load_scenario(scenario, **overrides)
    )
    feeder = load_feeder(chosen.feeder)
    warn_of_own_generation(feeder)
    try:
        layout = _layout(chosen, feeder)
        _check_loads(chosen, feeder)
    except InputError as error:  # what only scenario and feeder together show
        raise InputError(f"scenario {_named(scenario)}: {error}") from None
    training = scenario_profiles(chosen, chosen.profiles)
    has_ratings = bool(np.isfinite(feeder.max_i_ka).any())
    method = power_flow if isinstance(power_flow, PowerFlow) else chosen.power_flow
    solver = bound_power_flow(method, feeder, chosen, training)
    feeder = jax.tree.map(jnp.asarray, feeder)  # in JAX's precision of the moment, as everything in an environment
    start_flow = _day_start_flow(feeder, training, solver)
    return Environment(feeder, training, solver, start_flow, chosen, layout, has_ratings)


def warn_of_own_generation(feeder: Feeder) -> None:
    """Warn of what a feeder's load hides: production that rises and falls with the demand, at midnight too."""
    own, producing = str(feeder.own_devices), np.asarray(feeder.load_p_mw) < 0
    if not own and producing.any():
        labels = [label for label, own_load in zip(feeder.bus_labels, producing, strict=True) if own_load]
        own = f"net generation at bus {summarise_labels(labels)} ({-feeder.load_p_mw[producing].sum():.4g} MW)"
    if own:
        advice = "take them out of the net (in_service = False) and state them as [[pv_inverters]] or [[batteries]]"
        warnings.warn(
            f"feeder {feeder.name!r}: generation in its load follows the demand curve, day and night: {own}; {advice}",
            stacklevel=3,
        )


def _layout(scenario: Scenario, feeder: Feeder) -> TerritoryLayout:
    return layout_territories(
        feeder,
        [(part.agent, part.buses) for part in scenario.territories],
        [battery.bus for battery in scenario.batteries],
        [inverter.bus for inverter in scenario.pv_inverters],
        [load.bus for load in scenario.flexible_loads],
    )


def _named(scenario: str | Path | Scenario) -> str:
    return repr(scenario.name) if isinstance(scenario, Scenario) else str(scenario)


def scenario_profiles(scenario: Scenario, source: str | Path) -> Profiles:
    """Read the days that a scenario plays from a series: its price column, its variant's factors, enough for it.

    Raises
    ------
    InputError
        As `read_profiles`; also if a forecast looks further ahead than the series is long.
    """
    path = resolve_profiles(source)
    profiles = read_profiles(path, scenario.steps_per_day, scenario.tariff_column)
    for doubt in doubts_of(path, profiles, scenario.step_hours):
        warnings.warn(f"{path}: {doubt}", stacklevel=3)
    ahead = scenario.observation.forecast_steps
    if ahead >= profiles.n_rows:
        raise InputError(
            f"forecast_steps = {ahead} is longer than the data: {path} has {profiles.n_rows} rows; "
            f"give at most {profiles.n_rows - 1}"
        )
    variant = scenario.chosen_variant
    return profiles.scaled(variant.demand_factor, variant.solar_factor)


@nan_is_a_value()
def with_power_flow(env: Environment, power_flow: str | PowerFlow) -> Environment:
    """Give the same task on another power flow; see `Environment.with_power_flow`.

    Raises
    ------
    InputError
        If there is no such method, or a bound one belongs to another feeder.
    """
    scenario = env.scenario
    name = power_flow if isinstance(power_flow, str) else power_flow.method
    scenario = with_overrides(scenario, {"power_flow": name})
    solver = bound_power_flow(power_flow, load_feeder(scenario.feeder), scenario, env.profiles)
    start_flow = _day_start_flow(env.feeder, env.profiles, solver)
    return replace(env, power_flow=solver, day_start_flow=start_flow, scenario=scenario)


def bound_power_flow(power_flow: str | PowerFlow, feeder: Feeder, scenario: Scenario, profiles: Profiles) -> PowerFlow:
    """Bind a method to a scenario's feeder, `calibrated` by a fit to its own injections on these days."""
    if isinstance(power_flow, str):
        if method_named(power_flow).fitted:
            return calibrate(feeder, *sample_injections(scenario, feeder, profiles, mild_share=MILD_SHARE))
        return bind(feeder, power_flow)
    if power_flow.grid.topology != feeder.topology:
        raise InputError(f"the given power flow was bound to another feeder than {feeder.name!r}")
    return power_flow


def _check_loads(scenario: Scenario, feeder: Feeder) -> None:
    for load in scenario.flexible_loads:
        if not feeder.load_p_mw[feeder.bus_position(load.bus)] > 0:
            raise InputError(
                f"flexible load {load.label!r}: bus {load.bus} of feeder {feeder.name!r} has no load; "
                "move it to a bus that has one"
            )


@nan_is_a_value()
def evaluation_environment(
    env: Environment, profiles: Profiles | None = None, *, disturbed: bool = False
) -> Environment:
    """Make the environment that policies are judged in: the days in file order, energies carried over, never stopping.

    The power flow stays the given environment's: a surrogate fitted to the training days is judged as it is. The
    scenario's random disturbances are left out unless `disturbed`; a noisy forecast stays noisy.

    Parameters
    ----------
    env
        The environment of training.
    profiles
        The days; None takes the scenario's `evaluation_profiles`.
    """
    scenario = evaluation_scenario(env.scenario, disturbed=disturbed)
    if profiles is None:
        profiles = scenario_profiles(scenario, scenario.evaluation_profiles)
    start_flow = _day_start_flow(env.feeder, profiles, env.power_flow)
    return replace(env, profiles=profiles, day_start_flow=start_flow, scenario=scenario)


def evaluation_scenario(scenario: Scenario, *, disturbed: bool = False) -> Scenario:
    """Give the scenario of `evaluation_environment`."""
    scenario = with_overrides(scenario, {"day_order": "file", "energies": "carried", "on_violation": "continue"})
    if disturbed:
        return scenario
    observation = replace(scenario.observation, sensor_noise_pu=0.0, missing_probability=0.0)
    return replace(scenario, uncertainty=Uncertainty(), observation=observation)


@nan_is_a_value()
def sample_injections(
    scenario: Scenario,
    feeder: Feeder,
    profiles: Profiles,
    n_samples: int = CALIBRATION_SAMPLES,
    seed: int = 0,
    *,
    mild_share: float = 0.0,
) -> tuple[Array, Array]:
    """Injections that the scenario can produce: random rows of the profiles, actions uniform in their ranges.

    Batteries are half full for it, and flexible loads owe half of what they may. In a `mild_share` of the samples all
    actions are scaled down by one more random factor: trained policies act mildly for much of the day.

    Returns
    -------
    p_injection_mw, q_injection_mvar
        Shapes (n_samples, n_bus), positive into the grid.
    """
    random = np.random.default_rng(seed)  # on the host: drawing with JAX would compile for longer than the fit takes
    actions = lay_out_actions(scenario)
    layout = _layout(scenario, feeder)
    rows = random.integers(0, profiles.n_rows, n_samples)
    action = random.uniform(-1.0, 1.0, (n_samples, *actions.mask.shape))
    mild = random.random((n_samples, 1, 1)) < mild_share
    action = np.where(mild, action * random.random((n_samples, 1, 1)), action)
    battery, loads = rating(scenario, "batteries"), rating(scenario, "flexible_loads")
    half_full = Stores(
        jnp.asarray((battery["soc_min"] + battery["soc_max"]) / 2.0),
        jnp.zeros(len(scenario.batteries)),
        jnp.asarray(loads["buffer_mwh"] / 2.0),
    )

    def injections(row: Array, action: Array) -> tuple[Array, Array]:
        demand = profiles.demand[row]
        delivered, _ = deliver(
            scenario,
            layout,
            requests_of(action, actions),
            half_full,
            load_p_mw=jnp.asarray(feeder.load_p_mw) * demand,
            load_q_mvar=jnp.asarray(feeder.load_q_mvar) * demand,
            solar=profiles.solar[row],
            in_service=(True, True, True),
        )
        return bus_injections(delivered, layout, feeder, battery_q="battery_q" in actions.by_device)

    return jax.jit(jax.vmap(injections))(rows, jnp.asarray(action, float))


@jax.jit
def _day_start_flow(feeder: Feeder, profiles: Profiles, solver: PowerFlow) -> PowerFlowResult:
    """Power flow of every day's first row with all devices at zero: what a reset observes."""
    demand = profiles.demand[:: profiles.steps_per_day, None]
    return jax.vmap(solver)(-jnp.asarray(feeder.load_p_mw) * demand, -jnp.asarray(feeder.load_q_mvar) * demand)
