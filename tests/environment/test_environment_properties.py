"""Whatever a scenario asks for: no NaN, no limit broken, no energy lost, no padded entry that matters."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled_programs import forget_if_many
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_scenarios import scenario_fields

import neomflex_jax as nf
from neomflex_jax.devices import Battery, FlexibleLoad, PvInverter

STEPS = 50  # a day of 48, and into the next


def actions_of(env: nf.Environment, seed: int) -> np.ndarray:
    """Random actions, some far outside their range, some NaN; padding is garbage."""
    random = np.random.default_rng(seed)
    actions = random.uniform(-1.5, 1.5, (STEPS, *env.action_mask.shape))
    actions[random.random(actions.shape) < 0.02] = np.nan
    return np.where(env.action_mask, actions, random.choice([1e9, -np.inf, np.nan]))


@jax.jit
def play(env: nf.Environment, key: jax.Array, actions: jax.Array) -> tuple[nf.State, nf.TimeStep, Any]:
    """A run with auto-reset: the state before every step, its answer, and the last state."""
    copy = nf.AutoReset(env)

    def step(state: nf.State, action: jax.Array) -> tuple[nf.State, Any]:
        after, timestep = copy.step(state, action)
        unended, _ = env.step(state, action)
        return after, (state, timestep, unended)

    state, _ = copy.reset(key)
    return jax.lax.scan(step, state, actions)[1]


def check_day(env: nf.Environment, seed: int) -> None:
    """Play random actions and hold every invariant."""
    raw = actions_of(env, seed)
    before, timestep, after = jax.device_get(play(env, jax.random.key(seed), jnp.asarray(raw, jnp.float32)))
    check_finite(env, timestep)
    check_energies(env, before, timestep.info, after)
    check_limits(env, before, timestep.info, after)
    check_action_counts(env, raw, timestep.info)
    # what stands in padded slots changes nothing
    clean = np.where(env.action_mask, raw, 0.0)
    _, again, _ = jax.device_get(play(env, jax.random.key(seed), jnp.asarray(clean, jnp.float32)))
    np.testing.assert_array_equal(again.reward, timestep.reward)
    np.testing.assert_array_equal(again.observation, timestep.observation)


def check_finite(env: nf.Environment, timestep: nf.TimeStep) -> None:
    for name, leaf in (("observation", timestep.observation), ("reward", timestep.reward)):
        assert np.isfinite(leaf).all(), name
    solved = timestep.info["converged"]
    for name, values in timestep.info.items():
        if name not in ("residual_mva",):
            assert np.isfinite(values[solved]).all(), name
    np.testing.assert_array_equal(timestep.observation[:, ~env.observation_mask], 0.0)


def check_energies(env: nf.Environment, before: nf.State, info: dict[str, np.ndarray], after: nf.State) -> None:
    """Energies close, in float64 from what was recorded."""
    h, battery = env.scenario.step_hours, env.params(Battery)
    p_mw = info["battery_p_mw"].astype(float)
    from_store = np.where(p_mw > 0, p_mw / battery.discharge_efficiency, p_mw * battery.charge_efficiency)
    stored = (after.stores["batteries"].soc.astype(float) - before.stores["batteries"].soc) * battery.capacity_mwh
    np.testing.assert_allclose(stored, -h * from_store, atol=2e-6)
    plain_mw = plain_load_mw(env, before, info)
    served_mw = info["load_p_mw"][:, env.layout.device_bus["flexible_loads"]]
    owed = after.stores["flexible_loads"].owed_mwh.astype(float) - before.stores["flexible_loads"].owed_mwh
    np.testing.assert_allclose(owed, h * (plain_mw - info["load_curtailed_mw"] - served_mw), atol=2e-6)


def plain_load_mw(env: nf.Environment, before: nf.State, info: dict[str, np.ndarray]) -> np.ndarray:
    """What flexible loads would take if nothing were asked of them."""
    flexible = env.layout.device_bus["flexible_loads"]
    plain_mw = info["demand"][:, None] * np.asarray(env.feeder.load_p_mw)[flexible]
    return plain_mw if before.today.load_factor is None else plain_mw * before.today.load_factor[:, flexible]


def check_limits(env: nf.Environment, before: nf.State, info: dict[str, np.ndarray], after: nf.State) -> None:
    battery, p_mw = env.params(Battery), info["battery_p_mw"].astype(float)
    assert (np.abs(p_mw) <= battery.power_mw * (1 + 1e-6)).all()
    assert (after.stores["batteries"].soc <= np.maximum(battery.soc_max, before.stores["batteries"].soc) + 1e-6).all()
    assert (after.stores["batteries"].soc >= np.minimum(battery.soc_min, before.stores["batteries"].soc) - 1e-6).all()
    assert (np.hypot(p_mw, info["battery_q_mvar"]) <= np.maximum(battery.s_mva, np.abs(p_mw)) + 1e-6).all()
    inverter = env.params(PvInverter)
    assert (info["pv_p_mw"] >= 0).all()
    assert (info["pv_p_mw"] <= info["pv_available_mw"] + 1e-6).all()
    assert (np.hypot(info["pv_p_mw"], info["pv_q_mvar"]) <= inverter.s_mva + 1e-6).all()
    export_mw = info["p_injection_mw"][:, env.layout.device_bus["pv_inverters"]]
    others_mw = export_mw - info["pv_p_mw"]
    assert (export_mw <= np.maximum(inverter.export_limit_mw, others_mw) + 1e-5).all()
    sizes, served_mw = env.params(FlexibleLoad), info["load_p_mw"][:, env.layout.device_bus["flexible_loads"]]
    assert (served_mw >= -1e-6).all()
    assert (
        (after.stores["flexible_loads"].owed_mwh >= -1e-6)
        & (after.stores["flexible_loads"].owed_mwh <= sizes.buffer_mwh + 1e-6)
    ).all()
    assert (info["load_curtailed_mw"] <= sizes.curtail_share * plain_load_mw(env, before, info) + 1e-6).all()
    assert (info["constraint_cost"] >= -1e-6).all()


def check_action_counts(env: nf.Environment, raw: np.ndarray, info: dict[str, np.ndarray]) -> None:
    """What was asked for wrongly is counted, padding is not."""
    real = np.where(env.action_mask, raw, 0.0)
    np.testing.assert_array_equal(info["nan_actions"], np.isnan(real).sum(-1))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(info["clipped_actions"], (np.abs(real.astype(np.float32)) > 1).sum(-1))


@settings(max_examples=4, suppress_health_check=list(HealthCheck))
@given(scenario_fields(), st.integers(0, 2**31 - 1))
def test_a_random_scenario_keeps_every_invariant(three_days: Path, fields: dict[str, Any], seed: int) -> None:
    check_day(nf.make("neom33", profiles=three_days, **fields), seed)


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(scenario_fields(), st.integers(0, 2**31 - 1))
def test_a_hundred_random_scenarios_keep_every_invariant(three_days: Path, fields: dict[str, Any], seed: int) -> None:
    check_day(nf.make("neom33", profiles=three_days, **fields), seed)
    forget_if_many()
