"""A file's own clock under a scenario's [profiles]: checked, counted in winter time, resampled on request."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neomflex_jax as nf
from neomflex_jax.grid.nodes import Nodes
from neomflex_jax.profiles import Profiles, SeriesConfig, Wanted, read_profiles_by_element

NAIVE = "%Y-%m-%d %H:%M"


def read(folder: Path, table: pd.DataFrame, step_hours: float = 1.0, **config: object) -> Profiles:
    """Write a table and read it hour by hour, if not said otherwise."""
    path = folder / "series.csv"
    table.to_csv(path, index=False)
    steps = round(24 / step_hours)
    return read_profiles_by_element(
        path, Wanted(SeriesConfig(**config), (), step_hours, steps, "", False), Nodes.one_a_bus([0])
    )


def hours(times: pd.DatetimeIndex, form: str = NAIVE) -> pd.DataFrame:
    """Rows at these times, with Demand counting them."""
    demand = np.arange(len(times)) / len(times)
    return pd.DataFrame({"Zeit": times.strftime(form), "Demand": demand, "Solar": 0.0})


def days(start: str, n_days: int, minutes: int = 60, zone: str | None = None) -> pd.DatetimeIndex:
    return pd.date_range(start, periods=n_days * 1440 // minutes, freq=f"{minutes}min", tz=zone)


@pytest.mark.parametrize("month", ["03", "10"])
@pytest.mark.parametrize("form", [NAIVE, "%Y-%m-%dT%H:%M:%S%z"])
def test_local_time_is_counted_in_winter_time_and_the_odd_day_is_named(month: str, form: str, tmp_path: Path) -> None:
    start = pd.Timestamp(f"2025-{month}-24", tz="Etc/GMT-1")  # Berlin's winter time
    times = pd.date_range(start, periods=14 * 24, freq="h").tz_convert("Europe/Berlin")
    odd = {"03": "2025-03-30 has 23 hours", "10": "2025-10-26 has 25 hours"}[month]
    with pytest.warns(UserWarning, match=odd):
        profiles = read(tmp_path, hours(times, form), timezone="Europe/Berlin")
    assert profiles.n_days == 14
    np.testing.assert_allclose(profiles.demand, np.arange(14 * 24) / (14 * 24), atol=1e-7)


def test_quarter_hours_are_averaged_only_when_asked(tmp_path: Path) -> None:
    table = hours(days("2025-06-12", 2, 15))
    with pytest.raises(
        nf.InputError, match=r"steps of 15 minutes; .* \[profiles\] resample = 'mean' takes the mean of 4"
    ):
        read(tmp_path, table)
    profiles = read(tmp_path, table, resample="mean")
    assert profiles.n_days == 2
    np.testing.assert_allclose(profiles.demand, table.Demand.to_numpy().reshape(-1, 4).mean(axis=1), rtol=1e-6)
    with pytest.raises(nf.InputError, match=r"which no whole number of them makes; step_hours = 0.25"):
        read(tmp_path, table, 0.1, resample="mean")


BAD_TIMES = {
    "goes back": (lambda times: times.delete(5).insert(9, times[5]), r"line 11, .* goes back; sort the rows by time"),
    "stands twice": (
        lambda times: times.delete(6).insert(6, times[5]),
        r"line 8, .* stands twice; keep one row a time",
    ),
    "a gap": (
        lambda times: times.delete([5, 6]),
        r"line 7, .* comes 180 minutes after the row before.*2 rows are miss",
    ),
    "begins at six": (
        lambda times: times + pd.Timedelta(hours=6),
        r"line 2, .* is 06:00 of the day .* begin with line 20",
    ),
}


@pytest.mark.parametrize("mistake", BAD_TIMES)
def test_a_clock_that_is_none_is_refused_with_its_line(mistake: str, tmp_path: Path) -> None:
    change, told = BAD_TIMES[mistake]
    with pytest.raises(nf.InputError, match=told):
        read(tmp_path, hours(change(days("2025-06-12", 2))))


def test_whole_days_may_be_left_out_but_not_where_rules_count_them(tmp_path: Path) -> None:
    times = days("2025-06-12", 5, 15)
    table = hours(times[:96].append(times[288:]))
    assert read(tmp_path, table, resample="mean").n_days == 3
    with pytest.raises(nf.InputError, match=r"2 are left out; .* split_column"):
        read(tmp_path, table, resample="mean", test=["week 2 of 2"])


def test_days_counted_in_utc_are_pointed_to_a_zone(tmp_path: Path) -> None:
    times = days("2025-03-29", 3, 15, zone="Europe/Berlin")
    with pytest.raises(nf.InputError, match=r"is 23:00 of the day .*\[profiles\] timezone = 'Europe/Berlin'"):
        read(tmp_path, hours(times, "%Y-%m-%d %H:%M%z"), 0.25)


@pytest.mark.parametrize("number", ["inf", "1e25"])
def test_a_number_that_counts_no_time_is_refused(number: str, tmp_path: Path) -> None:
    table = hours(days("2025-06-12", 1)).assign(Zeit=number)
    with pytest.raises(nf.InputError, match=rf"line 2, time column 'Zeit': '{number}' is no date and time"):
        read(tmp_path, table, time_column="Zeit")


@pytest.mark.parametrize("n_rows", [30, 10])
def test_a_series_shorter_than_its_days_is_refused(n_rows: int, tmp_path: Path) -> None:
    left = f"{n_rows // 24} whole days and {n_rows % 24} rows"
    with pytest.raises(nf.InputError, match=rf"{n_rows} rows make no whole number of days of 24 rows.*{left}"):
        read(tmp_path, hours(days("2025-06-12", 2)[:n_rows]))


def test_an_hour_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(nf.InputError, match=r"line 28: '2025-03-30 02:00' does not exist in Europe/Berlin"):
        read(tmp_path, hours(days("2025-03-29", 2)), timezone="Europe/Berlin")


def test_an_hour_that_stands_once_in_autumn_is_told(tmp_path: Path) -> None:
    with pytest.raises(nf.InputError, match=r"line 4: '2025-10-26 02:00' is in the hour that Europe/Berlin has twice"):
        read(tmp_path, hours(days("2025-10-26", 1)), timezone="Europe/Berlin")


def test_summer_time_without_a_zone_is_pointed_to(tmp_path: Path) -> None:
    with pytest.raises(nf.InputError, match=r"stands twice.*\[profiles\] timezone = 'Europe/Berlin'"):
        read(tmp_path, hours(days("2025-10-26", 2, zone="Europe/Berlin")))


def test_holes_are_filled_only_when_asked_and_counted(tmp_path: Path) -> None:
    table = hours(days("2025-06-12", 1))
    table.loc[[3, 4], "Demand"] = np.nan
    with pytest.raises(nf.InputError, match=r"line 5, column 'Demand': no number \(1 more such cells\)"):
        read(tmp_path, table)
    with pytest.warns(UserWarning, match="2 cells without a number are interpolated"):
        profiles = read(tmp_path, table, fill="interpolate")
    np.testing.assert_allclose(profiles.demand, np.arange(24) / 24, atol=1e-6)
    table["Demand"] = "x"
    with pytest.raises(nf.InputError, match=r"line 2, column 'Demand': 'x' is not a finite number"):
        read(tmp_path, table, fill="interpolate")
