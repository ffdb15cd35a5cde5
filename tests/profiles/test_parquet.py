"""Parquet tables of series: the same rows as from CSV, and files that are none, or too large by their own words."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neomflex_jax as nf
from neomflex_jax.files import parquet
from neomflex_jax.grid.nodes import Nodes
from neomflex_jax.profiles import Profiles, SeriesConfig, Wanted, read_profiles, read_profiles_by_element
from neomflex_jax.profiles.step_rows import Reading, read_step_rows

HOURS = 48


def write(path: Path, zone: str | None = None, **changes: object) -> pd.DataFrame:
    times = pd.date_range("2025-06-12", periods=HOURS, freq="h", tz=zone)
    random = np.random.default_rng(0)
    table = pd.DataFrame({"when": times, "Demand": random.uniform(0.0, 1.0, HOURS), "Solar": np.float32(0.5)})
    table.assign(**changes).to_parquet(path, index=False)
    return table


def read(path: Path, **config: str) -> Profiles:
    return read_profiles_by_element(path, Wanted(SeriesConfig(**config), (), 1.0, 24, "", False), Nodes.one_a_bus([0]))


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_rows_and_times_are_those_of_the_table(zone: str | None, tmp_path: Path) -> None:
    table = write(tmp_path / "t.parquet", zone)
    profiles = read(tmp_path / "t.parquet", timezone="" if zone is None else zone)
    np.testing.assert_allclose(profiles.demand, table.Demand, rtol=1e-6)
    assert profiles.n_days == 2


@pytest.mark.parametrize("zone", ["UTC", "Etc/GMT-1"])
def test_a_clock_that_goes_back_is_refused(zone: str, tmp_path: Path) -> None:
    times = pd.date_range("2025-06-12", periods=HOURS, freq="h", tz=zone)
    write(tmp_path / "t.parquet", when=times.delete(5).insert(9, times[5]))
    with pytest.raises(nf.InputError, match=r"row 9 \(from 0\), .* goes back; sort the rows by time"):
        read(tmp_path / "t.parquet")


def test_what_is_missing_is_named_or_filled(tmp_path: Path) -> None:
    demand = np.linspace(0.0, 1.0, HOURS)
    holed = demand.copy()
    holed[3:5] = np.nan
    write(tmp_path / "t.parquet", Demand=holed)
    with pytest.raises(nf.InputError, match=r"row 3 \(from 0\), column 'Demand': no number \(1 more such cells\)"):
        read(tmp_path / "t.parquet")
    with pytest.warns(UserWarning, match="2 cells without a number are interpolated"):
        np.testing.assert_allclose(read(tmp_path / "t.parquet", fill="interpolate").demand, demand, atol=1e-6)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def of_text(path: Path) -> None:
    write(path, Demand=["much"] * HOURS)


def of_lists(path: Path) -> None:
    write(path, more=[{"a": 1}] * HOURS)


def infinite(path: Path) -> None:
    write(path, Demand=np.inf)


def empty(path: Path) -> None:
    path.write_bytes(b"")


SPOILT: dict[Callable[[Path], None], str] = {
    cut_off: "not a readable Parquet file",
    empty: "not a readable Parquet file",
    of_text: r"column 'Demand' holds (large_)?string, not numbers",
    of_lists: "has columns with columns in them|nobody uses column 'more'",
    infinite: r"row 0 \(from 0\), column 'Demand': inf is not a finite number",
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_file_that_is_none_is_refused(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path / "t.parquet")
    spoil(tmp_path / "t.parquet")
    with pytest.raises(nf.InputError, match=SPOILT[spoil]):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize(("limit", "told"), [("MOST_ROWS", "48 rows"), ("MOST_COLUMNS", "3 columns")])
def test_a_file_too_large_by_its_own_words_is_not_read(
    limit: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "t.parquet")
    monkeypatch.setattr(parquet, limit, 2)
    with pytest.raises(nf.InputError, match=f"says that it has {told}; at most 2 are read"):
        read(tmp_path / "t.parquet")


def test_a_column_too_large_unpacked_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "t.parquet")
    monkeypatch.setattr(parquet, "MOST_CHUNK_BYTES", 10)
    reading = Reading(("Demand",), (), None, "", 1.0, 24, "", "", "float32")
    with pytest.raises(nf.InputError, match="more than 10; save it with smaller groups"):
        read_step_rows(tmp_path / "t.parquet", reading)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        nf.InputError, match=r'Parquet needs pyarrow; install it with pip install "neomflex-jax\[parquet\]"'
    ):
        read(tmp_path / "t.parquet")


def test_a_plain_series_is_no_parquet_file(tmp_path: Path) -> None:
    with pytest.raises(nf.InputError, match=r"a Parquet table is read by \[profiles\] file = 't.parquet'"):
        read_profiles(tmp_path / "t.parquet")
