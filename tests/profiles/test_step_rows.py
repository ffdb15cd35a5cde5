"""Large tables: read a block at a time in bounded memory, once, and kept in a cache that is never trusted blindly."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import neomflex_jax as nf
from neomflex_jax.files import wide_tables
from neomflex_jax.grid.nodes import Nodes
from neomflex_jax.profiles import SeriesConfig, Wanted, kept_rows, read_profiles_by_element
from neomflex_jax.profiles.kept_rows import step_rows
from neomflex_jax.profiles.step_rows import Reading, read_step_rows

NAMES = ("a", "b", "c")


def reading(**changes: object) -> Reading:
    plain: dict[str, object] = {"common": NAMES[:1], "own": NAMES[1:], "time_column": "time", "timezone": ""}
    plain |= {"step_hours": 1.0, "steps_per_day": 24, "resample": "", "fill": "", "dtype": "float64"}
    return Reading(**(plain | changes))


def write(path: Path, n_days: int = 4, minutes: int = 60, holes: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Write random columns, with holes in this share of the cells; gives what was written."""
    random = np.random.default_rng(seed)
    times = pd.date_range("2025-06-12", periods=n_days * 1440 // minutes, freq=f"{minutes}min")
    values = random.uniform(0.0, 1.0, (len(times), 3)).round(4)
    values[random.random(values.shape) < holes] = np.nan
    table = pd.DataFrame(values, columns=NAMES)
    table.assign(time=times.strftime("%Y-%m-%d %H:%M")).to_csv(path, index=False)
    return table


@pytest.fixture(params=[1, 7, 100_000])
def rows_a_block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide_tables, "BLOCK_CELLS", 0)
    monkeypatch.setattr(wide_tables, "LEAST_ROWS", max(request.param, 2))


@pytest.mark.usefixtures("rows_a_block")
@pytest.mark.parametrize("holes", [0.1, 0.7])
def test_in_blocks_holes_and_means_are_those_of_the_whole_table(holes: float, tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", minutes=15, holes=holes)
    rows = read_step_rows(tmp_path / "t.csv", reading(resample="mean", fill="interpolate"))
    whole = table.interpolate(limit_direction="both").to_numpy().reshape(-1, 4, 3).mean(axis=1)
    np.testing.assert_allclose(np.concatenate([rows.common, rows.own], axis=1), whole, rtol=1e-12)
    assert f"{int(table.isna().sum().sum())} cells without a number" in rows.told[0]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEOMFLEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_rows, "SMALLEST_BYTES", 0)
    return tmp_path / "cache" / "tables"


def read_text_again(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Collect what is read as text from here on."""
    read: list[Path] = []

    def noted(path: Path, own: Reading) -> object:
        read.append(path)
        return read_step_rows(path, own)

    monkeypatch.setattr(kept_rows, "read_step_rows", noted)
    return read


def test_a_table_is_read_once_for_each_way_to_read_it(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = tmp_path / "t.csv", read_text_again(monkeypatch)
    table = write(path, holes=0.1)
    ways = [reading(fill="interpolate"), reading(fill="interpolate", dtype="float32")]
    first = [step_rows(path, way) for way in ways]
    again = [step_rows(path, way) for way in ways]
    assert read == [path, path]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.own, other.own)
        assert one.own.dtype == other.own.dtype
        assert one.told == other.told != ()
    table.fillna(0.5).assign(time=pd.read_csv(path)["time"]).to_csv(path, index=False)
    assert step_rows(path, ways[0]).told == ()
    assert len(read) == 3


def test_warnings_name_the_file_that_is_read_not_the_one_that_was_kept(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "first.csv"
    table = write(path, holes=0.1).rename(columns={"a": "Demand", "b": "Solar"})
    table.assign(time=pd.read_csv(path)["time"]).to_csv(path, index=False)
    wanted = Wanted(SeriesConfig(fill="interpolate", ignore=("c",)), (), 1.0, 24, "", False)
    for name in ("first.csv", "second.csv"):
        file = path if name == "first.csv" else path.rename(tmp_path / name)
        with pytest.warns(UserWarning, match=rf"{name}: line \d+, column .*: \d+ cells without a number"):
            read_profiles_by_element(file, wanted, Nodes.one_a_bus([0]))
    assert len(list(cache.glob("*.npz"))) == 1


SPOILT = {
    "cut off": lambda content: content[: len(content) // 2],
    "one bit": lambda content: content[:-2000] + bytes([content[-2000] ^ 1]) + content[-1999:],
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("spoilt", [*SPOILT, "of another file"])
def test_a_spoilt_cache_or_one_of_another_file_is_made_anew(
    spoilt: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    write(path, 40)
    right = step_rows(path, reading())
    (kept,) = cache.glob("*.npz")
    if spoilt == "of another file":
        write(tmp_path / "other.csv", 40, seed=1)
        step_rows(tmp_path / "other.csv", reading())
        next(file for file in cache.glob("*.npz") if file != kept).replace(kept)
    else:
        kept.write_bytes(SPOILT[spoilt](kept.read_bytes()))
    read = read_text_again(monkeypatch)
    np.testing.assert_array_equal(step_rows(path, reading()).own, right.own)
    assert read == [path]
    step_rows(path, reading())
    assert read == [path]


def test_the_oldest_go_when_the_cache_is_full(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_rows, "MOST_KEPT_BYTES", 0)
    for seed in range(3):
        write(tmp_path / "t.csv", seed=seed)
        step_rows(tmp_path / "t.csv", reading())
    assert len(list(cache.iterdir())) == 1


def test_a_cache_that_cannot_be_written_costs_nothing(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "t.csv")
    (tmp_path / "cache").write_text("in the way")
    assert len(step_rows(tmp_path / "t.csv", reading()).own) == 4 * 24


def test_rows_far_shorter_than_the_header_set_no_memory_aside(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(2000)]
    (tmp_path / "t.csv").write_text(",".join(names) + "\n1" * 30_000)
    with pytest.raises(nf.InputError, match="most rows are far shorter than the header"):
        read_step_rows(tmp_path / "t.csv", reading(common=(), own=tuple(names), time_column=None))


PEAK = """
import re, sys
from pathlib import Path
import neomflex_jax.profiles
from neomflex_jax.profiles.step_rows import Reading, read_step_rows
names = tuple(f"c{number}" for number in range(200))
def kib(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = kib("VmRSS")
rows = read_step_rows(Path(sys.argv[1]), Reading((), names, None, "", 1.0, 24, "", "", "float32"))
print(rows.own.nbytes, 1024 * (kib("VmHWM") - before))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory of a process as Linux states it")
def test_no_more_than_the_rows_themselves_is_held(tmp_path: Path) -> None:
    path, line = tmp_path / "t.csv", ",".join(["0.1234"] * 200)
    path.write_text(",".join(f"c{number}" for number in range(200)) + f"\n{line}" * 40_000)  # 56 MB
    done = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
    n_bytes, over = map(int, done.stdout.split())
    assert n_bytes == 200 * 40_000 * 4
    assert over < n_bytes + 30e6, over
