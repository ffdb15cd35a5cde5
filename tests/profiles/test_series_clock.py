"""A plain series' own clock: what contradicts rows taken as the steps of whole days is refused, or told."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neomflex_jax as nf
from neomflex_jax.environment.make import scenario_profiles
from neomflex_jax.fields import with_overrides
from neomflex_jax.profiles import check_plain_clock, doubts_of, read_profiles, resolve_profiles
from neomflex_jax.profiles.series_clock import read_clock


def series(minutes: float, form: str, days: int = 4, start: str = "2025-06-12") -> pd.Series:
    n_rows = round(days * 1440 / minutes)
    return pd.Series(pd.date_range(start, periods=n_rows, freq=f"{minutes:g}min").strftime(form))


def written(tmp_path: Path, columns: dict[str, object], **options: object) -> Path:
    path = tmp_path / "profiles.csv"
    table = pd.DataFrame(columns)
    table = table.assign(**{name: 0.5 for name in ("Demand", "Solar") if name not in table})
    table.to_csv(path, index=False, **options)
    return path


FORMS = {
    "ISO": "%Y-%m-%d %H:%M",
    "ISO with zone": "%Y-%m-%dT%H:%M:%S+02:00",
    "German": "%d.%m.%Y %H:%M",
    "British": "%d/%m/%Y %H:%M",
    "American": "%m/%d/%Y %I:%M %p",
    "time of day": "%H:%M",
    "date alone": "%Y-%m-%d",
    "since 1970": "%s",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("minutes", [15, 60])
def test_the_step_is_found_however_times_are_written(form, minutes, tmp_path):
    clock = read_clock(written(tmp_path, {"Zeitstempel": series(minutes, FORMS[form])}))
    assert clock is not None
    assert clock.step_minutes == pytest.approx(minutes)
    assert clock.first_minute == 0


def test_an_index_saved_along_is_a_clock(tmp_path):
    clock = read_clock(written(tmp_path, {"": series(15, FORMS["ISO"])}))
    assert clock is not None
    assert clock.step_minutes == 15


@pytest.mark.parametrize(
    "columns",
    [
        {"Hour": np.arange(96) // 2 % 24},
        {"time": np.arange(96)},
        {"DateKind": ["workday"] * 96},
        {"Time": ["", "x"] * 48},
        {"Temperature": np.full(96, 20.5)},
        {"timestamp": ["1" * 4000] * 96},
    ],
)
def test_what_is_no_clock_for_sure_is_left_alone(columns, tmp_path):
    assert read_clock(written(tmp_path, columns)) is None


def test_quarter_hours_are_not_read_as_half_hours(tmp_path):
    path = written(tmp_path, {"timestamp": series(15, FORMS["ISO"])})
    scenario = nf.load_scenario("neom33")
    with pytest.raises(nf.InputError) as caught:
        scenario_profiles(scenario, path)
    told = str(caught.value)
    assert told.startswith(f"{path}: time column 'timestamp' has steps of 15 minutes; the scenario's are 30")
    assert "[profiles] resample = 'mean' takes the mean of 2 rows" in told
    assert "step_hours = 0.25 and steps_per_day = 96" in told
    assert "ignore = ['timestamp'] takes rows as steps" in told


@pytest.mark.parametrize(("field", "value", "n_days"), [("resample", "mean", 4), ("ignore", ("timestamp",), 8)])
def test_each_advice_is_taken(field, value, n_days, tmp_path):
    path = written(tmp_path, {"timestamp": series(15, FORMS["ISO"])})
    scenario = with_overrides(nf.load_scenario("neom33"), {field: value})
    assert scenario_profiles(scenario, path).n_days == n_days


MISTAKES = {
    "goes back": (lambda rows: [*rows[:5], rows[6], rows[5], *rows[7:]], r"line 8, .* goes back; sort the rows"),
    "twice": (lambda rows: [*rows[:6], rows[5], *rows[7:]], r"line 8, .* stands twice; keep one row a time"),
    "a gap": (lambda rows: [*rows[:6], *rows[8:]], r"line 8, .* 90 minutes after .*2 rows are missing"),
    "no time": (lambda rows: [*rows[:6], "noon", *rows[7:]], r"line 8, time column 'Time': 'noon' is no date and time"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_plain_files_clock_that_is_none_is_refused_with_its_line(mistake, tmp_path):
    change, told = MISTAKES[mistake]
    path = written(tmp_path, {"Time": change(list(series(30, FORMS["ISO"])))})
    with pytest.raises(nf.InputError, match=told):
        check_plain_clock(path, 0.5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("start", ["2025-06-12", "2025-06-02"])
def test_whole_days_may_be_left_out_however_times_are_written(form, start, tmp_path):
    times = series(30, FORMS[form], days=8, start=start)
    check_plain_clock(written(tmp_path, {"Time": pd.concat([times[:48], times[96:192], times[336:]])}), 0.5)


def test_summer_time_in_a_plain_file_is_pointed_to(tmp_path):
    times = pd.date_range("2025-10-26", periods=96, freq="30min", tz="Europe/Berlin").strftime("%Y-%m-%d %H:%M")
    with pytest.raises(nf.InputError, match=r"goes back.*\[profiles\] timezone = 'Europe/Berlin'"):
        check_plain_clock(written(tmp_path, {"Time": times}), 0.5)


def test_the_advice_is_right(tmp_path):
    path = written(tmp_path, {"timestamp": series(15, FORMS["ISO"])})
    assert not doubts_of(path, read_profiles(path, 96), 0.25)


def test_a_day_that_begins_at_six_is_told(tmp_path):
    path = written(tmp_path, {"Time": series(30, FORMS["ISO"], start="2025-06-12 06:00")})
    assert "begins at 06:00" in doubts_of(path, read_profiles(path), 0.5)[0]
    path = written(tmp_path, {"Time": series(30, FORMS["ISO"], start="2025-06-12 00:30")})  # ends of the steps
    assert not doubts_of(path, read_profiles(path), 0.5)


@pytest.mark.parametrize("name", ["training", "testing"])
def test_nothing_is_said_of_the_packaged_series(name):
    path = resolve_profiles(name)
    assert read_clock(path) is not None
    check_plain_clock(path, 0.5)
    assert not doubts_of(path, read_profiles(path), 0.5)


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (100.0, "Demand goes from 20 to 100"),
        (3.7, "Demand goes from 0.74 to 3.7"),
        (0.01, "Demand never exceeds 0.01"),
        (1.0, None),
        (1.3, None),
        (0.0, None),
    ],
)
def test_demand_in_per_cent_or_power_is_told_by_its_size(factor, said, tmp_path):
    path = written(tmp_path, {"Demand": factor * np.linspace(0.2, 1.0, 48)})
    doubts = doubts_of(path, read_profiles(path), 0.5)
    assert len(doubts) == (said is not None)
    assert said is None or (said in doubts[0] and "divide per cent by 100" in doubts[0])


UNITS = {"per_cent": 100.0, "MW": 3.715, "kW": 3715.0, "W": 3.715e6}


@pytest.mark.parametrize("unit", UNITS)
def test_demand_of_another_unit_is_asked_about_and_then_read(unit, tmp_path):
    path = written(tmp_path, {"Demand": UNITS[unit] * np.linspace(0.2, 1.0, 48)})
    scenario = nf.load_scenario("neom33")
    with pytest.raises(nf.InputError, match=rf"by its size it is in {unit.replace('_', ' ')} \(1 times the nominal"):
        scenario_profiles(scenario, path)
    days = scenario_profiles(with_overrides(scenario, {"demand_unit": unit}), path)
    np.testing.assert_allclose(days.demand, np.linspace(0.2, 1.0, 48), rtol=1e-6)


def test_single_peaks_are_no_other_unit(tmp_path):
    demand = np.where(np.arange(48) == 20, 9.0, 0.7)
    path = written(tmp_path, {"Demand": demand})
    with pytest.warns(UserWarning, match="goes from 0.7 to 9"):
        days = scenario_profiles(nf.load_scenario("neom33"), path)
    np.testing.assert_allclose(days.demand, demand, rtol=1e-6)


def test_demand_that_is_said_to_be_large_is_taken_as_it_is(tmp_path):
    path = written(tmp_path, {"Demand": np.linspace(2.0, 10.0, 48)})
    days = scenario_profiles(with_overrides(nf.load_scenario("neom33"), {"demand_unit": "per_unit"}), path)
    assert float(days.demand.max()) == pytest.approx(10.0)


def test_kilowatts_are_refused_with_what_to_do(tmp_path):
    with pytest.raises(nf.InputError, match=r"beyond 100; Demand multiplies .* divide per cent by 100"):
        read_profiles(written(tmp_path, {"Demand": np.linspace(200.0, 900.0, 48)}))
