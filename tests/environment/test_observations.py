"""What agents see, by scope, history, forecast and noise, against the table that describes it."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import neomflex_jax as nf
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.environment.step.observations import observe


def make(three_days: Path, **fields: object) -> nf.Environment:
    """The 33 buses on the cheapest power flow, days in file order, energies carried."""
    return nf.make(
        "neom33", power_flow="lindistflow", profiles=three_days, day_order="file", energies="carried", **fields
    )


def stepped(env: nf.Environment, n_steps: int = 1) -> tuple[nf.State, nf.TimeStep, list[nf.TimeStep]]:
    """Some steps under actions that move everything."""
    state, timestep = env.reset(jax.random.key(0))
    seen, step = [timestep], jax.jit(env.step)
    for number in range(n_steps):
        state, timestep = step(state, jnp.full(env.action_mask.shape, 0.1 + 0.1 * number))
        seen.append(timestep)
    return state, timestep, seen


def own(env: nf.Environment, agent: str) -> pd.DataFrame:
    """The table's rows of one agent's observation."""
    table = env.describe()
    return table[(table.kind == "observation") & (table.agent == agent)]


def test_the_table_has_a_row_for_every_entry_and_its_ranges_hold(three_days: Path) -> None:
    env = make(three_days, forecast_steps=2, history=2)
    table = env.describe()
    assert list(table.columns) == ["kind", "agent", "index", "name", "unit", "low", "high"]
    for kind, mask in (("observation", env.observation_mask), ("action", env.action_mask)):
        counted = table[table.kind == kind].groupby("agent", sort=False).size()
        assert counted.to_dict() == dict(zip(env.agents, mask.sum(1).tolist(), strict=True))
    _, timestep, _ = stepped(env, 3)
    for agent, values in env.split(timestep.observation).items():
        rows = own(env, agent)
        assert rows["index"].tolist() == list(range(len(values)))
        assert (np.asarray(values) >= rows.low - 1e-6).all() and (np.asarray(values) <= rows.high + 1e-6).all()
    actions = table[table.kind == "action"]
    assert actions.name.tolist() == [
        "battery_p of battery_23",
        "pv_q of pv_20",
        "battery_p of battery_7",
        "battery_p of battery_14",
        "pv_q of pv_16",
        "pv_q of pv_31",
    ]


def test_the_default_is_the_tasks_observation(three_days: Path) -> None:
    names = own(make(three_days), "agent_3").name.tolist()
    assert names == [
        *(f"vm_pu - 1 at bus {bus}" for bus in range(25, 33)),
        "Demand of the next step",
        "Solar of the next step",
        "time of day",
    ]


@pytest.mark.parametrize(
    ("scope", "buses", "batteries"),
    [
        ("local", [31], []),
        ("territory", list(range(25, 33)), []),
        ("neighbours", [*range(25, 33), *range(5, 18)], [7, 14]),  # bus 25 hangs on bus 5, agent_2's
        ("global", [*range(25, 33), *range(5), *range(18, 25), *range(5, 18)], [23, 7, 14]),
    ],
)
def test_a_scope_says_whose_measurements_are_seen(
    three_days: Path, scope: str, buses: list[int], batteries: list[int]
) -> None:
    env = make(three_days, scope=scope)
    names = own(env, "agent_3").name.tolist()
    assert names[: len(buses)] == [f"vm_pu - 1 at bus {bus}" for bus in buses]
    assert sorted(names[len(buses) + 2 : -1]) == sorted(f"soc of battery_{bus}" for bus in batteries)
    state, timestep, _ = stepped(env)
    seen = np.asarray(env.split(timestep.observation)["agent_3"])
    vm_pu = np.asarray(timestep.info["vm_pu"])
    np.testing.assert_allclose(seen[: len(buses)], vm_pu[buses] - 1.0, atol=1e-6)
    charge = {f"soc of battery_{bus}": soc for bus, soc in zip((23, 7, 14), state.stores["batteries"].soc, strict=True)}
    for name, value in zip(names, seen, strict=True):
        if name in charge:
            assert value == pytest.approx(float(charge[name]), abs=1e-6)


def test_history_stacks_what_was_seen_before_the_newest_first(three_days: Path) -> None:
    plain, env = make(three_days), make(three_days, history=3)
    _, _, seen = stepped(plain, 4)
    _, _, stacked = stepped(env, 4)
    frames = {agent: values for agent, values in env.split(stacked[4].observation).items()}
    for agent in env.agents:
        expected = [plain.split(seen[when].observation)[agent] for when in (4, 3, 2)]
        np.testing.assert_allclose(frames[agent], np.concatenate(expected), atol=1e-6)
    start = env.split(stacked[0].observation)["agent_1"].reshape(3, -1)
    np.testing.assert_array_equal(start, np.broadcast_to(start[0], start.shape))  # nothing before: the first, repeated


def test_a_perfect_forecast_is_what_comes(three_days: Path) -> None:
    env = make(three_days, forecast_steps=3)
    _, timestep, _ = stepped(env, 2)
    values = np.asarray(env.split(timestep.observation)["agent_3"])[8:-1]
    rows = 2 + np.array([0, 1, 2, 3])
    demand, solar = np.asarray(env.profiles.demand)[rows], np.asarray(env.profiles.solar)[rows]
    np.testing.assert_allclose(values, [demand[0], solar[0], *demand[1:], *solar[1:]], atol=1e-6)


def test_persistence_repeats_the_day_before(three_days: Path) -> None:
    env = make(three_days, forecast_steps=2, forecast="persistence")
    state, _, _ = stepped(env, 5)
    state, timestep = env.next_day(dataclasses.replace(state, step=jnp.asarray(48, jnp.int32)))
    demand = np.asarray(env.split(timestep.observation)["agent_3"])[10:12]
    np.testing.assert_allclose(demand, np.asarray(env.profiles.demand)[[1, 2]], atol=1e-6)  # day 0's, on day 1


def test_a_noisy_forecast_errs_more_the_further_it_looks_and_anew_each_step(three_days: Path) -> None:
    env = make(three_days, forecast_steps=8, forecast="noisy", forecast_noise=0.2)
    exact = np.asarray(env.profiles.demand)[2:10]
    draw = jax.jit(jax.vmap(lambda key: env.step(env.reset(key)[0], jnp.zeros((3, 3)))[1].observation))
    seen = np.asarray(draw(jax.random.split(jax.random.key(5), 2000)))[:, 2, 10:18] / exact - 1
    expected = 0.2 * np.sqrt(np.arange(1, 9) / 8)
    np.testing.assert_allclose(seen.std(0), expected, rtol=0.08)
    np.testing.assert_allclose(seen.mean(0), 0.0, atol=0.02)
    correlation = np.corrcoef(seen.T)
    assert np.abs(correlation - np.eye(8)).max() < 0.1


def test_sensor_noise_is_on_voltages_alone_and_the_same_for_all_who_read_the_sensor(three_days: Path) -> None:
    quiet, noisy = make(three_days, scope="global"), make(three_days, scope="global", sensor_noise_pu=0.01)
    read = jax.jit(jax.vmap(lambda key: noisy.reset(key)[1].observation))(jax.random.split(jax.random.key(3), 2000))
    off = np.asarray(read) - np.asarray(quiet.reset(jax.random.key(0))[1].observation)
    np.testing.assert_allclose(off[:, 0, :33].std(0), 0.01, rtol=0.12)
    np.testing.assert_allclose(off[:, :, 33:], 0.0, atol=1e-6)
    own_first = [*range(25, 33), *range(5), *range(18, 25), *range(5, 18)]
    by_bus = {bus: off[:, 2, column] for column, bus in enumerate(own_first)}
    np.testing.assert_allclose(off[:, 0, 0], by_bus[0], atol=1e-6)  # bus 0, seen by agent_1 and agent_3


def test_a_missing_agent_is_unseen_and_its_devices_idle(three_days: Path) -> None:
    env = make(three_days, scope="global", missing_probability=0.5)
    states, first = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 400))
    missing = np.asarray(states.today.missing)
    assert 0.4 < missing.mean() < 0.6
    _, timestep = jax.jit(jax.vmap(env.step))(states, jnp.ones((400, 3, 3)))
    p_mw, q_mvar = (np.asarray(timestep.info[name]) for name in ("battery_p_mw", "pv_q_mvar"))
    np.testing.assert_array_equal(p_mw[:, 0] == 0, missing[:, 0])
    np.testing.assert_array_equal(p_mw[:, 1] == 0, missing[:, 1])
    np.testing.assert_array_equal(q_mvar[:, 2] == 0, missing[:, 2])
    for seen in (np.asarray(first.observation), np.asarray(timestep.observation)):
        np.testing.assert_array_equal((seen[:, 2] == 0).all(1), missing[:, 2])  # it sees nothing itself
        others_buses = seen[:, 2, 8 + 1 : 8 + 5]  # buses 1 to 4 of agent_1, as agent_3 sees them
        hidden = missing[:, 0] | missing[:, 2]
        np.testing.assert_array_equal((others_buses == 0).all(1), hidden)
    judged = evaluation_environment(env, env.profiles)
    assert judged.reset(jax.random.key(0))[0].today.missing is None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"scope": "all"}, "scope = 'all' is not one of 'local', 'territory', 'neighbours', 'global'"),
        ({"history": 0}, "history = 0 must lie in 1"),
        ({"forecast_steps": -1}, "forecast_steps = -1 must lie in 0..10000"),
        ({"forecast_steps": 144}, "forecast_steps = 144 is longer than the data"),
        ({"forecast": "oracle"}, "'perfect', 'persistence', 'noisy'"),
        ({"sensor_noise_pu": -0.1}, "sensor_noise_pu = -0.1 must lie in 0..1"),
        ({"missing_probability": 1.5}, "missing_probability = 1.5 must lie in 0..1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(three_days: Path, fields: dict, says: str) -> None:
    with pytest.raises(nf.InputError) as caught:
        make(three_days, **fields)
    assert says in str(caught.value)


def test_persistence_never_shows_what_is_still_to_come(three_days: Path) -> None:
    env = make(three_days, forecast_steps=60, forecast="persistence")
    state, _ = env.reset(jax.random.key(0))
    _, timestep = env.next_day(dataclasses.replace(state, step=jnp.asarray(48, jnp.int32), day_row=jnp.asarray(48)))
    seen = np.asarray(env.split(timestep.observation)["agent_3"])[10:70]  # of row 96, the third day's first
    rows = 96 + np.arange(1, 61) - np.where(np.arange(1, 61) < 48, 48, 96)
    assert rows.max() < 96
    np.testing.assert_allclose(seen, np.asarray(env.profiles.demand)[rows], atol=1e-6)


def test_a_forecast_beyond_midnight_is_the_files_whatever_today_drew(three_days: Path) -> None:
    env = make(three_days, forecast_steps=60, load_growth=[2.0, 2.0])
    _, timestep = env.reset(jax.random.key(0))
    seen = np.asarray(env.split(timestep.observation)["agent_3"])[10:70]
    demand = np.asarray(env.profiles.demand)[1:61]
    np.testing.assert_allclose(seen, np.where(np.arange(1, 61) < 48, 2.0, 1.0) * demand, rtol=1e-6)


def test_an_empty_battery_is_not_below_zero(three_days: Path) -> None:
    battery = {"bus": 23, "capacity_mwh": 2.0, "power_mw": 0.5, "soc_min": 0.0, "discharge_efficiency": 0.91}
    others = [{"bus": bus, "p_max_mw": 1.0, "s_mva": 1.0} for bus in (16, 31)]
    env = make(three_days, batteries=[battery], pv_inverters=others)
    _, _, seen = stepped(env, 12)
    for each in seen:
        assert (np.asarray(each.observation) >= env.observation_low).all()


def test_agents_of_very_unequal_sizes_see_the_same_as_by_one_gather(three_days: Path) -> None:
    layout = make(three_days).observation_layout
    n_values = len(layout.values)
    mask = np.arange(30) < np.array([30, 2, 1, 0, 3])[:, None]
    slots = np.where(mask, np.random.default_rng(0).integers(0, n_values, mask.shape), n_values)
    unequal = dataclasses.replace(layout, slots=slots, mask=mask)
    values = jnp.arange(1.0, n_values + 1)

    def total(values: jax.Array) -> jax.Array:
        return jnp.sum(observe(unequal, values, jnp.zeros((0, n_values)), None) ** 2)

    np.testing.assert_array_equal(
        observe(unequal, values, jnp.zeros((0, n_values)), None), np.append(values, 0.0)[slots]
    )
    seen = np.bincount(slots[mask], minlength=n_values)
    np.testing.assert_allclose(jax.grad(total)(values), 2 * values * seen, rtol=1e-6)
