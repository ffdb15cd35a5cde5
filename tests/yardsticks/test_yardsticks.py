"""Yardsticks against what they should be: two buses solved by hand, brute force, the standard's points, each other."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neomflex_jax.agents.policy import NoControl
from neomflex_jax.commands import played_runs as runs
from neomflex_jax.commands.evaluate import EvaluateCommand
from neomflex_jax.devices import Battery, FlexibleLoad, PvInverter
from neomflex_jax.environment import Environment, evaluation_environment, make
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation import record
from neomflex_jax.evaluation.rollout import record_with_memory
from neomflex_jax.evaluation.tables import GAP, daily_summary, run_summary, step_metrics
from neomflex_jax.evaluation.yardsticks import YARDSTICKS, _key, _load, record_yardstick
from neomflex_jax.scenario import RewardConfig, Scenario, Territory, Uncertainty
from neomflex_jax.yardsticks import IEEE_1547_B, MAPDN, Droop, Schedule, find_optimum
from neomflex_jax.yardsticks.descent import Descent, foresee
from neomflex_jax.yardsticks.energies import reached
from neomflex_jax.yardsticks.model_predictive import forecast

R_OHM, X_OHM, KV = 3.0, 4.0, 10.0
LOAD_MW, LOAD_MVAR = 2.0, 1.0
DEMAND = np.array([0.4, 1.0, 0.7, 0.9, 0.5, 0.9])
SOLAR = np.array([0.0, 0.8, 0.1, 0.0, 1.0, 0.2])
BATTERY = Battery(2, capacity_mwh=8.0, power_mw=0.5)
QUICK = Descent(300)


def two_bus(folder: Path, **fields: object) -> Environment:
    """Two buses, two days of three steps of eight hours."""
    feeder = folder / "feeder"
    feeder.mkdir(exist_ok=True)
    (feeder / "buses.csv").write_text(f"bus,vn_kv,p_mw,q_mvar\n1,{KV},0,0\n2,{KV},{LOAD_MW},{LOAD_MVAR}\n")
    (feeder / "branches.csv").write_text(f"from_bus,to_bus,r_ohm,x_ohm,in_service\n1,2,{R_OHM},{X_OHM},1\n")
    days = folder / "days.csv"
    days.write_text("Demand,Solar\n" + "".join(f"{d},{s}\n" for d, s in zip(DEMAND, SOLAR, strict=True)))
    scenario = Scenario(
        name="two-bus",
        feeder=str(feeder),
        territories=(Territory("only", (1, 2)),),
        power_flow="ac",
        profiles=str(days),
        evaluation_profiles=str(days),
        step_hours=8.0,
        steps_per_day=3,
        reward=RewardConfig(voltage_weight=100.0, loss_weight=50.0),
        **fields,
    )
    return evaluation_environment(make(scenario))


def two_bus_flow(p_mw: np.ndarray, q_mvar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Voltage in pu and losses in MW of a load (p, q) behind the line, in closed form; elementwise."""
    r, x = R_OHM / KV**2, X_OHM / KV**2
    b = 2.0 * (r * p_mw + x * q_mvar) - 1.0
    squared = (-b + np.sqrt(b * b - 4.0 * (r * r + x * x) * (p_mw**2 + q_mvar**2))) / 2.0
    return np.sqrt(squared), r * (p_mw**2 + q_mvar**2) / squared


@pytest.fixture(scope="module")
def with_pv(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    inverter = PvInverter(2, p_max_mw=1.0, s_mva=1.2)
    return two_bus(tmp_path_factory.mktemp("pv"), pv_inverters=(inverter,), batteries=(BATTERY,))


@pytest.fixture(scope="module")
def with_battery(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return two_bus(tmp_path_factory.mktemp("battery"), batteries=(BATTERY,))


# ---- droop ----


@pytest.mark.parametrize(
    ("vm_pu", "share"),
    [(0.9, 0.44), (0.92, 0.44), (0.95, 0.22), (0.98, 0), (1, 0), (1.02, 0), (1.05, -0.22), (1.2, -0.44)],
)
def test_the_standards_curve(vm_pu: float, share: float) -> None:
    assert float(IEEE_1547_B(jnp.array(vm_pu))) == pytest.approx(share, abs=1e-5)


@pytest.mark.parametrize(("vm_pu", "share"), [(0.9, 1), (0.95, 1), (0.975, 0.5), (1, 0), (1.03, -0.6), (1.05, -1)])
def test_mapdns_curve(vm_pu: float, share: float) -> None:
    assert float(MAPDN(jnp.array(vm_pu))) == pytest.approx(share, abs=1e-4)


@pytest.mark.parametrize("droop", [Droop(IEEE_1547_B, None), Droop(MAPDN, None)], ids=["ieee", "mapdn"])
def test_droop_is_the_fixed_point_that_bisection_finds(with_pv: Environment, droop: Droop) -> None:
    trajectory, memory = record_with_memory(with_pv, droop, "droop")
    assert int(memory.unsettled) == 0
    low, high = (np.array(ends) for ends in (droop.curve.vm_pu, droop.curve.share))
    for row in range(6):
        p_pv = SOLAR[row]
        room = np.sqrt(1.2**2 - p_pv**2)
        full = 1.2 if droop.curve is IEEE_1547_B else room
        below, above = -room, room
        for _ in range(60):
            q = (below + above) / 2.0
            vm_pu, _ = two_bus_flow(DEMAND[row] * LOAD_MW - p_pv, DEMAND[row] * LOAD_MVAR - q)
            wanted = np.clip(np.interp(vm_pu, low, high) * full, -room, room)
            below, above = (q, above) if wanted > q else (below, q)
        assert trajectory.pv_q_mvar[row, 0] == pytest.approx(q, abs=5e-4)


def test_a_droop_that_cannot_settle_is_counted(with_pv: Environment) -> None:
    _, memory = record_with_memory(with_pv, Droop(MAPDN, None, max_iterations=1), "droop")
    assert int(memory.unsettled) > 0
    assert float(memory.furthest) > 1e-4


def test_the_clock_charges_by_day_until_the_battery_is_full(with_pv: Environment) -> None:
    trajectory = record_yardstick(with_pv, "volt_var").trajectory  # steps begin at 0, 8 and 16 h
    assert trajectory.battery_p_mw[1, 0] < 0
    np.testing.assert_allclose(trajectory.battery_p_mw[[0, 2, 3, 4, 5], 0], 0.0, atol=1e-6)
    np.testing.assert_allclose(trajectory.battery_soc[1:, 0], 0.9, atol=1e-6)


# ---- energies ----


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory):
    battery = dataclasses.replace(BATTERY, charge_efficiency=0.9, discharge_efficiency=0.8, ramp_mw=0.6, s_mva=0.7)
    shifting = FlexibleLoad(2, curtail_share=0.2, shift_mw=0.1, buffer_mwh=1.5)
    env = two_bus(tmp_path_factory.mktemp("options"), batteries=(battery,), flexible_loads=(shifting,))
    start = env.reset(jax.random.key(0))[0]
    return env, jax.jit(lambda plan: foresee(env, start, plan)), battery


@given(st.lists(st.lists(st.floats(-1, 1, width=32), min_size=4, max_size=4), min_size=6, max_size=6))
@settings(max_examples=30)
def test_every_plan_keeps_windows_ratings_and_ramps(played, rows: list[list[float]]) -> None:
    env, play, battery = played
    plan = jnp.array(rows, jnp.float32)
    ahead = play(plan)
    soc, p_mw = np.asarray(ahead.after["batteries"].soc), np.asarray(ahead.after["batteries"].p_mw)
    owed = np.asarray(ahead.after["flexible_loads"].owed_mwh)
    assert ((soc >= battery.soc_min - 1e-6) & (soc <= battery.soc_max + 1e-6)).all()
    assert (np.abs(p_mw) <= battery.power_mw + 1e-6).all()
    assert ((owed >= -1e-6) & (owed <= 1.5 + 1e-6)).all()
    from_store = np.where(p_mw > 0, p_mw / 0.8, p_mw * 0.9)
    before = np.concatenate([[[battery.soc_initial]], soc[:-1]])
    np.testing.assert_allclose(soc, before - 8.0 / 8.0 * from_store, atol=1e-5)
    again = play(reached(env, plan, ahead.after))
    np.testing.assert_allclose(again.after["batteries"].soc, soc, atol=1e-5)


# ---- foresight ----


def test_the_optimum_is_what_brute_force_finds(with_battery: Environment) -> None:
    one_day = find_optimum(with_battery, 1, n_starts=3, search=QUICK)
    grid = np.linspace(0.2, 0.9, 71)
    soc = np.stack(np.meshgrid(grid, grid, grid, indexing="ij"), axis=-1).reshape(-1, 3)
    p_mw = -np.diff(np.concatenate([np.full((len(soc), 1), 0.5), soc], axis=1), axis=1) * 8.0 / 8.0
    p_mw = p_mw[(np.abs(p_mw) <= 0.5 + 1e-9).all(axis=1)]
    vm_pu, loss_mw = two_bus_flow(DEMAND[:3] * LOAD_MW - p_mw, DEMAND[:3] * LOAD_MVAR)
    outside = np.maximum(vm_pu - 1.03, 0) + np.maximum(0.97 - vm_pu, 0)
    cost = (100.0 * outside + 50.0 * loss_mw + 100.0 * (vm_pu < 0.9)).sum(axis=1)
    assert one_day.mean_day_cost == pytest.approx(cost.min(), rel=2e-3)
    assert max(one_day.starts) == pytest.approx(min(one_day.starts), rel=1e-2)
    assert one_day.residual >= 0


def test_set_points_played_forward_cost_what_was_optimised(with_pv: Environment) -> None:
    optimum = find_optimum(with_pv, search=QUICK)
    trajectory = record(with_pv, Schedule(optimum.action), "optimum")
    np.testing.assert_allclose(trajectory.cost.reshape(2, 3).sum(axis=1), optimum.day_cost, rtol=1e-5)


def test_no_yardstick_is_cheaper_than_perfect_foresight(with_pv: Environment) -> None:
    costs = {name: record_yardstick(with_pv, name).trajectory.cost.sum() for name in YARDSTICKS}
    assert min(costs, key=costs.__getitem__) == "perfect_foresight"
    assert costs["no_control"] > costs["model_predictive"]


def test_an_optimum_is_kept_and_found_again_and_a_broken_one_is_not_taken(with_pv: Environment, tmp_path: Path) -> None:
    first = record_yardstick(with_pv, "perfect_foresight", profiles_sha256="x", cache=tmp_path)
    (file,) = tmp_path.glob("optimum_*.npz")
    kept = file.stat().st_mtime_ns
    again = record_yardstick(with_pv, "perfect_foresight", profiles_sha256="x", cache=tmp_path)
    assert file.stat().st_mtime_ns == kept
    np.testing.assert_array_equal(again.trajectory.action, first.trajectory.action)
    assert list(tmp_path.iterdir()) == [file], "nothing unfinished stays behind"
    whole = file.read_bytes()
    with np.load(file) as stored:
        contents = dict(stored)
    assert _load(file, with_pv, with_pv.profiles.n_days) is not None
    spoilt = bytearray(whole)
    spoilt[120:160] = bytes(40)
    for content in (b"no archive", b"", whole[: len(whole) // 2], bytes(spoilt)):
        file.write_bytes(content)
        assert _load(file, with_pv, with_pv.profiles.n_days) is None
    for name, value in (
        ("starts", np.array(["dear"])),
        ("residual", np.array(["1"])),
        ("starts", np.zeros(1_000_000)),
        ("action", contents["action"].astype(str)),
    ):
        np.savez_compressed(file, **(contents | {name: value}))
        assert _load(file, with_pv, with_pv.profiles.n_days) is None
    record_yardstick(with_pv, "perfect_foresight", profiles_sha256="x", cache=tmp_path)
    assert _load(file, with_pv, with_pv.profiles.n_days) is not None


def test_a_kept_optimum_is_of_its_feeders_own_numbers(with_pv: Environment) -> None:
    feeder = dataclasses.replace(with_pv.feeder, r_ohm=with_pv.feeder.r_ohm * 1.1)
    assert _key(with_pv, 2, "x") != _key(dataclasses.replace(with_pv, feeder=feeder), 2, "x")


def test_a_forecast_knows_the_present_and_repeats_the_day_before(with_battery: Environment) -> None:
    early, late = (np.asarray(forecast(with_battery, jnp.array(now), 3).profiles.demand) for now in (1, 4))
    demand = DEMAND.astype(np.float32)
    np.testing.assert_array_equal(early[:2], demand[:2])
    np.testing.assert_array_equal(early[2:], demand[[1, 0, 1, 1, 0, 1, 1]])
    np.testing.assert_array_equal(late[:5], demand[:5])
    np.testing.assert_array_equal(late[5:], demand[[2, 3, 4, 2]])


def test_foresight_of_random_days_is_refused(with_battery: Environment) -> None:
    scenario = dataclasses.replace(with_battery.scenario, uncertainty=Uncertainty(profile_noise=0.1))
    with pytest.raises(InputError, match="without random"):
        record_yardstick(dataclasses.replace(with_battery, scenario=scenario), "perfect_foresight")
    with pytest.raises(InputError, match="volt_var"):
        record_yardstick(with_battery, "volt_vra")


# ---- tables and commands ----


def test_days_state_their_gap_to_perfect_foresight(with_battery: Environment) -> None:
    idle = record(with_battery, NoControl(with_battery.action_size), "no_control")
    best = dataclasses.replace(idle, run="perfect_foresight", local_reward=0.5 * idle.local_reward)
    steps = pd.concat([step_metrics(idle), step_metrics(best)], ignore_index=True)
    days = daily_summary(steps)
    np.testing.assert_allclose(days[GAP], [100.0, 100.0, 0.0, 0.0], atol=1e-4)
    np.testing.assert_allclose(run_summary(steps)[GAP], [100.0, 0.0], atol=1e-4)
    assert GAP not in daily_summary(step_metrics(idle))


def test_the_commands_know_the_yardsticks_by_name() -> None:
    assert runs.Yardstick.__args__ == YARDSTICKS


def test_trajectories_are_replaced_on_demand_alone(tmp_path: Path) -> None:
    mine = tmp_path / "trajectory_mine.npz"
    mine.write_bytes(b"precious")
    with pytest.raises(InputError, match=r"already holds trajectory_mine.npz; give --overwrite"):
        EvaluateCommand(output=tmp_path, policy=("no_control",)).execute(0.0)
    assert mine.read_bytes() == b"precious"


def test_nothing_to_play_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to play"):
        runs.record_runs(None, None, None, baseline=False)
    with pytest.raises(InputError, match="contradict"):
        runs.record_runs(tmp_path, None, None, baseline=False, scenario="neom33")
