"""MAPDN's task: its reward by hand, its episodes, what its agents see, and the gradient learner's horizon."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.environment import AutoReset, Environment, evaluation_environment
from neomflex_jax.environment.days import draw_day
from neomflex_jax.errors import InputError
from neomflex_jax.fields import with_overrides
from neomflex_jax.training.gradient_loop import horizon_of
from validation.recompute.cost import local_cost

ZONES = {12: range(6, 18), 17: range(6, 18), 21: range(18, 22), 24: range(22, 25), 28: range(25, 33), 32: range(25, 33)}


@pytest.fixture(scope="module")
def env() -> Environment:
    return nf.make("mapdn33", power_flow="lindistflow", episode_steps=2)


def bowl(vm_pu: np.ndarray) -> np.ndarray:
    """MAPDN's barrier as its program has it."""
    density = np.exp(-0.5 * ((vm_pu - 1.0) / 0.1) ** 2) / (0.1 * np.sqrt(2.0 * np.pi))
    return np.where(np.abs(vm_pu - 1.0) > 0.05, 2.0 * np.abs(vm_pu - 1.0) - 0.095, -0.01 * density + 0.04)


def test_reward_episodes_and_failures_are_mapdns(env: Environment) -> None:
    state, _ = env.reset(jax.random.key(1))
    step = jax.jit(lambda env, state, action: AutoReset(env).step(state, action))
    action = jnp.linspace(-0.9, 0.8, 6)[:, None]
    between, timestep = step(env, state, action)
    info = timestep.info
    vm_pu, q_mvar = np.asarray(info["vm_pu"], float), np.asarray(info["pv_q_mvar"], float)
    np.testing.assert_allclose(q_mvar, action[:, 0] * np.sqrt(1.75**2 - np.asarray(info["pv_p_mw"]) ** 2), rtol=1e-5)
    others = np.arange(33) > 0  # the slack's barrier is a constant, which is left out
    expected = -bowl(vm_pu)[others].sum() / 33 - 0.1 * np.abs(q_mvar).mean()
    assert info["local_reward"].sum() == pytest.approx(expected, rel=1e-5)

    labels = env.describe().query("kind == 'observation'").groupby("agent")["name"].apply(list)
    for bus, zone in ZONES.items():
        assert [name for name in labels[f"inverter_{bus}"] if "vm_pu" in name] == [
            f"vm_pu - 1 at bus {seen}" for seen in zone
        ]
    seen = env.split(timestep.observation)
    np.testing.assert_allclose(seen["inverter_17"][:12], vm_pu[6:18] - 1.0, atol=1e-6)
    assert not bool(timestep.truncated)
    after, timestep = step(env, between, action)
    assert bool(timestep.truncated) and int(after.step) == 0  # two steps are an episode here

    heavy = dataclasses.replace(env, profiles=env.profiles.scaled(9.0, 0.0))
    timestep = step(heavy, state, action)[1]
    assert bool(timestep.terminated) and not bool(timestep.truncated)
    assert timestep.info["reward_violation"].sum() == pytest.approx(-200.0)
    recorded = {"pv_q_mvar": np.asarray(timestep.info["pv_q_mvar"])[None], "pv_p_mw": np.zeros((1, 6))}
    recorded["pv_available_mw"] = np.zeros((1, 6))
    known = {"vm_pu": np.full((1, 33), np.nan), "loss_mw": np.full(1, np.nan), "step": np.zeros(1, int)}
    cost = local_cost(env.scenario, nf.load_feeder("case33bw"), **known, **recorded)
    np.testing.assert_allclose(-timestep.info["local_reward"], cost[0], rtol=1e-5)


def test_episodes_begin_with_any_hour_and_evaluation_with_midnight(env: Environment) -> None:
    keys = jax.random.split(jax.random.key(0), 2000)
    rows = np.asarray(jax.jit(jax.vmap(lambda key: draw_day(env, key).day_row))(keys))
    assert (rows % 20 == 0).all() and set(rows // 20 % 24) == set(range(24)) and rows.max() < env.profiles.n_rows
    state, seen = env.reset(keys[0])
    assert int(state.day_row) == rows[0]
    idle = nf.power_flow(nf.load_feeder("case33bw"), -seen.info["load_p_mw"], -seen.info["load_q_mvar"], "lindistflow")
    np.testing.assert_allclose(env.split(seen.observation)["inverter_21"][:4], idle.vm_pu[18:22] - 1.0, atol=1e-6)
    judged = evaluation_environment(env)
    assert judged.scenario.episode_steps == 480 and int(judged.reset(keys[0])[0].day_row) == 0
    assert judged.day_start_flow.converged.shape == (12,)


def test_the_horizon_is_short_where_nothing_lasts(env: Environment) -> None:
    others = [nf.make(name, power_flow="dc") for name in ("neom33", "voltage33")]
    assert [horizon_of(0, env), horizon_of(1, env), *(horizon_of(0, each) for each in others)] == [24, 480, 96, 96]


def test_what_contradicts_is_refused() -> None:
    scenario = nf.load_scenario("mapdn33")
    for changes, message in (
        ({"day_order": "file"}, "episode_steps = 240 begins at random hours"),
        ({"episode_steps": -1}, "episode_steps = -1"),
        ({"scope": "global"}, "observes says what inverter_12 sees"),
        ({"unsolved_penalty": -1.0}, "unsolved_penalty"),
    ):
        with pytest.raises(InputError, match=message):
            with_overrides(scenario, changes)
