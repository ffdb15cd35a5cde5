"""The policy in pandapower: the environment's days where that is exact, the gap where not, bad policies named."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neomflex_jax as nf
from neomflex_jax.agents.networks import ActorNetwork, NetworkPolicy
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.agents.policy_files import Policies
from neomflex_jax.environment import Environment, evaluation_environment
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation import Trajectory, record
from validation import compare, replay
from validation.closed_loop.acting import idle_policy
from validation.closed_loop.closed_loop import closed_loop
from validation.closed_loop.gap import Apart, Played, compare_loops
from validation.recompute.observations import check_observations
from validation.recompute.set_points import SetPoints
from validation.referee import prepared
from validation.referee.prepared import step_solver
from validation.referee.runpp import NOT_CONVERGED
from validation.verdict.criteria import judge
from validation.verdict.tolerances import tolerances_for

OPTIONS: dict[str, Any] = {
    "batteries": [
        {"bus": 23, "capacity_mwh": 2.0, "power_mw": 0.5, "s_mva": 0.7, "charge_efficiency": 0.9},
        {"bus": 7, "capacity_mwh": 2.0, "power_mw": 0.5, "ramp_mw": 0.2},
    ],
    "pv_inverters": [
        {"bus": 20, "p_max_mw": 1.0, "s_mva": 1.1, "curtailable": True},
        {"bus": 16, "p_max_mw": 1.0, "s_mva": 1.1, "priority": "q"},
        {"bus": 31, "p_max_mw": 1.0, "s_mva": 1.0, "export_limit_mw": 0.2},
    ],
    "flexible_loads": [{"bus": 24, "curtail_share": 0.5, "shift_mw": 0.1, "buffer_mwh": 0.3}],
    "scope": "neighbours",
    "history": 3,
    "forecast_steps": 2,
    "reactive_weight": 1.0,
    "curtailment_weight": 2.0,
    "sharing": "mixed",
    "load_q": "held_from_day_start",
}


def networks(env: Environment, seed: int = 0) -> dict[str, ActorNetwork]:
    """Random actors with lively actions, one an agent."""
    random = np.random.default_rng(seed)
    found = {}
    for index, agent in enumerate(env.agents):
        size, out = int(env.observation_mask[index].sum()), int(env.action_mask[index].sum())
        layers = tuple(
            (random.normal(0, 1 / np.sqrt(n_in), (n_in, n_out)).astype(np.float32), np.zeros(n_out, np.float32))
            for n_in, n_out in ((size, 16), (16, out))
        )
        found[agent] = ActorNetwork(np.zeros(size, np.float32), np.full(size, 3, np.float32), layers)
    return found


def play(power_flow: str, n_days: int = 2, **options: Any) -> tuple[Trajectory, Policies]:
    env = evaluation_environment(nf.make("neom33", power_flow=power_flow, **options))
    actors = networks(env)
    return record(env, NetworkPolicy(tuple(actors.values())), "networks", n_days=n_days), Policies(actors, {})


@pytest.fixture(scope="module")
def exact() -> tuple[Trajectory, Policies]:
    return play("ac")


def zeros(run: Trajectory) -> dict[str, np.ndarray]:
    return dict(idle_policy(run.scenario)({}))


def test_ac_and_pandapower_play_the_same_days(exact: tuple[Trajectory, Policies]) -> None:
    run, policy = exact
    steps: list[tuple[int, int]] = []
    loop = closed_loop(run, policy, on_step=lambda *at: steps.append(at))
    assert np.ptp(run.action, axis=0).max() > 0.2, "the policy does not act on what it sees"
    assert steps == [(48, 96), (96, 96)]
    assert loop.cost_gap_share < 1e-3 and loop.vm_gap_max_pu < 1e-5 and loop.parting is None
    assert loop.failed_flows == 0 and loop.spot_max_pu < 1e-9
    for day in loop.days:
        assert day.cost == pytest.approx(day.recorded_cost, rel=1e-3)
        assert day.outside_band == day.recorded_outside_band and day.soc_gap_max < 1e-5
        assert day.cost == pytest.approx(-sum(day.local_reward))
    np.testing.assert_allclose(loop.played.reward, run.reward, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(loop.played.observation, run.observation, rtol=0, atol=1e-4)
    assert loop.as_dict()["days"][1]["cost"] == loop.days[1].cost
    second = run.rows(run.day == 1)  # by itself: what the day before left is seen as recorded
    np.testing.assert_allclose(closed_loop(second, policy).played.observation, second.observation, rtol=0, atol=1e-4)


def test_the_loops_own_alarms_fail_the_run(exact: tuple[Trajectory, Policies]) -> None:
    run, _ = exact
    metrics, limits = compare(run, replay(run))[0], tolerances_for("ac")

    def failing(**alarms: Any) -> list[str]:
        return [one.name for one in judge(metrics, limits, 0.0, **alarms) if not one.passed]

    assert failing(closed_loop_failed_flows=0, closed_loop_spot_max_pu=0.0) == []
    assert failing(closed_loop_failed_flows=1) == ["closed_loop_failed_flows"]
    assert failing(closed_loop_spot_max_pu=1e-8) == ["closed_loop_spot_max_pu"]
    assert failing(closed_loop_spot_max_pu=float("inf")) == ["closed_loop_spot_max_pu"]


def test_a_dear_day_and_a_cheap_one_do_not_cancel(exact: tuple[Trajectory, Policies]) -> None:
    run, _ = exact
    shift = np.where(run.day == 0, 1.0, -1.0)[:, None]
    other = dataclasses.replace(run, local_reward=run.local_reward + shift)
    status = np.full(run.n_steps, "ok")
    gap = compare_loops(run, Played(other, status, spot_max_pu=0.0), Apart(action=1.0, vm_pu=1.0))
    assert gap.cost == pytest.approx(gap.recorded_cost, rel=1e-5)
    assert gap.cost_gap_share == pytest.approx(run.n_steps * len(run.scenario.agents) / gap.recorded_cost, rel=1e-4)


def test_its_record_passes_validation_and_every_step_equals_plain_runpp(exact: tuple[Trajectory, Policies]) -> None:
    run, policy = exact
    played = closed_loop(run, policy).played
    plain = replay(played)
    np.testing.assert_allclose(played.vm_pu, plain.vm_pu, rtol=0, atol=1e-9)
    for name in ("loss_mw", "slack_p_mw", "slack_q_mvar"):
        np.testing.assert_allclose(getattr(played, name), getattr(plain, name), rtol=0, atol=1e-8)
    metrics, _ = compare(played, plain)
    assert [one.name for one in judge(metrics, tolerances_for("ac")) if not one.passed] == []


def test_every_option_of_devices_and_observations_goes_round_the_loop() -> None:
    run, policy = play("ac", **OPTIONS)
    loop = closed_loop(run, policy)
    assert loop.parting is None and loop.vm_gap_max_pu < 1e-5 and loop.cost_gap_share < 1e-3
    assert np.abs(run.battery_q_mvar).max() > 0.05 and run.load_curtailed_mw.max() > 0.0
    np.testing.assert_allclose(loop.played.load_owed_mwh, run.load_owed_mwh, rtol=0, atol=1e-4)
    assert check_observations(loop.played, nf.load_feeder("case33bw")).max_abs < 1e-6


def test_a_surrogate_parts_from_pandapower_at_a_step_that_is_named() -> None:
    run, policy = play("lindistflow")
    loop = closed_loop(run, policy, apart_action=0.02, apart_vm_pu=0.002)
    parting = loop.parting
    assert parting is not None and parting.row == parting.day * 48 + parting.step
    voltage = np.abs(run.vm_pu - loop.played.vm_pu).max(axis=1) > 0.002
    action = np.abs(run.action - loop.played.action).max(axis=(1, 2)) > 0.02
    assert parting.row == np.flatnonzero(voltage | action)[0]
    assert abs(parting.recorded - parting.closed_loop) > parting.tolerance
    assert loop.cost_gap_share > 1e-3
    assert loop.cost - loop.recorded_cost == pytest.approx(sum(day.cost_gap for day in loop.days))
    whole = closed_loop(run, policy, apart_action=9.0, apart_vm_pu=9.0)
    assert whole.parting is None and whole.cost == loop.cost


def test_the_baseline_is_idle() -> None:
    env = evaluation_environment(nf.make("neom33", power_flow="ac"))
    run = record(env, NoControl(env.action_size), "baseline", n_days=1)
    loop = closed_loop(run, idle_policy(run.scenario))
    assert loop.parting is None and (loop.played.action == 0).all() and loop.cost_gap_share < 1e-5


def test_a_step_without_a_solution_is_counted_seen_as_collapsed_and_left_behind(
    exact: tuple[Trajectory, Policies],
) -> None:
    run, _ = exact
    overload = {name: getattr(run, name).copy() for name in ("demand", "load_q_factor")}
    for values in overload.values():
        values[60] = 6.0
    loop = closed_loop(dataclasses.replace(run, **overload), idle_policy(run.scenario))
    played = loop.played
    assert loop.failed_flows == 1 and not played.converged[60] and played.violated[60]
    assert np.isnan(played.vm_pu[60]).all()
    assert (played.observation[61, 1, :13] == -0.5).all()
    plain = replay(played)
    assert plain.status[60] == NOT_CONVERGED
    np.testing.assert_allclose(played.vm_pu, plain.vm_pu, rtol=0, atol=1e-9)
    assert loop.days[1].hard_violations >= 33
    assert loop.parting is not None and loop.parting.row <= 60


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            lambda given: given | {"agent_2": np.array([0.0, np.nan, 0.0])},
            r"step 5: the action of agent_2, entry 1, is nan",
        ),
        (
            lambda given: given | {"agent_2": np.zeros(2)},
            r"step 5: the action of agent_2 has shape \(2,\); expected \(3,\)",
        ),
        (lambda given: given | {"agent_3": np.zeros((1, 1))}, r"agent_3 has shape \(1, 1\)"),
        (lambda given: {"agent_1": given["agent_1"]}, "step 5: the policy answers for agent_1; expected .* agent_3"),
        (lambda given: given | {"agent_9": np.zeros(1)}, "agent_9; expected an action for each of"),
        (lambda given: list(given.values()), "answers for a list"),
        (lambda given: {}, "answers for nobody"),
        (lambda given: given | {"agent_1": "go"}, "agent_1 is no array of numbers"),
        (lambda given: given | {"agent_1": np.array([1j, 0.0])}, "agent_1 is no array of numbers .it is complex"),
    ],
)
def test_a_bad_answer_is_refused_with_agent_and_step(exact: tuple[Trajectory, Policies], answer, said: str) -> None:
    run, _ = exact
    calls = []

    def policy(observations: dict[str, np.ndarray]):
        calls.append(observations)
        return answer(zeros(run)) if len(calls) == 6 else zeros(run)

    with pytest.raises(InputError, match=said):
        closed_loop(run, policy)


def test_what_is_no_function_is_no_policy(exact: tuple[Trajectory, Policies]) -> None:
    with pytest.raises(InputError, match="the policy is a dict; give a function"):
        closed_loop(exact[0], zeros(exact[0]))


def test_a_policy_that_writes_into_its_observation_changes_no_other(exact: tuple[Trajectory, Policies]) -> None:
    run, _ = exact

    def vandal(observations: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        for observation in observations.values():
            observation[:] = 7.0
        return zeros(run)

    spoilt, idle = (closed_loop(run, policy).played for policy in (vandal, idle_policy(run.scenario)))
    np.testing.assert_array_equal(spoilt.observation, idle.observation)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"demand_spread": 0.1}, "random disturbances"),
        ({"sensor_noise_pu": 0.01}, "random disturbances"),
        ({"on_violation": "end_day"}, "ends days|end_day"),
    ],
)
def test_days_that_cannot_be_played_again_are_refused(exact: tuple[Trajectory, Policies], options, said: str) -> None:
    run, policy = exact
    scenario = nf.load_scenario("neom33", power_flow="ac", **options)
    with pytest.raises(InputError, match=said):
        closed_loop(dataclasses.replace(run, scenario=scenario), policy)


# ---- prepared matrices ----


@pytest.fixture(scope="module")
def solvers():
    scenarios = {name: nf.load_scenario(name) for name in ("neom33", "lv_kerber")}
    return {name: (one, step_solver(one, nf.load_feeder(one.feeder))) for name, one in scenarios.items()}


@settings(max_examples=12)
@given(name=st.sampled_from(("neom33", "lv_kerber")), seed=st.integers(0, 2**32 - 1), heavy=st.floats(0.0, 2.0))
def test_prepared_matrices_answer_as_cold_runpp_does(solvers, name: str, seed: int, heavy: float) -> None:
    scenario, solver = solvers[name]
    random = np.random.default_rng(seed)
    pv, battery = (np.array([each.s_mva for each in scenario.pv_inverters]), [b.power_mw for b in scenario.batteries])
    points = SetPoints(
        demand=np.array([heavy]),
        load_q_factor=np.array([random.uniform(-1, 1) * heavy]),
        devices={
            "battery_p_mw": random.uniform(-1, 1, (1, len(battery))) * battery,
            "battery_q_mvar": np.zeros((1, len(battery))),
            "pv_p_mw": random.uniform(0, 1, (1, len(pv))) * pv,
            "pv_q_mvar": random.uniform(-1, 1, (1, len(pv))) * pv,
        },
    )
    assert solver.prepared is not None
    fast, plain = solver.solve(points), solver.by_runpp(points)
    assert fast["status"][0] == plain["status"][0]
    np.testing.assert_allclose(fast["vm_pu"], plain["vm_pu"], rtol=0, atol=1e-9)
    for quantity in ("loss_mw", "slack_p_mw", "slack_q_mvar"):
        np.testing.assert_allclose(fast[quantity], plain[quantity], rtol=0, atol=1e-8)


def test_matrices_that_are_not_runpps_are_not_used(monkeypatch) -> None:
    prepare = prepared._prepare

    def spoilt(*args: Any):
        found = prepare(*args)
        return dataclasses.replace(found, into_others=found.into_others * 1.0001)

    monkeypatch.setattr(prepared, "_prepare", spoilt)
    solver = step_solver(nf.load_scenario("neom33"), nf.load_feeder("case33bw"))
    assert solver.prepared is None
