"""From a scenario's name to an environment."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from neomflex_jax.environment.binding import bound_power_flow, day_start_flow, layout_of
from neomflex_jax.environment.dry_run import try_kinds, try_parts
from neomflex_jax.environment.environment import Environment
from neomflex_jax.environment.limited_branches import LimitedBranches, limited_branches
from neomflex_jax.environment.measured_buses import check_measured_buses
from neomflex_jax.environment.own_series import check_loads_of_devices, own_generation_text, read_scenario_profiles
from neomflex_jax.environment.phases import check_neutrals, check_playable_with_phases, check_playable_without_phases
from neomflex_jax.environment.step.measurements import Block
from neomflex_jax.environment.step.rewards import Term
from neomflex_jax.environment.users_parts import with_users_parts
from neomflex_jax.errors import InputError
from neomflex_jax.fields import with_overrides
from neomflex_jax.grid import AnyFeeder, Feeder, UnbalancedFeeder, load_feeder
from neomflex_jax.grid.territories import TerritoryLayout
from neomflex_jax.jax_settings import nan_is_a_value, platform_is_there
from neomflex_jax.powerflow import PowerFlow, UnbalancedPowerFlow
from neomflex_jax.profiles import Profiles, SeriesConfig, doubts_of, resolve_profiles
from neomflex_jax.profiles.config import PLAIN
from neomflex_jax.scenario import Scenario, Uncertainty, load_scenario


@platform_is_there()
@nan_is_a_value()
def make(
    scenario: str | Path | Scenario = "neom33",
    *,
    power_flow: str | PowerFlow | UnbalancedPowerFlow | None = None,
    reward_terms: Mapping[str, Term] | None = None,
    observations: Sequence[Block] = (),
    **overrides: object,
) -> Environment:
    """Build an environment.

    Parameters
    ----------
    scenario
        A packaged scenario's name, a TOML file, or a `Scenario`.
    power_flow
        A method's name or a bound method; None takes the scenario's.
    reward_terms
        Further terms of every agent's local reward, by name: ``term(task, outcome)`` returns (n_agents,), costs below
        0; `environment/step/rewards.py` has what both arguments hold. The environment's scenario then names them.
    observations
        Further blocks of what can be seen of a step, after the scenario's own; see `environment/step/measurements.py`.
        The environment's scenario then names them.
    **overrides
        Any scenario field by name, for example ``profiles="my.csv"``, ``solar_penalty=True``.

    Returns
    -------
    Environment
        A pytree: pure `reset` and `step` for one copy, which `jax.vmap` makes thousands of.

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
    chosen, terms, blocks = with_users_parts(chosen, reward_terms or {}, observations)
    feeder = load_feeder(chosen.feeder)
    warn_of_own_generation(feeder, chosen.series)
    name = repr(scenario.name) if isinstance(scenario, Scenario) else str(scenario)
    layout, limited = _laid_out(chosen, feeder, name)
    training = scenario_profiles(chosen, chosen.profiles, feeder)
    has_ratings = isinstance(feeder, Feeder) and bool(np.isfinite(feeder.max_i_ka).any())
    method = chosen.power_flow if power_flow is None or isinstance(power_flow, str) else power_flow
    solver = bound_power_flow(method, feeder, chosen, training)
    if isinstance(feeder, UnbalancedFeeder) and isinstance(solver, UnbalancedPowerFlow):
        check_neutrals(chosen, feeder, solver)
    feeder = jax.tree.map(jnp.asarray, feeder)  # in JAX's precision of the moment, as everything in an environment
    start_flow = day_start_flow(feeder, training, solver, chosen.begins_every)
    parts = (feeder, training, chosen, layout, has_ratings, solver, start_flow)
    env = Environment(*parts, limited=limited, reward_terms=terms, observations=blocks)
    _check_extensions(env)
    return env


def _check_extensions(env: Environment) -> None:
    """Try what users added to the task; see `dry_run.py`."""
    try_kinds(env)
    if env.reward_terms or env.observations:
        try_parts(env, env.day_start_flow)


def warn_of_own_generation(feeder: AnyFeeder, series: SeriesConfig = PLAIN) -> None:
    """Warn of what a feeder's own generators and storages follow by a guess, no column being stated for them."""
    told = own_generation_text(feeder, series, sure=False)
    if told is not None:
        warnings.warn(f"feeder {feeder.name!r}: {told}", stacklevel=3)


def _laid_out(scenario: Scenario, feeder: AnyFeeder, name: str) -> tuple[TerritoryLayout, LimitedBranches | None]:
    """Lay a scenario out on its feeder; `name` is what the user calls it.

    Raises
    ------
    InputError
        On what only scenario and feeder together show: buses and branches that are not there, devices out of place.
    """
    try:
        layout = layout_of(scenario, feeder)
        if isinstance(feeder, UnbalancedFeeder):
            check_playable_with_phases(scenario, feeder)
            return layout, limited_branches(scenario, feeder)
        check_playable_without_phases(scenario, feeder)
        _check_places(scenario, feeder)
        check_loads_of_devices(scenario, feeder)
        check_measured_buses(scenario, feeder)
        return layout, limited_branches(scenario, feeder)
    except InputError as error:
        raise InputError(f"scenario {name}: {error}") from None


def scenario_profiles(scenario: Scenario, source: str | Path, feeder: AnyFeeder | None = None) -> Profiles:
    """Read the days that a scenario plays from a series: its columns, its variant's factors, enough for it.

    `feeder` is the scenario's; None loads it.

    Raises
    ------
    InputError
        As `read_scenario_profiles`; also if a forecast looks further ahead than the series is long.
    """
    path = resolve_profiles(source)
    feeder = load_feeder(scenario.feeder) if feeder is None else feeder
    profiles = read_scenario_profiles(scenario, path, feeder)
    for doubt in doubts_of(path, profiles, scenario.step_hours) if scenario.series == PLAIN else ():
        warnings.warn(f"{path}: {doubt}", stacklevel=3)
    ahead = scenario.observation.forecast_steps
    if ahead >= profiles.n_rows:
        raise InputError(
            f"forecast_steps = {ahead} is longer than the data: {path} has {profiles.n_rows} rows; "
            f"give at most {profiles.n_rows - 1}"
        )
    variant = scenario.chosen_variant
    return profiles.scaled(variant.demand_factor, variant.solar_factor)


def _check_places(scenario: Scenario, feeder: AnyFeeder) -> None:
    for device in scenario.devices:
        refusal = device.refusal(float(feeder.load_p_mw[feeder.nodes.at[device.bus]].sum()))
        if refusal is not None:
            where = f"{device.noun} {device.label!r}: bus {device.bus} of feeder {feeder.name!r}"
            raise InputError(f"{where} {refusal}")


WHOLE_DAYS = {"day_order": "file", "energies": "carried", "on_violation": "continue", "episode_steps": 0}


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
        profiles = scenario_profiles(scenario, scenario.evaluation_profiles, env.feeder)
    start_flow = day_start_flow(env.feeder, profiles, env.power_flow)
    return replace(env, profiles=profiles, day_start_flow=start_flow, scenario=scenario)


def evaluation_scenario(scenario: Scenario, *, disturbed: bool = False) -> Scenario:
    """Return the scenario that `evaluation_environment` plays."""
    scenario = scenario.playing("test" if scenario.series.has_test else "all")
    scenario = with_overrides(scenario, WHOLE_DAYS)
    if disturbed:
        return scenario
    observation = replace(scenario.observation, sensor_noise_pu=0.0, missing_probability=0.0)
    return replace(scenario, uncertainty=Uncertainty(), observation=observation)
