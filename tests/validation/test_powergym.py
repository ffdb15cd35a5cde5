"""PowerGym's task on IEEE 13: its reward by hand, its choices, a policy and OpenDSS's controls played in OpenDSS."""

from dataclasses import replace

import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.evaluation import Trajectory, record
from validation import closed_loop, replay
from validation.powergym import HORIZON, Weights, in_its_choices, rewards


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> nf.Scenario:
    hours = np.arange(HORIZON)
    demand = 0.75 + 0.35 * np.sin((hours - 9) / 24 * 2 * np.pi)
    path = tmp_path_factory.mktemp("powergym") / "hours.csv"
    path.write_text("\n".join(["Demand,Solar", *(f"{one:.4f},0.0" for one in demand)]) + "\n")
    days = {"profiles": str(path), "evaluation_profiles": str(path), "steps_per_day": HORIZON, "step_hours": 1.0}
    return replace(nf.load_scenario("ieee13_volt_var"), **days)


@pytest.fixture(scope="module")
def idle(scenario: nf.Scenario) -> Trajectory:
    env = evaluation_environment(nf.make(scenario))
    return record(env, NoControl(env.action_size), "idle")


def test_the_reward_is_that_of_its_description(idle: Trajectory) -> None:
    n, at = idle.n_steps, idle.nodes.at
    vm_pu = np.ones((n, len(idle.nodes)))
    vm_pu[3, at["671"]] = [1.07, 0.93, 1.06]  # highest phase 0.02 above, lowest 0.02 below: two violations of one bus
    vm_pu[4, at["611"]] = 0.9
    tap = np.zeros((n, 3))
    tap[2:, 1] = -5.0
    banks = np.zeros((n, 2))
    banks[5:7] = 1.0
    power = np.zeros((n, 1))
    power[8], power[9] = 0.125, -0.25  # half discharge costs, charge does not
    devices = {**idle.devices, "tap_position": tap, "capacitor_steps": banks, "battery_p_mw": power}
    for name in ("tap_position", "capacitor_steps"):
        devices[f"{name}_before"] = np.vstack([0 * devices[name][:1], devices[name][:-1]])
    grid = replace(idle, vm_pu=vm_pu, loss_mw=np.full(n, 0.06), slack_p_mw=np.full(n, 3.0), devices=devices)
    found = rewards(grid, grid)
    voltage, control = np.zeros(n), np.zeros(n)
    voltage[3], voltage[4] = -0.04, -0.05
    control[2], control[5], control[7], control[8] = -5 / 33, -2 / 33, -2 / 33, -3 / 33
    np.testing.assert_allclose(found.voltage, voltage, atol=1e-12)
    np.testing.assert_allclose(found.control, control, atol=1e-12)
    np.testing.assert_allclose(found.losses, -0.2, atol=1e-12)
    np.testing.assert_allclose(found.by_day(), [voltage.sum() + control.sum() - 24 * 0.2])
    doubled = rewards(grid, grid, Weights(loss=20.0))
    np.testing.assert_allclose(doubled.losses, -0.4, atol=1e-12)


def test_a_policy_plays_in_opendss_in_powergyms_choices_and_beats_no_control(
    scenario: nf.Scenario, idle: Trajectory
) -> None:
    """A rule: the taps and banks that the circuit's file has, and a battery that follows the clock, between choices."""
    pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")
    steps = iter(range(HORIZON))

    def rule(observations: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        hour = next(steps)
        battery = 0.53 if 15 <= hour < 17 else -0.11
        return {"operator": np.array([battery, *np.array([-9, -6, -9]) / 16, 1.0, 1.0, 0.7], np.float32)}

    played = closed_loop(idle, in_its_choices(rule, scenario), apart_action=0.0).played
    assert played.power_flow == "OpenDSS" and np.isfinite(played.vm_pu).all()
    np.testing.assert_allclose(16 * played.battery_p_mw[15] / 0.25, 8.0, atol=1e-4)  # 0.53 x 16 = 8.48
    assert not played.battery_q_mvar.any() and (played.tap_position == [-9, -6, -9]).all()
    found, nothing = rewards(played, played), rewards(idle, replay(idle))
    assert found.by_day()[0] > nothing.by_day()[0] + 1.0
    np.testing.assert_allclose(found.control[0], -(24 + 2) / 33, atol=1e-6)
    assert found.losses.mean() > nothing.losses.mean() and found.voltage.sum() > nothing.voltage.sum()


def test_opendss_controllers_are_judged_on_the_same_reward(scenario: nf.Scenario) -> None:
    pytest.importorskip("opendssdirect", reason="OpenDSS is not installed (extra opendss)")
    env = evaluation_environment(nf.make(scenario, tap_changers=(), capacitor_banks=(), feeder_controls="follow"))
    run = record(env, NoControl(env.action_size), "followed")
    found = rewards(run, replay(run))
    moved = np.abs(np.round((run.feeder_tap_ratio - run.feeder_tap_ratio_before) / 0.00625)).sum(axis=1)
    np.testing.assert_allclose(found.control, -moved / 33, atol=1e-6)
    assert moved.sum() > 5 and found.total.max() < 0


def test_what_is_not_powergyms_is_refused(scenario: nf.Scenario, idle: Trajectory) -> None:
    with pytest.raises(nf.InputError, match="PowerGym's days have 24 steps"):
        rewards(replace(idle, scenario=nf.load_scenario("ieee13_volt_var")), idle)
    with pytest.raises(nf.InputError, match="PowerGym has no PV inverter"):
        in_its_choices(lambda seen: seen, nf.load_scenario("ieee123"))
    fewer = [replace(each, steps=8) for each in scenario.further["tap_changers"]]
    with pytest.raises(nf.InputError, match="has 33 taps; steps must be 16"):
        in_its_choices(lambda seen: seen, replace(scenario, further={"tap_changers": tuple(fewer)}))
