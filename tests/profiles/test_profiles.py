"""Demand and solar series: what is read, what is mended with a warning, and what is refused and how."""

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.profiles import Profiles, profiles_hash, read_profiles, resolve_profiles

GOOD = "Demand,Solar\n0.5,0\n0.6,0.3\n0.7,1\n0.8,0\n"


def read(folder: Path, text: str, steps_per_day: int = 2) -> Profiles:
    """Write a file and read it."""
    path = folder / "series.csv"
    path.write_text(text, encoding="utf-8")
    return read_profiles(path, steps_per_day)


def test_a_series_is_read_in_file_order(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        profiles = read(tmp_path, GOOD)
    np.testing.assert_array_equal(profiles.demand, np.array([0.5, 0.6, 0.7, 0.8], np.float32))
    np.testing.assert_array_equal(profiles.solar, np.array([0.0, 0.3, 1.0, 0.0], np.float32))
    assert (profiles.n_rows, profiles.n_days, profiles.steps_per_day) == (4, 2, 2)


def test_other_columns_order_and_spaces_do_not_matter(tmp_path: Path) -> None:
    profiles = read(tmp_path, "Solar , Time, Demand\r\n0.1, noon, 0.5\r\n0.2,, 0.6\r\n")
    np.testing.assert_array_equal(profiles.demand, np.array([0.5, 0.6], np.float32))
    np.testing.assert_array_equal(profiles.solar, np.array([0.1, 0.2], np.float32))


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeff" + GOOD).n_rows == 4


@pytest.mark.parametrize("name", ("training", "testing"))  # the others have a column for each part of a feeder
def test_packaged_profiles_load_in_whole_days(name: str) -> None:
    profiles = read_profiles(resolve_profiles(name))
    assert profiles.n_days > 1
    assert profiles.n_rows == 48 * profiles.n_days


REFUSED = {  # what is wrong: the file and what the message must say
    "no Solar": ("Demand,Sun\n0.5,0\n0.5,0\n", ["'Solar' is missing", "Demand, Sun"]),
    "other separator": (GOOD.replace(",", "|"), ["'Demand', 'Solar' is missing", "Demand|Solar"]),
    "NaN": (GOOD.replace("0.6", "nan"), ["line 3", "'Demand'", "'nan'"]),
    "empty cell": (GOOD.replace("0.3", ""), ["line 3", "'Solar'", "''"]),
    "no number": (GOOD.replace("0.8", "high"), ["line 5", "'Demand'", "'high'"]),
    "infinite": (GOOD.replace("0.8", "-inf"), ["line 5", "'Demand'", "'-inf'"]),
    "decimal comma": ("Demand,Solar\n'0,5','0,1'\n'0,5','0,1'\n", ["line 2"]),
    "half a day": (GOOD + "0.5,0\n", ["5 rows", "days of 2 rows", "2 whole days and 1 rows"]),
    "no rows": ("Demand,Solar\n", ["0 rows"]),
    "nothing at all": ("", ["not a readable CSV"]),
    "too bright": (GOOD.replace("0.7,1", "0.7,1.21"), ["line 4", "'Solar'", "1.21", "1.2", "per unit"]),
    "in percent": (GOOD.replace("0.7,1", "0.7,100"), ["line 4", "'Solar'", "100"]),
    "short row": (GOOD.replace("0.6,0.3", "0.6"), ["line 3", "'Solar'"]),
    "long row": ("Demand,Solar\n0.5,0.1,0.9\n0.6,0.2,0.8\n", ["line 2"]),
    "column twice": ("Demand,Demand,Solar\n0.5,7,0\n0.6,7,0\n", ["'Demand'"]),
    "column twice but for a space": ("Demand,Demand ,Solar\n0.5,7,0\n0.6,7,0\n", ["'Demand'"]),
    "blank line before the mistake": (GOOD.replace("0.7,1", "\n0.7,bright"), ["line 5"]),
    "beyond float32": (GOOD.replace("0.6", "1e39"), ["line 3", "'Demand'"]),
    "zero byte": (GOOD.replace("0.3", "0\x00.3"), ["series.csv"]),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_a_mistake_in_a_series_is_refused_and_named(tmp_path: Path, mistake: str) -> None:
    text, says = REFUSED[mistake]
    with pytest.raises(nf.InputError) as caught:
        read(tmp_path, text)
    for part in ["series.csv", *says]:
        assert part in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "series.csv"
    path.write_bytes(b"Demand,Solar\n\xff\xfe\x00,1\n")
    with pytest.raises(nf.InputError, match="not a readable CSV"):
        read_profiles(path, 2)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(nf.InputError, match=r"gone\.csv: no such file"):
        read_profiles(tmp_path / "gone.csv")


def test_negative_solar_is_clipped_with_exactly_one_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        profiles = read(tmp_path, "Demand,Solar\n0.5,-0.004\n0.6,0.5\n0.7,-0.002\n0.8,0\n")
    np.testing.assert_array_equal(profiles.solar, np.array([0.0, 0.5, 0.0, 0.0], np.float32))
    assert len(caught) == 1
    for part in ("series.csv", "2 negative Solar values", "-0.004"):
        assert part in str(caught[0].message)


def test_solar_up_to_the_limit_is_accepted(tmp_path: Path) -> None:
    assert float(read(tmp_path, GOOD.replace("0.7,1", "0.7,1.2")).solar.max()) == pytest.approx(1.2)


def test_a_name_is_packaged_and_a_path_is_looked_up_beside_the_scenario_first(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(GOOD, encoding="utf-8")
    assert resolve_profiles("training").name == "training_profiles.csv"
    assert resolve_profiles("mine.csv", tmp_path) == tmp_path / "mine.csv"
    assert resolve_profiles("other.csv", tmp_path) == Path("other.csv")


def test_the_hash_is_that_of_the_file(tmp_path: Path) -> None:
    read(tmp_path, GOOD)
    assert profiles_hash(tmp_path / "series.csv") == hashlib.sha256(GOOD.encode()).hexdigest()


def test_series_are_double_precision_where_jax_is(tmp_path: Path, float64: None) -> None:
    assert read(tmp_path, GOOD).demand.dtype == np.float64
