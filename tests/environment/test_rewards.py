"""Reward terms and constraint costs against numbers worked out by hand, and the voltage barriers at known points."""

import dataclasses
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stores import with_soc

import neomflex_jax as nf
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.environment.step.barriers import BARRIER_FUNCTIONS
from neomflex_jax.evaluation import Trajectory, record
from neomflex_jax.scenario import Limits
from neomflex_jax.scenario.reward import BARRIERS
from validation.recompute.cost import local_cost, voltage_barrier

WIDE = Limits(0.95, 1.05, 0.9, 1.1)  # MAPDN's band


@pytest.mark.parametrize(
    ("name", "vm_pu", "cost"),
    [
        ("band", 0.94, 0.01),
        ("band", 1.0, 0.0),
        ("band", 1.07, 0.02),
        ("l1", 0.96, 0.04),
        ("l1", 1.1, 0.1),
        ("l2", 0.9, 0.02),
        ("bowl", 0.9, 0.105),  # 2 x 0.1 - 0.095
        ("bowl", 1.0, 0.04 - 0.01 / math.sqrt(2 * math.pi * 0.01)),
        ("bowl", 1.04, 0.04 - 0.01 * math.exp(-0.08) / math.sqrt(2 * math.pi * 0.01)),
        ("bump", 1.0, 0.0),
        ("bump", 0.95, math.exp(-1 / (1 - 0.95**4))),
        ("bump", 1.05, math.exp(-1 / (1 - 0.95**4))),  # symmetric about 1
        ("courant_beltrami", 0.93, 0.0004),
        ("courant_beltrami", 1.02, 0.0),
        ("courant_beltrami", 1.08, 0.0009),
    ],
)
def test_a_barrier_is_what_its_definition_says(name: str, vm_pu: float, cost: float) -> None:
    assert float(BARRIER_FUNCTIONS[name](jnp.asarray(vm_pu), WIDE)) == pytest.approx(cost, abs=2e-7)


@pytest.mark.parametrize("name", BARRIERS)
def test_barriers_equal_the_referees_have_finite_slopes_and_grow_outside_the_band(name: str) -> None:
    vm_pu = np.linspace(0.5, 1.5, 2000)  # not on the edges at 0.05, where bowl jumps by 2e-4
    ours = np.asarray(jax.vmap(lambda v: BARRIER_FUNCTIONS[name](v, WIDE))(jnp.asarray(vm_pu)))
    np.testing.assert_allclose(ours, voltage_barrier(name, vm_pu, WIDE), atol=1e-6)
    slopes = np.asarray(jax.vmap(jax.grad(lambda v: BARRIER_FUNCTIONS[name](v, WIDE)))(jnp.asarray(vm_pu)))
    assert np.isfinite(slopes).all()
    assert (slopes[vm_pu > 1.051] > 0).all() and (slopes[vm_pu < 0.949] < 0).all()
    assert (ours >= 0).all()
    assert set(BARRIERS) == set(BARRIER_FUNCTIONS)


EVERYTHING = {
    "voltage_barrier": "bowl",
    "reactive_weight": 0.7,
    "throughput_weight": 2.0,
    "curtailment_weight": 3.0,
    "price_weight": 0.1,
    "peak_weight": 4.0,
    "peak_import_mw": 1.0,
    "tariff_column": "Price",
    "solar_penalty": True,
    "sharing": "mixed",
    "team_share": 0.25,
    "batteries": [
        {"bus": 23, "capacity_mwh": 2.0, "power_mw": 0.5, "s_mva": 0.6, "throughput_cost": 5.0},
        {"bus": 7, "capacity_mwh": 2.0, "power_mw": 0.5, "charge_efficiency": 0.9, "discharge_efficiency": 0.95},
        {"bus": 14, "capacity_mwh": 2.0, "power_mw": 0.5, "ramp_mw": 0.2},
    ],
    "pv_inverters": [
        {"bus": 20, "p_max_mw": 1.0, "s_mva": 1.0, "curtailable": True},
        {"bus": 16, "p_max_mw": 1.0, "s_mva": 1.1, "priority": "q"},
        {"bus": 31, "p_max_mw": 1.0, "s_mva": 1.0, "export_limit_mw": 0.3},
    ],
    "flexible_loads": [
        {"bus": 24, "curtail_share": 0.5, "shift_mw": 0.1, "buffer_mwh": 0.2},
        {"bus": 29, "curtail_share": 0.2},
    ],
}


@pytest.fixture(scope="module")
def priced_days(three_days: Path) -> Path:
    """The three days with a price that rises to the evening."""
    rows = three_days.read_text(encoding="utf-8").splitlines()
    prices = ["Price", *(f"{20 + 1.5 * (step % 48):.1f}" for step in range(len(rows) - 1))]
    path = three_days.with_name("priced.csv")
    path.write_text("\n".join(f"{row},{price}" for row, price in zip(rows, prices, strict=True)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def env(priced_days: Path) -> nf.Environment:
    """Every term at once, on `ac`."""
    made = nf.make("neom33", power_flow="ac", profiles=priced_days, **EVERYTHING)
    return evaluation_environment(made, made.profiles)


@dataclasses.dataclass(frozen=True)
class Wild:
    """Random actions from the observation, so that every device does something at every step."""

    env: nf.Environment

    def __call__(self, observation: jax.Array) -> jax.Array:
        key = jax.random.key(jnp.sum(observation * 1e6).astype(jnp.int32))
        return jax.random.uniform(key, (self.env.n_agents, self.env.action_size), minval=-1.0, maxval=1.0)


jax.tree_util.register_dataclass(Wild, ["env"], [])


@pytest.fixture(scope="module")
def run(env: nf.Environment) -> Trajectory:
    return record(env, Wild(env), "wild", n_days=2)


def test_the_referee_works_out_the_same_reward_with_every_term_in_it(env: nf.Environment, run: Trajectory) -> None:
    names = ("battery_p_mw", "battery_q_mvar", "pv_p_mw", "pv_q_mvar", "pv_available_mw", "load_curtailed_mw", "price")
    grid = {name: np.asarray(getattr(run, name), float) for name in ("vm_pu", "loss_mw", "slack_p_mw")}
    recorded = {name: np.asarray(getattr(run, name), float) for name in names}
    cost = local_cost(run.scenario, nf.load_feeder("case33bw"), **grid, **recorded, step=run.step)
    np.testing.assert_allclose(cost, -run.local_reward, rtol=2e-5, atol=2e-4)
    assert (run.pv_available_mw - run.pv_p_mw).max() > 0.1
    assert run.load_curtailed_mw.max() > 0.1
    assert np.abs(run.battery_q_mvar[:, 0]).max() > 0.1
    np.testing.assert_array_equal(run.battery_q_mvar[:, 1:], 0.0)


def test_terms_by_hand(env: nf.Environment) -> None:
    state, _ = env.reset(jax.random.key(0))
    noon = dataclasses.replace(state, step=jnp.asarray(24, jnp.int32))
    action = jnp.zeros(env.action_mask.shape).at[0, 0].set(0.4)
    _, timestep = jax.jit(env.step)(noon, action)
    info = {name: np.asarray(value, float) for name, value in timestep.info.items()}
    assert info["battery_p_mw"][0] == pytest.approx(0.2)
    np.testing.assert_allclose(info["reward_throughput"], [-(2.0 + 5.0) * 0.2 * 0.5, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(info["reward_reactive"], 0.0)
    lost = info["pv_available_mw"] - info["pv_p_mw"]  # the export limit at bus 31: 0.3 + its load
    assert lost[2] == pytest.approx(info["solar"] - 0.3 - info["load_p_mw"][31], abs=1e-6)
    np.testing.assert_allclose(info["reward_curtailment"], [0, 0, -3.0 * 0.5 * lost[2]], atol=1e-5)
    share = np.array([12, 13, 8]) / 33
    price = 20 + 1.5 * 24
    np.testing.assert_allclose(info["reward_energy"], -0.1 * price * 0.5 * info["slack_p_mw"] * share, rtol=1e-5)
    above = max(info["slack_p_mw"] - 1.0, 0.0)
    np.testing.assert_allclose(info["reward_peak"], -4.0 * above * share, rtol=1e-4, atol=1e-6)
    names = [name for name in info if name.startswith("reward_")]
    np.testing.assert_allclose(info["local_reward"], sum(info[name] for name in names), rtol=1e-5)
    mixed = 0.75 * info["local_reward"] + 0.25 * info["local_reward"].mean()
    np.testing.assert_allclose(timestep.reward, mixed, rtol=1e-5)


def test_a_term_without_weight_is_left_out(three_days: Path) -> None:
    env = nf.make("neom33", power_flow="lindistflow", profiles=three_days)
    names = {name for name in env.reset(jax.random.key(0))[1].info if name.startswith("reward_")}
    assert names == {"reward_voltage", "reward_losses", "reward_violation"}


def test_constraint_costs_by_hand(three_days: Path) -> None:
    limits = {"hard_min_pu": 0.985, "band_min_pu": 0.99, "hard_max_pu": 1.1}
    env = nf.make("neom33", power_flow="ac", profiles=three_days, **limits)
    assert env.constraint_names == ("voltage", "clipping", "band")  # case33bw states no rating
    state, _ = env.reset(jax.random.key(0))
    empty = dataclasses.replace(state, stores=with_soc(state, jnp.full(3, 0.2)), step=jnp.asarray(0, jnp.int32))
    action = jnp.zeros((3, 3)).at[0, 0].set(0.6).at[1, 1].set(1.0).at[1, 0].set(-0.5)
    _, timestep = jax.jit(env.step)(empty, action)
    vm_pu = np.asarray(timestep.info["vm_pu"], float)
    below, below_band = np.maximum(0.985 - vm_pu, 0.0), np.maximum(0.99 - vm_pu, 0.0)
    assert vm_pu.max() < 1.03
    parts = ([*range(1, 5), *range(18, 25)], range(5, 18), range(25, 33))
    hard, band = ([outside[list(part)].sum() for part in parts] for outside in (below, below_band))
    expected = np.stack([hard, [0.6, 1.0, 0.0], band], axis=1)
    assert expected[:, 0].max() > 0
    np.testing.assert_allclose(timestep.info["constraint_cost"], expected, atol=1e-5)


def test_a_rated_feeder_has_a_loading_cost_and_an_unrated_branch_none(three_days: Path, tmp_path: Path) -> None:
    feeder = nf.load_feeder("case33bw")
    from neomflex_jax.grid.to_csv import write_feeder

    rated = dataclasses.replace(feeder, max_i_ka=np.where(np.arange(feeder.topology.n_branch) == 0, 0.05, np.nan))
    write_feeder(rated, tmp_path / "rated")
    env = nf.make("neom33", feeder=str(tmp_path / "rated"), power_flow="ac", profiles=three_days)
    assert env.constraint_names == ("voltage", "clipping", "loading", "band")
    state, _ = env.reset(jax.random.key(0))
    _, timestep = jax.jit(env.step)(state, jnp.zeros((3, 3)))
    flow = nf.power_flow(rated, timestep.info["p_injection_mw"], timestep.info["q_injection_mvar"])
    over = float(flow.branch_loading_percent[0]) / 100 - 1
    assert over > 0.1
    np.testing.assert_allclose(timestep.info["constraint_cost"][:, 2], over * np.array([12, 13, 8]) / 33, rtol=1e-4)
    slope = jax.jit(jax.grad(lambda a: env.step(state, a)[1].info["constraint_cost"].sum()))(0.1 * jnp.ones((3, 3)))
    assert np.isfinite(slope).all()


def test_a_price_needs_a_column(three_days: Path) -> None:
    with pytest.raises(nf.InputError, match=r"price_weight = 1.0 needs a price: name the profiles' column"):
        nf.load_scenario("neom33", price_weight=1.0)
    with pytest.raises(nf.InputError, match="column 'Price' is missing"):
        nf.make("neom33", power_flow="ac", profiles=three_days, tariff_column="Price")


def test_idle_batteries_and_inverters_cost_nothing_of_their_own(env: nf.Environment) -> None:
    idle = record(env, NoControl(env.action_size), "idle", n_days=1)
    np.testing.assert_array_equal(idle.battery_p_mw, 0.0)
    np.testing.assert_array_equal(idle.load_curtailed_mw, 0.0)
