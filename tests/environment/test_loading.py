"""Limits of loading: two buses whose current is worked out by hand, what it costs, what is seen, what is refused."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.environment.step.outcome import COLLAPSED_LOADING_PERCENT
from neomflex_jax.yardsticks.descent import foresee
from neomflex_jax.yardsticks.energies import idle_plan

BUSES = "bus,vn_kv,p_mw,q_mvar\n1,10,0,0\n2,10,1,0\n"
BRANCHES = "from_bus,to_bus,r_ohm,x_ohm,in_service,max_i_ka\n1,2,1,0,1,0.02\n1,2,1,0,0,0.02\n"
SCENARIO = """name = "two"
feeder = "{feeder}"
profiles = "{profiles}"
evaluation_profiles = "{profiles}"
[[territories]]
agent = "one"
buses = [1, 2]
[[batteries]]
bus = 2
capacity_mwh = 20.0
power_mw = 4.0
"""


@pytest.fixture(scope="module")
def two_buses(tmp_path_factory: pytest.TempPathFactory, three_days: Path) -> Path:
    """A scenario of 1 MW behind 1 ohm at 10 kV, with a battery; the line carries 0.02 kA."""
    folder = tmp_path_factory.mktemp("two_buses")
    (folder / "feeder").mkdir()
    (folder / "feeder" / "buses.csv").write_text(BUSES, encoding="utf-8")
    (folder / "feeder" / "branches.csv").write_text(BRANCHES, encoding="utf-8")
    text = SCENARIO.format(feeder=folder / "feeder", profiles=three_days)
    path = folder / "two.toml"
    path.write_text(text, encoding="utf-8")
    return path


LIMITED = {"loading_soft_percent": 80.0, "loading_hard_percent": 100.0, "loading_weight": 7.0, "loading_penalty": 11.0}


def step(scenario: Path, action: float = 0.0, **fields: Any) -> tuple[nf.Environment, Any]:
    env = nf.make(scenario, **LIMITED | fields)
    state, _ = env.reset(jax.random.key(0))
    return env, env.step(state, jnp.full((1, 1), action))[1]


def loading_percent(p_mw: float) -> float:
    """Of p at bus 2: u^2 - 10 u + p r = 0 for the voltage u in kV, and i = p / (sqrt(3) u)."""
    u_kv = (10 + np.sqrt(100 - 4 * p_mw)) / 2
    return float(100 * p_mw / (np.sqrt(3) * u_kv) / 0.02)


def test_the_loading_of_two_buses_and_its_costs_are_those_by_hand(two_buses: Path) -> None:
    env, timestep = step(two_buses, loading_observed=True)
    info, demand = timestep.info, float(timestep.info["demand"])
    expected = loading_percent(demand)
    assert expected > 100
    assert env.limited is not None and env.limited.name == ("1-2",)  # the other line is open
    np.testing.assert_allclose(info["branch_loading_percent"], [expected], rtol=1e-5)
    np.testing.assert_allclose(info["reward_loading"], [-7 * (expected / 100 - 0.8)], rtol=1e-4)
    np.testing.assert_allclose(info["reward_violation"], [-11.0])
    assert env.constraint_names[2] == "loading"
    np.testing.assert_allclose(info["constraint_cost"][:, 2], [expected / 100 - 1], rtol=1e-3)
    assert bool(info["violated"]) and "branch_loading_percent" in list(info)
    table = env.describe()
    entry = int(table.query("name == 'loading of branch 1-2'")["index"].iloc[0])
    np.testing.assert_allclose(timestep.observation[0, entry], expected / 100, rtol=1e-5)


def test_the_other_barrier_is_the_square_and_a_limit_of_its_own_is_a_branchs(two_buses: Path) -> None:
    _, timestep = step(two_buses, loading_barrier="courant_beltrami", loading_hard_percent=300.0)
    above = loading_percent(float(timestep.info["demand"])) / 100 - 0.8
    np.testing.assert_allclose(timestep.info["reward_loading"], [-7 * above**2], rtol=1e-4)
    assert not timestep.info["violated"]
    _, timestep = step(two_buses, branch_limits={"1-2": 70.0}, loading_hard_percent=300.0)
    np.testing.assert_allclose(timestep.info["reward_loading"], [-7 * (above + 0.1)], rtol=1e-4)  # soft is hard there
    assert timestep.info["violated"]


def test_an_overload_ends_the_day_where_violations_do(two_buses: Path) -> None:
    _, timestep = step(two_buses, on_violation="end_day")
    assert timestep.terminated
    np.testing.assert_allclose(timestep.reward, [-11.0])


def test_a_failed_power_flow_is_loaded_as_a_collapsed_grid(two_buses: Path) -> None:
    _, timestep = step(two_buses, action=-1.0, batteries=({"bus": 2, "capacity_mwh": 999.0, "power_mw": 99.0},))
    assert not timestep.info["converged"] and np.isnan(timestep.info["branch_loading_percent"]).all()
    share = COLLAPSED_LOADING_PERCENT / 100
    np.testing.assert_allclose(timestep.info["reward_loading"], [-7 * (share - 0.8)], rtol=1e-5)
    np.testing.assert_allclose(timestep.info["reward_violation"], [-111.0])


def test_gradients_are_finite_at_no_current(two_buses: Path) -> None:
    env = nf.make(two_buses, loading_soft_percent=1e-3, power_flow="ac", loading_observed=True)
    state, _ = env.reset(jax.random.key(0))
    none = float(env.profiles.demand[state.day_row]) / 4.0  # the battery serves the load: no current flows

    def reward(action: jax.Array) -> jax.Array:
        timestep = env.step(state, jnp.full((1, 1), action))[1]
        return timestep.reward.sum() + timestep.observation.sum()

    slope = jax.jit(jax.grad(reward))
    for action in (0.0, none, 1.0):
        assert np.isfinite(slope(action))


def test_plans_pay_for_loadings_as_steps_do(two_buses: Path) -> None:
    env = nf.make(two_buses, **LIMITED)
    state, _ = env.reset(jax.random.key(0))
    ahead = foresee(env, state, idle_plan(env, state.stores, 2))
    first = env.step(state, ahead.action[0])[1]
    assert float(first.info["reward_loading"][0]) < 0
    np.testing.assert_allclose(ahead.cost[0], -first.info["local_reward"].sum(), rtol=1e-6)


def test_without_limits_nothing_is_there(two_buses: Path) -> None:
    env = nf.make(two_buses)
    _state, timestep = env.reset(jax.random.key(0))
    assert env.limited is None and timestep.info.branch_loading_percent is None
    assert "branch_loading_percent" not in timestep.info and "reward_loading" not in timestep.info
    assert "loading" not in env.scenario.as_dict()
    assert nf.make(two_buses, **LIMITED).scenario.as_dict()["loading"]["loading_weight"] == 7.0


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"loading_hard_percent": 0.0}, "loading_hard_percent = 0.0 must be above 0"),
        ({"loading_soft_percent": -5.0}, "loading_soft_percent = -5.0 must be above 0"),
        ({"branch_limits": {"1-2": 0.0}}, "1-2 = 0.0 must be above 0"),
        ({"loading_soft_percent": 90.0, "loading_hard_percent": 80.0}, "must be at most loading_hard_percent = 80.0"),
        ({"loading_barrier": "bowl"}, "loading_barrier = 'bowl' is not one of"),
        ({"loading_observed": True}, "needs a limit; state loading_soft_percent"),
        ({"branch_limits": {"2-1": 80.0}}, "unknown branch in branch_limits '2-1'; known: 1-2"),
        ({"branch_limits": {"1-2 (2)": 80.0}}, r"branch 1-2 \(2\) of feeder 'feeder' is out of service"),
    ],
)
def test_limits_that_cannot_be_are_refused(two_buses: Path, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(nf.InputError, match=said):
        nf.make(two_buses, **fields)


def test_a_feeder_without_ratings_is_refused_with_what_to_give() -> None:
    with pytest.raises(nf.InputError, match=r"feeder 'case33bw' have none \(0-1, 1-2.*37 in all\)\): give .* max_i_ka"):
        nf.make("neom33", loading_hard_percent=100.0)
    with pytest.raises(nf.InputError, match=r"branch 0-1 of feeder 'case33bw' has no rating: give"):
        nf.make("neom33", branch_limits={"0-1": 100.0})
