"""Uncertainty: every draw comes from the reset key, holds as long as it says, and changes what it should, no more."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.environment.days import draw_day_if

COPIES = 500
KEYS = jax.random.split(jax.random.key(11), COPIES)


def make(three_days: Path, power_flow: str = "lindistflow", **fields: object) -> nf.Environment:
    """The 33 buses, days in file order."""
    return nf.make("neom33", power_flow=power_flow, profiles=three_days, day_order="file", **fields)


def first_steps(env: nf.Environment, n_steps: int = 1, action: float = 0.0) -> tuple[nf.State, dict[str, np.ndarray]]:
    """Infos of the first steps of many copies, (n_steps, COPIES, ...), and the first states."""

    @jax.jit
    def run(env: nf.Environment, keys: jax.Array) -> tuple[nf.State, dict[str, jax.Array]]:
        states, _ = jax.vmap(env.reset)(keys)
        actions = jnp.full((COPIES, *env.action_mask.shape), action)

        def step(states: nf.State, _: None) -> tuple[nf.State, dict[str, jax.Array]]:
            states, timestep = jax.vmap(env.step)(states, actions)
            return states, timestep.info

        return states, jax.lax.scan(step, states, None, length=n_steps)[1]

    return jax.device_get(run(env, KEYS))


def test_demand_spread_is_each_buses_own_and_lasts_a_day(three_days: Path) -> None:
    env = make(three_days, demand_spread=0.2)
    _, info = first_steps(env, 3)
    nominal = np.asarray(env.feeder.load_p_mw)
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = (info["load_p_mw"] / (info["demand"][..., None] * nominal))[:, :, nominal > 0]
    np.testing.assert_allclose(factor[0], factor[2], rtol=1e-5)
    assert factor.min() > 0.8 - 1e-4 and factor.max() < 1.2 + 1e-4
    np.testing.assert_allclose(factor[0].std(0), 0.4 / np.sqrt(12), rtol=0.1)  # uniform
    assert np.abs(np.corrcoef(factor[0].T) - np.eye(factor.shape[2])).max() < 0.2
    q_factor = info["load_q_mvar"][..., 1] / (info["demand"] * np.asarray(env.feeder.load_q_mvar)[1])
    np.testing.assert_allclose(q_factor[0], factor[0][:, 0], rtol=1e-5)  # the power factor stays


def test_growth_scales_a_whole_day(three_days: Path) -> None:
    env = make(three_days, load_growth=[1.0, 1.5], pv_growth=[0.5, 0.5])
    _, info = first_steps(env, 2)
    factor = info["demand"] / np.asarray(env.profiles.demand)[:2, None]
    np.testing.assert_allclose(factor[0], factor[1], rtol=1e-5)
    assert factor.min() >= 1.0 - 1e-5 and factor.max() <= 1.5 + 1e-5 and np.ptp(factor) > 0.4

    @jax.jit
    def at_noon(env: nf.Environment, key: jax.Array) -> dict[str, jax.Array]:
        noon = dataclasses.replace(env.reset(key)[0], step=jnp.asarray(24, jnp.int32))
        return env.step(noon, jnp.zeros((3, 3)))[1].info

    info = at_noon(env, KEYS[0])
    assert float(info["solar"]) == pytest.approx(0.5 * float(env.profiles.solar[24]), rel=1e-5)


def test_profile_noise_is_new_every_step_and_never_negative(three_days: Path) -> None:
    env = make(three_days, profile_noise=0.1)
    _, info = first_steps(env, 2)
    off = info["demand"] / np.asarray(env.profiles.demand)[:2, None] - 1
    np.testing.assert_allclose(off.std(1), 0.1, rtol=0.12)
    assert abs(np.corrcoef(off)[0, 1]) < 0.15
    assert (first_steps(make(three_days, profile_noise=0.9), 1)[1]["demand"] >= 0).all()


@pytest.mark.parametrize("method", ["ac", "lindistflow", "dc"])
def test_line_errors_are_in_the_power_flow_alone(three_days: Path, method: str) -> None:
    env = make(three_days, method, line_error=0.2)
    states, info = first_steps(env)
    factor = np.asarray(states.today.impedance_factor)
    assert 0.8 <= factor.min() < 0.85 and 1.15 < factor.max() <= 1.2
    feeder = nf.load_feeder("case33bw")
    for copy in range(3):
        r_factor, x_factor = factor[copy].astype(float)
        true = dataclasses.replace(feeder, r_ohm=feeder.r_ohm * r_factor, x_ohm=feeder.x_ohm * x_factor)
        flow = nf.power_flow(true, info["p_injection_mw"][0, copy], info["q_injection_mvar"][0, copy], method=method)
        np.testing.assert_allclose(info["vm_pu"][0, copy], flow.vm_pu, atol=2e-6)
    assert np.ptp(info["p_injection_mw"], axis=1).max() == 0
    if method != "dc":
        assert np.ptp(info["loss_mw"]) > 0


def test_an_outage_takes_one_device_for_its_steps_and_gives_it_back(three_days: Path) -> None:
    env = make(three_days, outage_probability=0.5, outage_steps=4, energies="carried")
    states, info = first_steps(env, 48, action=0.01)
    begins = np.asarray(states.today.outage_step)  # batteries 23, 7, 14, inverters 20, 16, 31
    assert 0.4 < (begins < 48).mean() < 0.6
    step = np.arange(48)[:, None, None]
    out = (step >= begins) & (step < begins + 4)
    np.testing.assert_array_equal(info["battery_p_mw"] == 0, out[:, :, :3])
    daylight = np.asarray(env.profiles.solar)[:48] > 0
    np.testing.assert_array_equal((info["pv_p_mw"] == 0)[daylight], out[:, :, 3:][daylight])
    np.testing.assert_array_equal((info["pv_q_mvar"] == 0)[~daylight], out[:, :, 3:][~daylight])


def test_equal_keys_give_equal_days_and_other_keys_others(three_days: Path) -> None:
    env = make(three_days, demand_spread=0.1, line_error=0.1, profile_noise=0.1, outage_probability=0.3)
    reset = jax.jit(env.reset)
    one, same, other = (reset(jax.random.key(seed))[0].today for seed in (1, 1, 2))
    for name in ("load_factor", "impedance_factor", "outage_step"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
    assert (np.asarray(one.load_factor) != np.asarray(other.load_factor)).all()


def test_what_is_not_asked_for_draws_nothing_and_judging_is_undisturbed(three_days: Path) -> None:
    assert not jax.tree.leaves(make(three_days).reset(KEYS[0])[0].today)
    wild = make(three_days, demand_spread=0.1, line_error=0.1, profile_noise=0.1, sensor_noise_pu=0.01)
    assert len(jax.tree.leaves(wild.reset(KEYS[0])[0].today)) == 3
    assert not jax.tree.leaves(evaluation_environment(wild, wild.profiles).reset(KEYS[0])[0].today)
    disturbed = evaluation_environment(wild, wild.profiles, disturbed=True)
    assert len(jax.tree.leaves(disturbed.reset(KEYS[0])[0].today)) == 3


def test_other_values_of_the_draws_cause_no_new_trace(three_days: Path) -> None:
    env = make(three_days, demand_spread=0.1, outage_probability=0.3, profile_noise=0.1)
    traces = []

    @jax.jit
    def play(key: jax.Array) -> jax.Array:
        traces.append(1)
        return env.step(env.reset(key)[0], jnp.zeros((3, 3)))[1].reward

    for key in KEYS[:5]:
        play(key)
    assert len(traces) == 1


# ---- the next day's draw ----


def test_the_next_day_is_drawn_as_by_itself_and_only_where_it_is_needed(three_days: Path) -> None:
    env = nf.make("neom33", power_flow="lindistflow", profiles=three_days, demand_spread=0.1)
    states, _ = jax.jit(jax.vmap(env.reset))(KEYS[:4])
    needed = jnp.asarray([False, True, False, False])
    drawn = jax.jit(jax.vmap(lambda need, state: draw_day_if(env, need, state)))(needed, states)
    alone, _ = jax.jit(env.next_day)(jax.tree.map(lambda leaf: leaf[1], states))
    np.testing.assert_array_equal(drawn.today.load_factor[1], alone.today.load_factor)
    assert int(drawn.day_row[1]) == int(alone.day_row)
    jaxpr = jax.make_jaxpr(jax.vmap(lambda need, state: draw_day_if(env, need, state)))(needed, states)
    operations = {equation.primitive.name for equation in jaxpr.jaxpr.eqns}
    assert "cond" in operations and not any("random" in name or name == "jit" for name in operations)


def test_auto_reset_has_gradients_through_a_day_and_into_the_next(three_days: Path) -> None:
    env = nf.AutoReset(make(three_days, energies="carried"))

    @jax.jit
    def cost(action: jax.Array) -> jax.Array:
        def step(state: nf.State, _: None) -> tuple[nf.State, jax.Array]:
            state, timestep = env.step(state, action)
            return state, timestep.reward.sum()

        states, _ = env.reset(jax.random.key(0))
        return jax.lax.scan(step, states, None, length=50)[1].sum()

    action = jnp.full((3, 3), 0.01)
    slope = jax.grad(cost)(action)
    assert np.isfinite(slope).all() and float(jnp.abs(slope).max()) > 0
    batched = jax.grad(lambda actions: jax.vmap(cost)(actions).sum())(jnp.stack([action, action]))
    np.testing.assert_allclose(batched[1], slope, rtol=1e-3, atol=1e-3)


# ---- variants and phases ----


def test_a_variant_is_the_same_days_under_stress(three_days: Path) -> None:
    plain, stressed = make(three_days), make(three_days, variant="high_load")
    np.testing.assert_allclose(stressed.profiles.demand, 1.2 * np.asarray(plain.profiles.demand), rtol=1e-6)
    np.testing.assert_array_equal(stressed.profiles.solar, plain.profiles.solar)
    assert stressed.scenario.hash() != plain.scenario.hash()
    dark = make(three_days, variant="night", variants=[{"name": "night", "solar_factor": 0.0}])
    assert float(dark.profiles.solar.max()) == 0.0
    with pytest.raises(nf.InputError, match=r"unknown variant 'hihg_load'; known: .*Did you mean 'high_load'"):
        make(three_days, variant="hihg_load")
    with pytest.raises(nf.InputError, match="two have one name"):
        make(three_days, variants=[{"name": "a"}, {"name": "a"}])


def test_the_power_flow_can_be_switched_between_phases(three_days: Path) -> None:
    env = nf.AutoReset(make(three_days))
    exact = env.with_power_flow("ac")
    assert (exact.power_flow.method, exact.scenario.power_flow) == ("ac", "ac")
    state, _ = jax.jit(env.reset)(jax.random.key(0))  # a state goes on under the other power flow
    _, timestep = jax.jit(exact.step)(state, jnp.zeros((3, 3)))
    flow = nf.power_flow(env.feeder, timestep.info["p_injection_mw"], timestep.info["q_injection_mvar"])
    np.testing.assert_allclose(timestep.info["vm_pu"], flow.vm_pu, atol=1e-6)
    with pytest.raises(nf.InputError, match="unknown power-flow method 'gauss'"):
        env.with_power_flow("gauss")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"demand_spread": 1.0}, "demand_spread = 1.0 must lie in 0..1"),
        ({"line_error": -0.1}, "line_error = -0.1"),
        ({"load_growth": [1.2, 1.0]}, "load_growth = [1.2, 1.0] must be a range [lowest, highest]"),
        ({"pv_growth": [1.0]}, "pv_growth = [1.0] must be a range"),
        ({"outage_probability": 2.0}, "outage_probability = 2.0"),
        ({"outage_steps": 0}, "outage_steps = 0"),
    ],
)
def test_a_disturbance_that_cannot_be_is_refused(three_days: Path, fields: dict, says: str) -> None:
    with pytest.raises(nf.InputError) as caught:
        make(three_days, **fields)
    assert says in str(caught.value)


def test_noise_keeps_the_sign_of_a_negative_demand(tmp_path: Path) -> None:
    rows = "\n".join(["Demand,Solar", *["-0.5,0.2"] * 96])
    (tmp_path / "feeding.csv").write_text(rows, encoding="utf-8")
    env = make(tmp_path / "feeding.csv", profile_noise=0.01)
    _, info = first_steps(env)
    assert (info["demand"] < -0.4).all()
