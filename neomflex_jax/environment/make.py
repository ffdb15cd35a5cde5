"""From a scenario's name to an environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.devices import deliver_pv_power
from neomflex_jax.environment.environment import Environment
from neomflex_jax.environment.injections import bus_injections
from neomflex_jax.errors import InputError
from neomflex_jax.fields import with_overrides
from neomflex_jax.grid import Feeder, load_feeder
from neomflex_jax.grid.territories import TerritoryLayout, layout_territories
from neomflex_jax.powerflow import PowerFlow, PowerFlowResult, bind, calibrate
from neomflex_jax.profiles import Profiles, read_profiles, resolve_profiles
from neomflex_jax.scenario import Scenario, load_scenario

CALIBRATION_SAMPLES = 4096


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
    layout = layout_territories(
        feeder,
        [(part.agent, part.buses) for part in chosen.territories],
        [battery.bus for battery in chosen.batteries],
        [inverter.bus for inverter in chosen.pv_inverters],
    )
    training = read_profiles(resolve_profiles(chosen.profiles), chosen.steps_per_day)
    if isinstance(power_flow, PowerFlow):
        if power_flow.grid.topology != feeder.topology:
            raise InputError(f"the given power flow was bound to another feeder than {feeder.name!r}")
        solver = power_flow
    elif chosen.power_flow == "calibrated":
        solver = calibrate(feeder, *sample_injections(chosen, feeder, layout, training))
    else:
        solver = bind(feeder, chosen.power_flow)
    feeder = jax.tree.map(jnp.asarray, feeder)  # in JAX's precision of the moment, as everything in an environment
    return Environment(feeder, training, solver, _day_start_flow(feeder, training, solver), chosen, layout)


def evaluation_environment(env: Environment, profiles: Profiles | None = None) -> Environment:
    """Make the environment that policies are judged in: the days in file order, energies carried over, never stopping.

    The power flow stays the given environment's: a surrogate fitted to the training days is judged as it is.

    Parameters
    ----------
    env
        The environment of training.
    profiles
        The days; None takes the scenario's `evaluation_profiles`.
    """
    scenario = with_overrides(env.scenario, {"day_order": "file", "energies": "carried", "on_violation": "continue"})
    if profiles is None:
        profiles = read_profiles(resolve_profiles(scenario.evaluation_profiles), scenario.steps_per_day)
    day_start_flow = _day_start_flow(env.feeder, profiles, env.power_flow)
    return Environment(env.feeder, profiles, env.power_flow, day_start_flow, scenario, env.layout)


def sample_injections(
    scenario: Scenario,
    feeder: Feeder,
    layout: TerritoryLayout,
    profiles: Profiles,
    n_samples: int = CALIBRATION_SAMPLES,
    seed: int = 0,
) -> tuple[Array, Array]:
    """Injections that the scenario can produce: random rows of the profiles, device set-points uniform in their ranges.

    Returns
    -------
    p_injection_mw, q_injection_mvar
        Shapes (n_samples, n_bus), positive into the grid.
    """
    random = np.random.default_rng(seed)  # on the host: drawing with JAX would compile for longer than the fit takes
    rows = random.integers(0, profiles.n_rows, n_samples)
    power_mw = np.array([battery.power_mw for battery in scenario.batteries], float)
    battery_p_mw = random.uniform(-1.0, 1.0, (n_samples, len(power_mw))) * power_mw
    pv_fraction = random.uniform(-1.0, 1.0, (n_samples, len(scenario.pv_inverters)))
    p_max_mw = np.array([inverter.p_max_mw for inverter in scenario.pv_inverters], float)
    s_mva = np.array([inverter.s_mva for inverter in scenario.pv_inverters], float)

    def injections(row: Array, battery_p_mw: Array, pv_fraction: Array) -> tuple[Array, Array]:
        pv_p_mw, pv_q_mvar = deliver_pv_power(pv_fraction, profiles.solar[row], p_max_mw=p_max_mw, s_mva=s_mva)
        demand = profiles.demand[row]
        return bus_injections(
            feeder,
            layout,
            demand=demand,
            load_q_factor=demand,
            battery_p_mw=battery_p_mw,
            pv_p_mw=pv_p_mw,
            pv_q_mvar=pv_q_mvar,
        )

    return jax.jit(jax.vmap(injections))(rows, battery_p_mw, pv_fraction)


@jax.jit
def _day_start_flow(feeder: Feeder, profiles: Profiles, solver: PowerFlow) -> PowerFlowResult:
    """Power flow of every day's first row with all devices at zero: what a reset observes."""
    demand = profiles.demand[:: profiles.steps_per_day, None]
    return jax.vmap(solver)(-jnp.asarray(feeder.load_p_mw) * demand, -jnp.asarray(feeder.load_q_mvar) * demand)
