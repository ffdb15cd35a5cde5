"""Charging sessions from a file: laid out on the steps of the days, and refused by line where they cannot be."""

import dataclasses
import datetime as dt
from pathlib import Path

import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.profiles import SeriesConfig, SessionDevice
from neomflex_jax.profiles.sessions import Days, read_sessions

HEADER = "charger,user,arrival,departure,energy_kwh,power_kw"
DAYS = Days(dt.date(2025, 6, 12), n_days=2, steps_per_day=48, step_hours=0.5)
CHARGER = SessionDevice(0, "ev_7", 7, "EV charger 'ev_7'", 1.0, 0.05, (), "c1")
DAILY = dataclasses.replace(CHARGER, every_day=((8.0, 10.0, 0.02, 0.011),), charger="")
PLAIN = "c1,,2025-06-12 08:00,2025-06-12 10:00,8,11"


def read(folder: Path, *rows: str, devices: tuple[SessionDevice, ...] = (CHARGER,), **config: object) -> np.ndarray:
    (folder / "sessions.csv").write_text("\n".join([HEADER, *rows]) + "\n", "utf-8")
    return read_sessions(folder / "sessions.csv", devices, DAYS, SeriesConfig(sessions_file="sessions.csv", **config))


def laid_out(*sessions: tuple[int, int, float, float | list[float]]) -> np.ndarray:
    """Rows of sessions (first row, row behind the last, kWh, kW of all or of each)."""
    values = np.zeros((96, 3))
    for first, end, energy_kwh, power_kw in sessions:
        values[first, 0] = energy_kwh / 1000
        values[first:end, 1] = np.array(power_kw) / 1000
        values[end - 1, 2] = 1
    return values


LAID_OUT = {
    "shares of steps": (
        (PLAIN, "c1,,2025-06-13 10:10,2025-06-13 12:05,7,12", "c1,,2025-06-13 14:05,2025-06-13 14:20,2,12"),
        [(16, 20, 8, 11), (68, 73, 7, [8, 12, 12, 12, 2]), (76, 77, 2, 6)],
    ),
    "two in a step": (
        ("c1,,2025-06-12 08:00,2025-06-12 09:40,8,12", "c1,,2025-06-12 09:45,2025-06-12 11:10,6,12"),
        [(16, 20, 8, [12, 12, 12, 4]), (20, 23, 6, [12, 12, 4])],
    ),
    "shares over midnight": (
        ("c1,,2025-06-12 23:10,2025-06-13 00:20,7,12",),
        [(46, 48, 5, [8, 12]), (48, 49, 2, 8)],
    ),
    "one after the other": ((PLAIN, "c1,,2025-06-12 10:00,2025-06-12 11:00,7,22"), [(16, 20, 8, 11), (20, 22, 7, 22)]),
    "over midnight": (("c1,,2025-06-12 22:00,2025-06-13 04:00,12,11",), [(44, 48, 4, 11), (48, 56, 8, 11)]),
    "begun before the days": (("c1,,2025-06-11 22:00,2025-06-12 02:00,12,11",), [(0, 4, 6, 11)]),
    "not in order": (("c1,,2025-06-12 12:00,2025-06-12 13:00,7,11", PLAIN), [(24, 26, 7, 11), (16, 20, 8, 11)]),
}


@pytest.mark.parametrize("case", LAID_OUT)
def test_sessions_are_laid_out_on_steps(case: str, tmp_path: Path) -> None:
    rows, expected = LAID_OUT[case]
    np.testing.assert_allclose(read(tmp_path, *rows)[:, :, 0], laid_out(*expected), rtol=1e-12)


def test_local_times_are_counted_in_winter_time(tmp_path: Path) -> None:
    rows = read(tmp_path, PLAIN, timezone="Europe/Berlin")
    np.testing.assert_allclose(rows[:, :, 0], laid_out((14, 18, 8, 11)), rtol=1e-12)
    stated = read(tmp_path, PLAIN.replace(":00,", ":00+02:00,"), timezone="Europe/Berlin")
    np.testing.assert_array_equal(stated, rows)


def test_beside_them_others_are_the_same_every_day(tmp_path: Path) -> None:
    rows = read(tmp_path, PLAIN, devices=(CHARGER, DAILY))
    np.testing.assert_allclose(rows[:, :, 0], laid_out((16, 20, 8, 11)), rtol=1e-12)
    np.testing.assert_allclose(rows[:, :, 1], laid_out((16, 20, 20, 11), (64, 68, 20, 11)), rtol=1e-12)


REFUSED = {
    "leaves before it comes": (
        "c1,,2025-06-12 10:00,2025-06-12 09:00,1,11",
        r"line 3: departs at or before its arrival",
    ),
    "two at a time": (
        "c1,,2025-06-12 09:30,2025-06-12 11:00,1,11",
        r"line 3: arrives at charger 'c1' before line 2 dep",
    ),
    "too much": (
        "c1,,2025-06-12 12:00,2025-06-12 13:00,12,11",
        r"line 3: wants 12 kWh, and 11 kW give 11 kWh at most in its 1 hours at EV charger 'ev_7'",
    ),
    "too large": ("c1,,2025-06-12 12:00,2025-06-12 18:00,55,11", r"line 3: .* largest_mwh .* is 0.05 MWh; raise it"),
    "no energy": ("c1,,2025-06-12 12:00,2025-06-12 18:00,0,11", r"line 3, column 'energy_kwh': 0 must be above 0"),
    "no number": ("c1,,2025-06-12 12:00,2025-06-12 18:00,5,", r"line 3, column 'power_kw': '' is not a finite number"),
    "no time": ("c1,,soon,2025-06-12 18:00,5,11", r"line 3, column 'arrival': 'soon' is no date and time"),
    "nobody's": ("c2,,2025-06-12 12:00,2025-06-12 18:00,5,11", r"line 3: nobody uses charger 'c2'; map a device to it"),
    "no charger": (",,2025-06-12 12:00,2025-06-12 18:00,5,11", r"line 3, column 'charger': is empty"),
    "a zone": (
        "c1,,2025-06-12 12:00Z,2025-06-12 18:00Z,5,11",
        r"column 'arrival' states its distance from UTC; .*timezone",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_mistakes_are_named_by_line(mistake: str, tmp_path: Path) -> None:
    row, told = REFUSED[mistake]
    with pytest.raises(nf.InputError, match=rf"sessions.csv: {told}"):
        read(tmp_path, PLAIN.replace(":00,", ":00Z,") if mistake == "a zone" else PLAIN, row)


def test_losses_count_in_what_a_session_can_get(tmp_path: Path) -> None:
    with pytest.raises(nf.InputError, match=r"line 2: wants 8 kWh, and 11 kW give 7.7 kWh at most in its 2 hours"):
        read(tmp_path, PLAIN, devices=(dataclasses.replace(CHARGER, efficiency=0.35),))


def test_a_missing_column_or_charger_is_named_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("charger,arrival,departure,energy,power_kw\n")
    with pytest.raises(nf.InputError, match=r"unknown column 'energy_kwh'; .* Did you mean 'energy'"):
        read_sessions(tmp_path / "s.csv", (CHARGER,), DAYS, SeriesConfig())
    with pytest.raises(nf.InputError, match=r"EV charger 'ev_7': unknown charger 'c11'; .* Did you mean 'c1'"):
        read(tmp_path, PLAIN, devices=(dataclasses.replace(CHARGER, charger="c11"),))


def test_what_is_not_played_is_told(tmp_path: Path) -> None:
    outside = "c1,,2025-07-12 08:00,2025-07-12 10:00,8,11"
    with pytest.warns(UserWarning, match=r"1 of 2 sessions are outside of the days, 2025-06-12\.\.2025-06-13"):
        read(tmp_path, PLAIN, outside)
    short = "c1,,2025-06-12 11:30,2025-06-12 11:40,1,12", "c1,,2025-06-12 11:45,2025-06-12 11:55,1,11"
    with pytest.warns(UserWarning, match=r"1 of 3 sessions begin and end in a step of 30 minutes in which another"):
        rows = read(tmp_path, PLAIN, *short)
    np.testing.assert_allclose(rows[:, :, 0], laid_out((16, 20, 8, 11), (23, 24, 1, 4)), rtol=1e-12)
    with pytest.raises(nf.InputError, match=r"no session is in the days of the series, 2025-06-12\.\.2025-06-13"):
        read(tmp_path, outside)
    assert read(tmp_path, PLAIN, PLAIN.replace("c1", "c2"), ignore=("c2",)).any()
