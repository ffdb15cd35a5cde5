"""Battery ramps as the referee judges them: legal records pass, whatever ends a ramp, and planted breaches do not."""

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_validation_replay import RandomPolicy, record_random

import neomflex_jax as nf
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.evaluation import Trajectory, record
from neomflex_jax.scenario import Rules, Scenario, Uncertainty
from validation import Sample, tolerances_for, validate
from validation.errors.metrics import compare
from validation.recompute.device_limits import device_excess
from validation.recompute.record import checked_record
from validation.referee.replay import replay, replay_record
from validation.referee.workers import Spread
from validation.verdict.criteria import judge

FEEDER = nf.load_feeder("case33bw")
LIMIT = tolerances_for("ac").device_limit_max
RAMP_MW = 0.12


def ramped(scenario: Scenario, **changes: float) -> Scenario:
    batteries = tuple(dataclasses.replace(each, ramp_mw=RAMP_MW, **changes) for each in scenario.batteries)
    return dataclasses.replace(scenario, batteries=batteries)


@pytest.fixture(scope="module")
def run() -> Trajectory:
    """Three days of random actions under ramps, with small batteries, which run empty and full."""
    scenario = ramped(nf.load_scenario("neom33"), capacity_mwh=0.5, charge_efficiency=0.9, discharge_efficiency=0.8)
    env = evaluation_environment(nf.make(scenario, power_flow="ac"))
    return record(env, RandomPolicy(jax.random.key(1), env.action_size), "ramped", n_days=3, profiles_sha256="ab" * 32)


def judged(run: Trajectory) -> np.ndarray:
    """Steps and batteries that leave their limits, (n, 3) bool."""
    return device_excess(run, FEEDER)[:, :3] > LIMIT


def with_p(run: Trajectory, row: int, p_mw: float, soc: float = 0.5) -> Trajectory:
    """The run with the first battery at another power in one step, from another state of charge."""
    battery_p_mw, battery_soc_before = run.battery_p_mw.copy(), run.battery_soc_before.copy()
    battery_p_mw[row, 0], battery_soc_before[row, 0] = p_mw, soc
    return dataclasses.replace(run, battery_p_mw=battery_p_mw, battery_soc_before=battery_soc_before)


def test_a_legal_record_passes_over_midnights_and_stops_at_the_windows_ends(run: Trajectory) -> None:
    assert not judged(run).any()
    change_mw = np.abs(np.diff(run.battery_p_mw, axis=0))
    assert (change_mw > RAMP_MW + 0.01).any(), "a battery that runs empty or full stops at once"
    at_midnight = run.battery_p_mw[[47, 95]]
    assert (np.abs(at_midnight) > 0.01).any(), "or nothing is carried over"
    metrics, _ = compare(run, replay(run))
    assert "device_limit_max" not in {one.name for one in judge(metrics, tolerances_for("ac")) if not one.passed}


def test_a_jump_beyond_the_ramp_is_found() -> None:
    """A record without ramps, sound in itself, stored under a scenario that has them."""
    free = record_random("ac")
    stored = dataclasses.replace(free, scenario=ramped(free.scenario))
    metrics, _ = compare(stored, replay(stored))
    assert {one.name for one in judge(metrics, tolerances_for("ac")) if not one.passed} == {"device_limit_max"}


@pytest.mark.parametrize("row", [0, 1, 30, 48, 96])
@pytest.mark.parametrize("way", [-1, 1])
def test_one_steps_breach_is_found_also_at_midnight_and_at_the_start(run: Trajectory, row: int, way: int) -> None:
    before_mw = float(run.battery_p_mw[row - 1, 0]) if row else 0.0
    within = np.clip(before_mw + way * (RAMP_MW - 1e-3), -0.3, 0.3)
    assert not judged(with_p(run, row, within))[row, 0]
    beyond = before_mw + way * (RAMP_MW + 1e-3)
    if abs(beyond) < 0.19:  # the store itself ends larger ones
        assert judged(with_p(run, row, beyond))[row, 0]


def test_a_days_first_step_starts_from_rest_where_energies_are_drawn_anew(run: Trajectory) -> None:
    busy = with_p(with_p(run, 47, 0.15), 48, 0.15)
    assert not judged(busy)[48, 0]
    scenario = dataclasses.replace(run.scenario, rules=Rules(day_order="file", energies="random"))
    anew = dataclasses.replace(busy, scenario=scenario)
    assert judged(anew)[48, 0]
    assert not judged(with_p(anew, 48, RAMP_MW))[48, 0]


def test_an_empty_battery_stops_and_one_that_is_not_may_not(run: Trajectory) -> None:
    running = with_p(run, 10, 0.3)
    assert not judged(with_p(running, 11, 0.0, soc=0.2))[11, 0]
    assert judged(with_p(running, 11, 0.0, soc=0.4))[11, 0]


def test_a_battery_that_fails_stops_and_one_that_cannot_fail_may_not(run: Trajectory) -> None:
    stopped = with_p(with_p(run, 10, 0.3), 11, 0.0)
    assert judged(stopped)[11, 0]
    failing = dataclasses.replace(run.scenario, uncertainty=Uncertainty(outage_probability=0.1))
    assert not judged(dataclasses.replace(stopped, scenario=failing))[11, 0]
    assert judged(dataclasses.replace(with_p(stopped, 11, 0.01), scenario=failing))[11, 0]


def test_sampled_days_are_judged_with_the_days_before_them(run: Trajectory, tmp_path) -> None:
    record = checked_record(run).on_days((1, 2))
    part, answers = record.trajectory, replay_record(record, Spread())
    assert compare(part, answers, whole=run)[0].device_limit_max <= LIMIT
    faulty = with_p(run, 48, float(np.clip(run.battery_p_mw[47, 0], -0.05, 0.05)) + RAMP_MW + 0.1)
    assert compare(part, answers, whole=faulty)[0].device_limit_max > LIMIT
    sample = next(Sample(2, seed) for seed in range(20) if 0 not in Sample(2, seed).draw(3))
    report = validate([run], tmp_path, sample=sample)
    assert "device_limit_max" not in report.runs[0].failed_criteria


@settings(max_examples=60)
@given(
    requests=st.lists(st.floats(-1.0, 1.0), min_size=3, max_size=12),
    ramp_mw=st.floats(0.01, 1.0),
    capacity_mwh=st.floats(0.05, 4.0),
    soc=st.floats(0.2, 0.9),
    efficiency=st.floats(0.7, 1.0),
)
def test_whatever_the_device_model_delivers_is_within_its_ramp(
    run: Trajectory, requests: list[float], ramp_mw: float, capacity_mwh: float, soc: float, efficiency: float
) -> None:
    """By a battery written out again here, in plain double precision."""
    battery = dataclasses.replace(
        run.scenario.batteries[0],
        ramp_mw=ramp_mw,
        capacity_mwh=capacity_mwh,
        charge_efficiency=efficiency,
        discharge_efficiency=efficiency,
    )
    before_mw, rows = 0.0, []
    for request in requests:
        p_mw = min(max(request * battery.power_mw, before_mw - ramp_mw), before_mw + ramp_mw)
        room_mwh, left_mwh = (0.9 - soc) * capacity_mwh, (soc - 0.2) * capacity_mwh
        p_mw = max(p_mw, -battery.power_mw, -room_mwh / 0.5 / efficiency)
        p_mw = min(p_mw, battery.power_mw, left_mwh / 0.5 * efficiency)
        change_mwh = -0.5 * (p_mw / efficiency if p_mw > 0 else p_mw * efficiency)
        rows.append((p_mw, soc, soc + change_mwh / capacity_mwh))
        before_mw, soc = p_mw, min(max(soc + change_mwh / capacity_mwh, 0.2), 0.9)
    columns = {name: getattr(run, name).astype(float) for name in ("battery_p_mw", "battery_soc_before", "battery_soc")}
    for name, values in zip(columns, np.array(rows).T, strict=True):
        columns[name][: len(rows), 0] = values
    batteries = (battery, *run.scenario.batteries[1:])
    stored = dataclasses.replace(run, scenario=dataclasses.replace(run.scenario, batteries=batteries), **columns)
    assert not judged(stored)[: len(rows), 0].any()
