"""The three CSV files: columns, sums, counts, and what a broken file is answered."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neomflex_jax as nf
from neomflex_jax.agents.policy import NoControl
from neomflex_jax.commands.constraints import shown_constraints
from neomflex_jax.commands.evaluate import shown_columns
from neomflex_jax.devices import Battery, FlexibleLoad, PvInverter
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.evaluation import Trajectory, record
from neomflex_jax.evaluation.constraints import constraint_table
from neomflex_jax.evaluation.tables import (
    OPTIMUM,
    daily_summary,
    read_step_metrics,
    run_summary,
    step_metrics,
    write_tables,
)
from neomflex_jax.evaluation.trajectory_layout import wanted_arrays
from neomflex_jax.scenario import Rules, Scenario, Territory, load_scenario

NAN = np.nan
TOTALS = ["min_voltage_pu", "max_voltage_pu", "mean_voltage_pu", "total_losses_mw", "voltage_violations"]

TINY = Scenario(
    name="tiny",
    feeder="none",
    territories=(Territory("east", (10, 20)), Territory("west", (30,))),
    batteries=(Battery(20, capacity_mwh=4.0, power_mw=1.0),),
    pv_inverters=(PvInverter(30, p_max_mw=1.0, s_mva=1.0),),
    steps_per_day=2,
    rules=Rules(on_violation="end_day"),
)


def make_trajectory(run: str = "controlled", scenario: Scenario = TINY, **changes: object) -> Trajectory:
    """Two days of two steps on three buses; the first step of the second day has no power flow."""
    vm_pu = np.array([[1.0, 0.96, 0.99], [1.0, 0.89, 1.11], [NAN] * 3, [1.0, 1.0, 1.04]])
    fields: dict[str, object] = {
        "dataset_index": np.arange(4),
        "demand": np.array([0.5, 0.6, 0.7, 0.8]),
        "solar": np.array([0.0, 0.9, 0.0, 1.0]),
        "battery_p_mw": np.array([[0.5], [-0.25], [0.0], [0.75]]),
        "battery_soc": np.array([[0.4375], [0.46875], [0.46875], [0.375]]),
        "pv_p_mw": np.array([[0.0], [0.9], [0.0], [1.0]]),
        "pv_q_mvar": np.array([[0.3], [-0.2], [0.1], [0.0]]),
        "vm_pu": vm_pu,
        "load_p_mw": np.zeros((4, 3)),
        "loss_mw": np.array([0.1, 0.2, NAN, 0.4]),
        "converged": np.array([True, True, False, True]),
        "violated": np.array([False, True, True, False]),
        "local_reward": np.array([[-1.0, -2.0], [-103.0, -104.0], [-100.0, -100.0], [-0.5, -0.25]]),
    }
    fields |= changes
    for name, wanted in wanted_arrays(scenario, np.shape(fields["vm_pu"])[1], 0, 4, {}).items():
        fields.setdefault(name, np.zeros([size or 1 for size in wanted.shape], wanted.kind))
    return Trajectory(
        run=run, scenario=scenario, power_flow="ac", bus_labels=(10, 20, 30), profiles_sha256="", **fields
    )


def test_constraints_stand_beside_what_runs_broke() -> None:
    """Of the days' two steps each breaks one: a voltage beyond a limit, and no power flow."""
    steps = pd.concat([step_metrics(make_trajectory(run)) for run in ("controlled", "baseline")])
    table = constraint_table(steps, {"voltage": 0.4, "clipping": 0.1})  # clipping is not recorded
    assert table["run"].tolist() == ["controlled", "baseline"] and set(table["constraint"]) == {"voltage"}
    row = table.iloc[0]
    assert (row["limit"], row["share"], row["share_low"], row["share_high"]) == (0.4, 0.5, 0.5, 0.5)
    assert not row["kept"] and row["n_days"] == 2
    costs = row[["mean_day_cost", "day_cost_low", "day_cost_high"]].astype(float)
    np.testing.assert_allclose(costs, [205.375, 200.75, 210.0])
    assert constraint_table(steps, {"voltage": 0.5})["kept"].all()
    shown = shown_constraints(table).rows[0]
    assert shown == ("controlled", "voltage", "40", "50", "50 to 50", "not kept", "205.4", "200.8 to 210")


def test_columns_of_neom33() -> None:
    scenario = load_scenario("neom33")
    shapes = {
        "vm_pu": 33,
        "load_p_mw": 33,
        "battery_p_mw": 3,
        "battery_soc": 3,
        "pv_p_mw": 3,
        "pv_q_mvar": 3,
        "local_reward": 3,
    }
    wide = {name: np.ones((4, size)) for name, size in shapes.items()}
    trajectory = dataclasses.replace(make_trajectory(scenario=scenario, **wide), bus_labels=tuple(range(33)))
    steps = step_metrics(trajectory)
    contract = (
        ["run", "day", "step", "dataset_index", "load_factor", "solar_factor", "losses_mw"]
        + ["voltage_min_pu", "voltage_max_pu", "voltage_mean_pu", "voltage_violations"]
        + ["reward_agent_1", "reward_agent_2", "reward_agent_3"]
        + ["battery_soc_bus_23", "battery_soc_bus_7", "battery_soc_bus_14"]
        + ["battery_power_bus_23_mw", "battery_power_bus_7_mw", "battery_power_bus_14_mw"]
        + ["pv_bus_20_p_mw", "pv_bus_16_p_mw", "pv_bus_31_p_mw"]
        + ["pv_bus_20_q_mvar", "pv_bus_16_q_mvar", "pv_bus_31_q_mvar"]
        + [f"voltage_bus_{bus}_pu" for bus in range(33)]
        + ["terminated_early"]
    )
    further = ["buses_outside_band", "converged", "step_hours"]
    further += [f"battery_soc_fraction_bus_{bus}" for bus in (23, 7, 14)]
    assert list(steps.columns) == [*contract, *further]
    rewards = ["total_reward_agent_1", "total_reward_agent_2", "total_reward_agent_3"]
    assert list(daily_summary(steps).columns)[:10] == ["run", "day", *TOTALS, *rewards]
    assert list(run_summary(steps).columns)[:9] == ["run", *TOTALS, *rewards]


def test_a_violation_ends_the_day_early_only_where_the_rules_say_so() -> None:
    going_on = dataclasses.replace(TINY, rules=Rules(on_violation="continue"))
    assert not step_metrics(make_trajectory(scenario=going_on))["terminated_early"].any()


def test_steps_say_what_was_recorded() -> None:
    steps = step_metrics(make_trajectory())
    assert steps["run"].unique().tolist() == ["controlled"]
    assert steps["day"].tolist() == [0, 0, 1, 1]
    assert steps["step"].tolist() == [0, 1, 0, 1]
    np.testing.assert_allclose(steps["battery_soc_bus_20"], [1.75, 1.875, 1.875, 1.5])
    np.testing.assert_array_equal(steps["battery_power_bus_20_mw"], [0.5, -0.25, 0.0, 0.75])
    np.testing.assert_array_equal(steps["pv_bus_30_q_mvar"], [0.3, -0.2, 0.1, 0.0])
    np.testing.assert_array_equal(steps["voltage_bus_20_pu"], [0.96, 0.89, NAN, 1.0])
    np.testing.assert_array_equal(steps["voltage_min_pu"], [0.96, 0.89, NAN, 1.0])
    np.testing.assert_array_equal(steps["reward_west"], [-2.0, -104.0, -100.0, -0.25])


def test_a_failed_power_flow_puts_every_bus_outside() -> None:
    steps = step_metrics(make_trajectory())
    assert steps["voltage_violations"].tolist() == [0, 2, 3, 0]
    assert steps["buses_outside_band"].tolist() == [1, 2, 3, 1]
    assert steps["terminated_early"].tolist() == [False, True, True, False]


def test_limits_are_inside_and_compared_in_the_recorded_precision() -> None:
    vm_pu = np.array([[0.97, 1.03, 0.9]] * 4, np.float32)
    steps = step_metrics(make_trajectory(vm_pu=vm_pu))
    assert steps["buses_outside_band"].tolist() == [1] * 4
    assert steps["voltage_violations"].tolist() == [0] * 4
    assert steps["voltage_bus_10_pu"].dtype == np.float64  # sums over thousands of steps keep their digits


def test_days() -> None:
    days = daily_summary(step_metrics(make_trajectory())).set_index("day")
    expected = {
        "min_voltage_pu": [0.89, 1.0],
        "max_voltage_pu": [1.11, 1.04],
        "mean_voltage_pu": [(0.96 + 1.0 + 0.99 + 1.0 + 0.89 + 1.11) / 6, 3.04 / 3],
        "total_losses_mw": [0.3, 0.4],
        "total_losses_mwh": [0.15, 0.2],
        "voltage_violations": [2, 3],
        "total_reward_east": [-104.0, -100.5],
        "total_reward_west": [-106.0, -100.25],
        "buses_outside_band": [3, 4],
        "share_outside_band": [3 / 6, 4 / 6],
        "failed_power_flows": [0, 1],
        "day_cost": [210.0, 200.75],
        "battery_soc_start_bus_20_mwh": [2.0, 1.875],
        "battery_soc_end_bus_20_mwh": [1.875, 1.5],
        "terminated_early": [True, True],
    }
    for column, values in expected.items():
        np.testing.assert_allclose(days[column].to_numpy(float), values, rtol=1e-12, err_msg=column)


def test_flows_that_the_fallback_solved_are_counted_where_there_is_one(tmp_path: Path) -> None:
    trajectory = make_trajectory(by_fallback=np.array([True, False, False, True]))
    steps = step_metrics(trajectory)
    assert daily_summary(steps)["solved_by_fallback"].tolist() == [1, 1]
    assert run_summary(steps)["solved_by_fallback"].tolist() == [2]
    read = read_step_metrics(write_tables([trajectory], tmp_path)[0])
    assert read["by_fallback"].tolist() == [True, False, False, True]
    assert shown_columns(run_summary(steps))["solved_by_fallback"] == "flows by\nfallback"
    for table in (run_summary(steps[~steps["by_fallback"]]), run_summary(step_metrics(make_trajectory()))):
        assert "solved_by_fallback" not in shown_columns(table)


def test_a_day_without_any_power_flow_has_no_losses_rather_than_zero() -> None:
    nothing = {"loss_mw": np.full(4, NAN), "vm_pu": np.full((4, 3), NAN), "converged": np.zeros(4, bool)}
    days = daily_summary(step_metrics(make_trajectory(**nothing)))
    assert days["total_losses_mw"].isna().all()
    assert days["min_voltage_pu"].isna().all()
    assert days["share_outside_band"].tolist() == [1.0, 1.0]


@pytest.mark.filterwarnings("error")
def test_days_of_hundreds_of_batteries_are_one_table_and_no_warning() -> None:
    steps = step_metrics(make_trajectory())
    soc = next(name for name in steps if name.startswith("battery_soc_bus_"))
    power = soc.replace("_soc_bus_", "_power_bus_") + "_mw"
    more = {name.replace("_bus_", f"_bus_{i}"): steps[name] for name in (soc, power) for i in range(200, 400)}
    days = daily_summary(pd.concat([steps, pd.DataFrame(more)], axis=1))
    bus = soc.removeprefix("battery_soc_bus_")
    pd.testing.assert_series_equal(
        days[f"battery_soc_end_bus_399{bus}_mwh"], days[f"battery_soc_end_bus_{bus}_mwh"], check_names=False
    )


def test_runs_are_the_sums_of_their_days() -> None:
    baseline = make_trajectory("baseline", local_reward=np.full((4, 2), -1.0))
    steps = pd.concat([step_metrics(make_trajectory()), step_metrics(baseline)], ignore_index=True)
    days, runs = daily_summary(steps), run_summary(steps).set_index("run")
    assert runs.index.tolist() == ["controlled", "baseline"]
    summed = [name for name in runs.columns if name.startswith("total_")]
    for column in [*summed, "voltage_violations", "buses_outside_band", "failed_power_flows"]:
        np.testing.assert_allclose(runs[column], days.groupby("run", sort=False)[column].sum(), rtol=1e-12)
    assert runs["n_days"].tolist() == [2, 2]
    assert runs["mean_day_cost"].tolist() == [205.375, 4.0]
    assert runs["days_terminated_early"].tolist() == [2, 2]
    assert runs["min_voltage_pu"].tolist() == [0.89, 0.89]
    assert runs["share_outside_band"].tolist() == [7 / 12, 7 / 12]


def test_files_round_trip_and_agree(tmp_path: Path) -> None:
    runs = [make_trajectory(), make_trajectory("baseline")]
    step_file, day_file, run_file = write_tables(runs, tmp_path / "new" / "evaluation")
    assert [path.name for path in (step_file, day_file, run_file)] == [
        "step_metrics.csv",
        "daily_summary.csv",
        "run_summary.csv",
    ]
    steps = read_step_metrics(step_file)
    written = pd.concat([step_metrics(run) for run in runs], ignore_index=True)
    pd.testing.assert_frame_equal(steps, written, rtol=1e-8)
    pd.testing.assert_frame_equal(pd.read_csv(day_file), daily_summary(steps), rtol=1e-8)
    pd.testing.assert_frame_equal(pd.read_csv(run_file), run_summary(steps), rtol=1e-8, check_dtype=False)


def test_float32_and_odd_names_survive_the_file(tmp_path: Path) -> None:
    vm_pu = np.random.default_rng(0).uniform(0.9, 1.1, (4, 3)).astype(np.float32)
    trajectory = make_trajectory("=1+1", vm_pu=vm_pu, converged=np.ones(4, bool), loss_mw=np.ones(4))
    files = write_tables([trajectory], tmp_path)
    steps = read_step_metrics(files[0])
    assert set(steps["run"]) == {"=1+1"}  # and no formula in a spreadsheet:
    assert all(pd.read_csv(file)["run"].eq("'=1+1").all() for file in files)
    kept = steps[["voltage_bus_10_pu", "voltage_bus_20_pu", "voltage_bus_30_pu"]].to_numpy().astype(np.float32)
    np.testing.assert_array_equal(kept, vm_pu)


def test_a_recorded_run() -> None:
    env = evaluation_environment(nf.make("neom33", power_flow="lindistflow"))
    trajectory = record(env, NoControl(env.action_size), "baseline", n_days=2)
    days = daily_summary(step_metrics(trajectory))
    np.testing.assert_allclose(days["day_cost"], trajectory.cost.reshape(2, 48).sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(days["battery_soc_start_bus_23_mwh"], 1.0, rtol=1e-6)
    np.testing.assert_allclose(days["battery_soc_end_bus_14_mwh"], 1.0, rtol=1e-6)
    np.testing.assert_allclose(days["total_losses_mwh"] * 2, days["total_losses_mw"], rtol=1e-12)


def test_a_fraction_stands_beside_the_energy_that_is_called_soc() -> None:
    steps = step_metrics(make_trajectory())
    np.testing.assert_allclose(steps["battery_soc_bus_20"], 4.0 * steps["battery_soc_fraction_bus_20"])
    assert steps["battery_soc_fraction_bus_20"].tolist() == [0.4375, 0.46875, 0.46875, 0.375]


def test_what_no_control_costs_stands_beside_every_run(tmp_path: Path) -> None:
    idle = make_trajectory("idle", local_reward=np.full((4, 2), -7.0))
    step_file, day_file, run_file = write_tables([make_trajectory(), make_trajectory("other")], tmp_path, idle)
    steps, days, runs = read_step_metrics(step_file), pd.read_csv(day_file), pd.read_csv(run_file)
    assert steps["no_control_cost"].tolist() == [14.0] * 8
    assert days["no_control_day_cost"].tolist() == [28.0] * 4
    assert days["no_control_voltage_violations"].tolist() == days["voltage_violations"].tolist()
    assert runs["no_control_mean_day_cost"].tolist() == [28.0] * 2
    assert set(steps["run"]) == {"controlled", "other"}, "it is no run of the tables"
    pd.testing.assert_frame_equal(runs, run_summary(steps), rtol=1e-8, check_dtype=False)
    elsewhere = dataclasses.replace(idle, dataset_index=idle.dataset_index + 2)
    with pytest.raises(nf.InputError, match="'controlled' has other days than no control"):
        write_tables([make_trajectory()], tmp_path, elsewhere)


def test_no_file_says_minus_zero(tmp_path: Path) -> None:
    idle = make_trajectory(battery_p_mw=-np.zeros((4, 1)), pv_q_mvar=-np.zeros((4, 1), np.float32))
    for path in write_tables([idle], tmp_path):
        assert not {cell for line in path.read_text().splitlines() for cell in line.split(",")} & {"-0", "-0.0"}, path


def test_every_column_is_described_with_its_unit() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")
    everything = dataclasses.replace(
        TINY,
        batteries=(Battery(20, capacity_mwh=4.0, power_mw=1.0, charge_efficiency=0.9, s_mva=1.5),),
        pv_inverters=(PvInverter(30, p_max_mw=1.0, s_mva=1.0, curtailable=True),),
        flexible_loads=(FlexibleLoad(20, curtail_share=0.2, shift_mw=0.1, buffer_mwh=1.5),),
    )
    run = make_trajectory(OPTIMUM, everything, load_p_mw=np.ones((4, 3)))
    steps = step_metrics(run, run)
    for table in (steps, daily_summary(steps), run_summary(steps)):
        for column in table.columns:
            general = re.sub(r"bus_(10|20|30)", "bus_<b>", column)
            general = re.sub(r"reward_(east|west)", "reward_<agent>", general)
            assert f"`{general}`" in page, column


def test_runs_that_cannot_share_a_table(tmp_path: Path) -> None:
    with pytest.raises(nf.InputError, match="no run to write"):
        write_tables([], tmp_path)
    with pytest.raises(nf.InputError, match="two runs are called 'controlled'"):
        write_tables([make_trajectory(), make_trajectory()], tmp_path)
    moved = dataclasses.replace(TINY, batteries=(Battery(10, capacity_mwh=4.0, power_mw=1.0),))
    with pytest.raises(nf.InputError, match=r"'controlled' and 'moved' have different .*battery_power_bus_10_mw"):
        write_tables([make_trajectory(), make_trajectory("moved", moved)], tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("solar_factor", "sun", "column 'solar_factor' is missing"),
        ("0.96,1,", "high,1,", "line 2, column 'voltage_min_pu': 'high' is not a finite number"),
        ("0.96,1,", ",1,", "line 2, column 'voltage_min_pu': '' is not a finite number"),
        ("True,2,True", "True,2,yes", "line 3, column 'converged': 'yes' is not True or False"),
        ("controlled,0,1,", "controlled,0,0.5,", "line 3, column 'step': 0.5 is not a whole number"),
        ("controlled,0,1,", "controlled,0,0,", "line 3: this run, day and step stand on an earlier line"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write_tables([make_trajectory()], tmp_path)[0]
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(nf.InputError, match=message) as error:
        read_step_metrics(path)
    assert str(path) in str(error.value)


def test_missing_and_empty_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(nf.InputError, match="no such file"):
        read_step_metrics(tmp_path / "none.csv")
    path = write_tables([make_trajectory()], tmp_path)[0]
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(nf.InputError, match="no row under the header"):
        read_step_metrics(path)


def test_further_columns_are_kept_as_text(tmp_path: Path) -> None:
    path = write_tables([make_trajectory()], tmp_path)[0]
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0] + ",note", *(line + ",0x1" for line in lines[1:])]) + "\n")
    assert read_step_metrics(path)["note"].tolist() == ["0x1"] * 4
