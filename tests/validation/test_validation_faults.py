"""Planted faults: the sound run passes every criterion, and each fault is found by the one that is meant for it.

Faults are planted as a wrong program would make them: what follows from the fault (voltages, rewards, observations)
follows, so that a criterion is shown to find the fault itself and not only a record that contradicts itself.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import numpy as np
import pandapower.networks
import pytest
from test_validation_replay import record_random

import neomflex_jax as nf
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation import Trajectory
from validation import Replay, compare, replay, tolerances_for
from validation.recompute.cost import local_cost
from validation.recompute.observations import check_observations
from validation.recompute.set_points import SetPoints, implied_injections
from validation.referee.pandapower_net import PandapowerNet
from validation.verdict.criteria import judge

BAD_STEP = 60
FEEDER = nf.load_feeder("case33bw")
BOOKKEEPING = {"p_injection_max_mw", "q_injection_max_mvar", "load_q_factor_max", "cost_max", "observation_max"}


def failed(run: Trajectory, replayed: Replay) -> set[str]:
    """Names of the criteria that do not hold."""
    metrics, _ = compare(run, replayed)
    return {one.name for one in judge(metrics, tolerances_for("ac")) if not one.passed}


@pytest.fixture(scope="module")
def run() -> Trajectory:
    return record_random("ac")


@pytest.fixture(scope="module")
def replayed(run: Trajectory) -> Replay:
    """pandapower's answers to the sound run, which passes."""
    answers = replay(run)
    assert failed(run, answers) == set()
    return answers


def position(bus: int) -> int:
    return FEEDER.bus_labels.index(bus)


def relived(run: Trajectory, **changes: np.ndarray) -> Trajectory:
    """The run with other answers, and the rewards and observations that follow from them."""
    changed = dataclasses.replace(run, **changes)
    names = ("vm_pu", "loss_mw", "slack_p_mw", "battery_p_mw", "pv_q_mvar", "price")
    values = {name: np.asarray(getattr(changed, name), float) for name in names}
    cost = local_cost(run.scenario, FEEDER, step=run.step, **values)
    observation, later = run.observation.copy(), np.arange(1, run.n_steps)  # days go on into each other
    for agent, territory in enumerate(run.scenario.territories):
        seen = changed.vm_pu[:, [position(bus) for bus in territory.buses]] - 1.0
        observation[later, agent, : seen.shape[1]] = seen[later - 1]
    return dataclasses.replace(changed, local_reward=-cost, observation=observation)


def with_injections(
    run: Trajectory, p_mw: np.ndarray, q_mvar: np.ndarray, feeder: nf.Feeder = FEEDER, **changes: np.ndarray
) -> Trajectory:
    """The run as it would have been with these injections, on this feeder."""
    flow = nf.power_flow(feeder, p_mw, q_mvar, "ac", fields=("vm_pu", "loss_mw", "slack_p_mw", "slack_q_mvar"))
    answers = {name: np.asarray(getattr(flow, name)) for name in ("vm_pu", "loss_mw", "slack_p_mw", "slack_q_mvar")}
    return relived(run, **answers, p_injection_mw=p_mw, q_injection_mvar=q_mvar, **changes)


def injections(run: Trajectory) -> tuple[np.ndarray, np.ndarray]:
    p_mw, q_mvar = implied_injections(run, FEEDER)
    return p_mw, q_mvar


def test_reliving_the_sound_run_leaves_it_sound(run: Trajectory, replayed: Replay) -> None:
    assert failed(with_injections(run, *injections(run)), replayed) == set()


def test_a_lines_resistance_off_by_2_percent(run: Trajectory, replayed: Replay, monkeypatch) -> None:
    branch = next(
        row
        for row, ends in enumerate(zip(FEEDER.topology.from_bus, FEEDER.topology.to_bus, strict=True))
        if {FEEDER.bus_labels[end] for end in ends} == {7, 8}
    )
    r_ohm = np.array(FEEDER.r_ohm)
    r_ohm[branch] *= 1.02
    faulty = with_injections(run, *injections(run), dataclasses.replace(FEEDER, r_ohm=r_ohm))
    found = failed(faulty, replayed)
    assert "vm_max_pu" in found and not found & BOOKKEEPING

    original = pandapower.networks.case33bw

    def altered():
        net = original()
        line = net.line.index[(net.line["from_bus"] == 7) & (net.line["to_bus"] == 8)]
        net.line.loc[line, "r_ohm_per_km"] *= 1.02
        return net

    monkeypatch.setattr(pandapower.networks, "case33bw", altered)  # the referee's own grid
    with pytest.raises(InputError, match="r_ohm of branch 7-8"):
        replay(run)


def test_one_batterys_sign_flipped(run: Trajectory, replayed: Replay, monkeypatch) -> None:
    p_mw, q_mvar = injections(run)
    p_mw[:, position(7)] -= 2 * run.battery_p_mw[:, 1]
    found = failed(with_injections(run, p_mw, q_mvar), replayed)
    assert {"p_injection_max_mw", "slack_p_max_mw", "vm_max_pu"} <= found

    write = PandapowerNet.write

    def flipped(built: PandapowerNet, set_points: SetPoints) -> None:
        battery_p_mw = set_points.devices["battery_p_mw"].copy()
        battery_p_mw[:, 1] *= -1
        write(built, dataclasses.replace(set_points, devices={**set_points.devices, "battery_p_mw": battery_p_mw}))

    monkeypatch.setattr(PandapowerNet, "write", flipped)  # on the referee's side
    assert {"power_balance_max_mw", "vm_max_pu"} <= failed(run, replay(run))


def test_two_buses_swapped(run: Trajectory, replayed: Replay) -> None:
    vm_pu, here, there = run.vm_pu.copy(), position(7), position(8)
    vm_pu[:, [here, there]] = vm_pu[:, [there, here]]
    faulty = relived(run, vm_pu=vm_pu)
    assert failed(faulty, replayed) == {"vm_max_pu"}
    assert compare(faulty, replayed)[0].worst_voltage.bus in (7, 8)


def test_a_loads_q_left_unscaled(run: Trajectory, replayed: Replay) -> None:
    p_mw, q_mvar = injections(run)
    bus = position(24)
    q_mvar[:, bus] += (run.load_q_factor - 1.0) * FEEDER.load_q_mvar[bus]
    found = failed(with_injections(run, p_mw, q_mvar), replayed)
    assert {"q_injection_max_mvar", "slack_q_max_mvar", "vm_max_pu"} <= found


def test_a_factor_on_every_loads_q_that_is_not_the_rules(run: Trajectory, replayed: Replay) -> None:
    ones = np.ones_like(run.load_q_factor)
    owned_up = dataclasses.replace(run, load_q_factor=ones)
    faulty = with_injections(owned_up, *implied_injections(owned_up, FEEDER))
    assert failed(faulty, replay(faulty)) == {"load_q_factor_max"}


def test_a_pv_at_the_neighbouring_bus(run: Trajectory, replayed: Replay) -> None:
    p_mw, q_mvar = injections(run)
    for injection, of_pv in ((p_mw, run.pv_p_mw[:, 1]), (q_mvar, run.pv_q_mvar[:, 1])):
        injection[:, position(16)] -= of_pv
        injection[:, position(17)] += of_pv
    found = failed(with_injections(run, p_mw, q_mvar), replayed)
    assert {"p_injection_max_mw", "q_injection_max_mvar", "vm_max_pu"} <= found


def shift_in_time(vm_pu: np.ndarray) -> None:
    vm_pu[BAD_STEP] = vm_pu[BAD_STEP - 1]


def shift_by_a_bus(vm_pu: np.ndarray) -> None:
    vm_pu[BAD_STEP] = np.roll(vm_pu[BAD_STEP], 1)


@pytest.mark.parametrize("shift", [shift_in_time, shift_by_a_bus])
def test_one_steps_voltages_shifted_by_one(
    run: Trajectory, replayed: Replay, shift: Callable[[np.ndarray], None]
) -> None:
    vm_pu = run.vm_pu.copy()
    shift(vm_pu)
    consistent = relived(run, vm_pu=vm_pu)
    assert "vm_max_pu" in failed(consistent, replayed)
    worst = compare(consistent, replayed)[0].worst_voltage
    assert (worst.day, worst.step) == divmod(BAD_STEP, 48)
    found = failed(dataclasses.replace(run, vm_pu=vm_pu), replayed)
    assert {"vm_max_pu", "cost_max", "observation_max"} <= found


def test_a_nan_among_the_answers(run: Trajectory, replayed: Replay) -> None:
    vm_pu = run.vm_pu.copy()
    vm_pu[BAD_STEP, 5] = np.nan
    assert "non_finite_values" in failed(dataclasses.replace(run, vm_pu=vm_pu), replayed)


def test_a_nan_among_the_set_points_or_observations(run: Trajectory, replayed: Replay) -> None:
    pv_q_mvar, observation = run.pv_q_mvar.copy(), run.observation.copy()
    pv_q_mvar[BAD_STEP, 1] = np.nan
    with pytest.raises(InputError, match=f"pv_q_mvar at step {BAD_STEP} is not finite"):
        replay(dataclasses.replace(run, pv_q_mvar=pv_q_mvar))
    observation[BAD_STEP, 1, 3] = np.nan
    assert failed(dataclasses.replace(run, observation=observation), replayed) == {"observation_max"}


def test_a_step_that_does_not_converge(run: Trajectory) -> None:
    overload = {name: getattr(run, name).copy() for name in ("demand", "load_q_factor")}
    for values in overload.values():
        values[BAD_STEP] = 6.0
    faulty = dataclasses.replace(run, **overload)
    answers = replay(faulty)
    assert {"failed_flows", "missed_hard_violations"} <= failed(faulty, answers)
    metrics, series = compare(faulty, answers)
    assert metrics.failed_flows == 1 and metrics.n_bus_steps == run.n_steps * 33
    assert series.outside_hard[BAD_STEP].all() and series.outside_band[BAD_STEP].all()


def see_the_neighbours(observation: np.ndarray, run: Trajectory) -> None:
    """agent_3's first voltage is that of bus 5, which is agent_2's."""
    observation[1:, 2, 0] = run.vm_pu[:-1, position(5)] - 1.0


def see_another_battery(observation: np.ndarray, run: Trajectory) -> None:
    """agent_1 sees the state of charge of agent_2's battery at bus 7."""
    observation[:, 0, 14] = run.battery_soc_before[:, 1]


@pytest.mark.parametrize(
    ("plant", "agent", "said"),
    [(see_the_neighbours, "agent_3", "vm of bus 25"), (see_another_battery, "agent_1", "soc 0")],
)
def test_an_observation_from_the_wrong_territory(
    run: Trajectory, replayed: Replay, plant, agent: str, said: str
) -> None:
    observation = run.observation.copy()
    plant(observation, run)
    faulty = dataclasses.replace(run, observation=observation)
    assert failed(faulty, replayed) == {"observation_max"}
    found = check_observations(faulty, FEEDER)
    assert (found.agent, found.entry) == (agent, said)


def test_energy_that_gets_lost_and_a_wrong_reward(run: Trajectory, replayed: Replay) -> None:
    half = partial(np.multiply, np.float32(0.999))
    assert failed(dataclasses.replace(run, local_reward=half(run.local_reward)), replayed) == {
        "cost_max",
        "day_cost_gap_max",
        "day_cost_flattery_max",
    }
    lost = failed(dataclasses.replace(run, battery_soc=half(run.battery_soc)), replayed)
    assert lost == {"energy_max_mwh", "energy_jump_max_mwh", "device_limit_max", "observation_max"}


def test_whole_numbers_for_converged_are_refused(run: Trajectory) -> None:
    for name in ("converged", "violated"):
        with pytest.raises(InputError, match=f"{name} holds int64 values, expected bool"):
            replay(dataclasses.replace(run, **{name: getattr(run, name).astype(np.int64)}))


def test_devices_beyond_their_ratings(run: Trajectory, replayed: Replay) -> None:
    """A record of larger devices, sound in itself, stored under the scenario's smaller ones."""
    scenario = run.scenario
    smaller = {
        "power": {"batteries": tuple(dataclasses.replace(each, power_mw=0.1) for each in scenario.batteries)},
        "window": {"batteries": tuple(dataclasses.replace(each, soc_max=0.6) for each in scenario.batteries)},
        "panels": {"pv_inverters": tuple(dataclasses.replace(each, p_max_mw=0.9) for each in scenario.pv_inverters)},
        "rating": {"pv_inverters": tuple(dataclasses.replace(each, s_mva=0.9) for each in scenario.pv_inverters)},
    }
    for what, devices in smaller.items():
        faulty = dataclasses.replace(run, scenario=dataclasses.replace(scenario, **devices))
        assert "device_limit_max" in failed(faulty, replayed), what
    for name, factor in (("pv_p_mw", 0.9), ("pv_p_mw", 1.1), ("pv_available_mw", 1.1), ("solar", 1.1)):
        values = getattr(run, name) * np.float32(factor)
        assert "device_limit_max" in failed(dataclasses.replace(run, **{name: values}), replayed), (name, factor)
    reactive = dataclasses.replace(run, battery_q_mvar=run.battery_q_mvar + np.float32(1e-3))
    assert "device_limit_max" in failed(reactive, replayed), "a battery without a rating has no reactive power"


def test_energy_from_nowhere(run: Trajectory, replayed: Replay) -> None:
    """A battery is full again at every midnight; every step by itself balances, and policies see it."""
    lift = np.where(run.day == 1, np.float32(0.05), np.float32(0.0))
    energies = {name: getattr(run, name).copy() for name in ("battery_soc_before", "battery_soc")}
    for values in energies.values():
        values[:, 0] += lift
    observation = run.observation.copy()
    observation[:, 0, 14] += lift
    faulty = dataclasses.replace(run, observation=observation, **energies)
    assert "energy_jump_max_mwh" in failed(faulty, replayed)
    anew = dataclasses.replace(run.scenario, rules=dataclasses.replace(run.scenario.rules, energies="random"))
    assert "energy_jump_max_mwh" not in failed(dataclasses.replace(faulty, scenario=anew), replayed)
