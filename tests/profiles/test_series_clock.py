"""A series' own clock is not read; where it says something else than its rows are taken for, that is told."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neomflex_jax as nf
from neomflex_jax.environment.make import scenario_profiles
from neomflex_jax.profiles import doubts_of, read_profiles, resolve_profiles
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


def test_quarter_hours_read_as_half_hours_are_told_with_numbers(tmp_path):
    path = written(tmp_path, {"timestamp": series(15, FORMS["ISO"])})
    scenario = nf.load_scenario("neom33")
    with pytest.warns(UserWarning) as caught:
        scenario_profiles(scenario, path)
    (told,) = (str(one.message) for one in caught)
    assert told.startswith(f"{path}: time column 'timestamp' has steps of 15 minutes; the scenario's are 30")
    assert "the file's clock is not read, and 4 days by its clock are played as 8" in told
    assert "step_hours = 0.25 and steps_per_day = 96" in told


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


def test_kilowatts_are_refused_with_what_to_do(tmp_path):
    with pytest.raises(nf.InputError, match=r"beyond 100; Demand multiplies .* divide per cent by 100"):
        read_profiles(written(tmp_path, {"Demand": np.linspace(200.0, 900.0, 48)}))
