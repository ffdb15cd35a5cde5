"""`neom33-original` against the original environment, step by step; see golden/README.md."""

import jax
import numpy as np
import pandas as pd
import pytest
from conftest import ORIGINAL

import neomflex_jax as nf

RUNS = ["gentle", "wide", "solar_penalty"]
ACTIONS = {"agent_1": 2, "agent_2": 3, "agent_3": 1}
BATTERIES = (23, 7, 14)
PV_INVERTERS = (20, 16, 31)
CAPACITY_MWH = 2.0


class Played:
    """One golden run and what the environment answers to its actions, in double precision for comparison."""

    def __init__(self, run: str) -> None:
        self.golden = pd.read_csv(ORIGINAL / f"{run}.csv")
        env = nf.AutoReset(
            nf.make("neom33-original", profiles=ORIGINAL / "profiles.csv", solar_penalty=run == "solar_penalty")
        )
        action = np.zeros((len(self.golden), env.n_agents, env.action_size), np.float32)
        for index, (agent, size) in enumerate(ACTIONS.items()):
            for slot in range(size):
                action[:, index, slot] = self.golden[f"action_{agent}_{slot}"]

        @jax.jit
        def play(key: jax.Array, action: jax.Array) -> tuple:
            def body(state: nf.State, action: jax.Array) -> tuple:
                after, timestep = env.step(state, action)
                return after, (state, timestep)

            return jax.lax.scan(body, env.reset(key)[0], action)[1]

        before, timestep = play(jax.random.key(0), action)
        self.before = before
        self.timestep = timestep
        self.observation = {agent: as_float64(part) for agent, part in env.split(timestep.final_observation).items()}

    def columns(self, *names: str) -> np.ndarray:
        """Golden columns, (n, len(names))."""
        return self.golden[list(names)].to_numpy(np.float64)


def as_float64(values: jax.Array) -> np.ndarray:
    """Leave JAX, where a comparison would round the golden numbers to float32."""
    return np.asarray(values).astype(np.float64)


@pytest.fixture(scope="module", params=RUNS)
def played(request: pytest.FixtureRequest) -> Played:
    """Play each run once."""
    return Played(request.param)


def test_voltages_agree(played: Played) -> None:
    expected = played.columns(*(f"vm_pu_{bus}" for bus in range(33)))
    np.testing.assert_allclose(as_float64(played.timestep.info["vm_pu"]), expected, rtol=0, atol=1e-5)


def test_losses_agree(played: Played) -> None:
    expected = played.columns("loss_mw")[:, 0]
    np.testing.assert_allclose(as_float64(played.timestep.info["loss_mw"]), expected, rtol=1e-4, atol=1e-6)


def test_energies_agree_before_and_after_every_step(played: Played) -> None:
    after = CAPACITY_MWH * as_float64(played.timestep.info["battery_soc"])
    before = CAPACITY_MWH * as_float64(played.before.stores["batteries"].soc)
    expected = played.columns(*(f"battery_{bus}_soc_mwh" for bus in BATTERIES))
    np.testing.assert_allclose(after, expected, rtol=0, atol=1e-5)
    expected = played.columns(*(f"battery_{bus}_soc_mwh_before" for bus in BATTERIES))
    np.testing.assert_allclose(before, expected, rtol=0, atol=1e-5)


def test_delivered_powers_agree(played: Played) -> None:
    info = played.timestep.info
    for name, columns in {
        "battery_p_mw": [f"battery_{bus}_p_mw" for bus in BATTERIES],
        "pv_p_mw": [f"pv_{bus}_p_mw" for bus in PV_INVERTERS],
        "pv_q_mvar": [f"pv_{bus}_q_mvar" for bus in PV_INVERTERS],
    }.items():
        np.testing.assert_allclose(as_float64(info[name]), played.columns(*columns), rtol=0, atol=1e-5, err_msg=name)


def test_reactive_load_is_held_at_the_days_first_value(played: Played) -> None:
    total = as_float64(played.timestep.info["load_q_factor"]) * 2.3
    np.testing.assert_allclose(total, played.columns("load_q_total_mvar")[:, 0], rtol=0, atol=1e-6)


def test_rewards_agree(played: Played) -> None:
    expected = played.columns(*(f"reward_{agent}" for agent in ACTIONS))
    np.testing.assert_allclose(as_float64(played.timestep.reward), expected, rtol=1e-3, atol=1e-3)


def test_observations_agree(played: Played) -> None:
    for agent, observation in played.observation.items():
        columns = [name for name in played.golden if name.startswith(f"observation_{agent}_")]
        assert len(columns) == observation.shape[1]
        np.testing.assert_allclose(observation, played.columns(*columns), rtol=0, atol=1e-5, err_msg=agent)


def test_days_end_begin_and_are_replayed_exactly_where_the_originals_do(played: Played) -> None:
    timestep, golden = played.timestep, played.golden
    np.testing.assert_array_equal(timestep.terminated | timestep.truncated, golden["done"].astype(bool))
    np.testing.assert_array_equal(timestep.terminated, golden["voltage_violation"].astype(bool))
    np.testing.assert_array_equal(timestep.info["violated"], golden["voltage_violation"].astype(bool))
    np.testing.assert_array_equal(timestep.info["dataset_index"], golden["row"])
    np.testing.assert_array_equal(played.before.step == 0, golden["after_reset"].astype(bool))
    assert not bool((timestep.terminated & timestep.truncated).any())


def test_a_violation_leaves_the_penalty_alone(played: Played) -> None:
    violated = np.asarray(played.timestep.info["violated"])
    np.testing.assert_array_equal(np.asarray(played.timestep.reward)[violated], -100.0)


def test_the_runs_show_what_they_are_there_for() -> None:
    golden = {run: pd.read_csv(ORIGINAL / f"{run}.csv") for run in RUNS}
    assert [golden[run]["voltage_violation"].sum() for run in RUNS] == [0, 31, 0]
    assert all(len(table) == 300 for table in golden.values())
    wrapped = golden["gentle"]["row"].diff() < 0
    assert wrapped.sum() == 1  # past the end of the file
