"""A folder as a table: a file a series, or several tables, joined by their clocks."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from wide_table import STEPS, columns, write_scenario

import neomflex_jax as nf
from neomflex_jax.environment.make import evaluation_environment
from neomflex_jax.evaluation.rollout import record
from neomflex_jax.grid.to_csv import write_feeder
from neomflex_jax.profiles import profiles_hash
from validation.recompute.profile_check import profile_gap

LINES = 'unit = "kW"\nloads."bus 7" = "a"\nloads."8" = "b"\ntest = ["2025-06-13"]'


def dated(table: pd.DataFrame, start: str = "2025-06-12", minutes: int = 360) -> pd.DataFrame:
    """Put the times of rows before them."""
    times = pd.date_range(start, periods=len(table), freq=f"{minutes}min")
    return pd.concat([pd.Series(times, name="time"), table], axis=1)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, Path, pd.DataFrame]:
    """Write a folder of three tables and a scenario that plays it; gives scenario, folder and all series."""
    table, folder = columns(n_days=3, a=150.0, b=300.0, Demand=1.0, Solar=1.0), tmp_path / "series"
    scenario = write_scenario(tmp_path, table, LINES, write_feeder(nf.load_feeder("case33bw"), tmp_path / "feeder"))
    scenario.write_text(scenario.read_text("utf-8").replace('file = "series.csv"', 'file = "series"', 1), "utf-8")
    text = scenario.read_text("utf-8").replace('evaluation_file = "series.csv"\n', "")
    scenario.write_text(text, "utf-8")
    folder.mkdir()
    dated(table[["a"]].rename(columns={"a": "value"})).to_csv(folder / "a.csv", index=False)
    dated(table[["b"]]).to_parquet(folder / "b.parquet")
    dated(table[["Demand", "Solar"]]).to_csv(folder / "common.csv", index=False)
    return scenario, folder, table


def test_files_are_joined_and_the_referee_reads_the_same(written: tuple[Path, Path, pd.DataFrame]) -> None:
    scenario, folder, table = written
    env = evaluation_environment(nf.make(str(scenario)))
    own = env.profiles.by_element
    assert own is not None
    np.testing.assert_allclose(own.values, table[["a", "b"]].to_numpy()[STEPS : 2 * STEPS], rtol=1e-6)
    np.testing.assert_allclose(env.profiles.demand, table["Demand"].to_numpy()[STEPS : 2 * STEPS], rtol=1e-6)
    policy = jax.tree_util.Partial(lambda observation: jnp.zeros((env.n_agents, env.action_size)))
    run = record(env, policy, "controlled", 1, profiles_hash(folder))
    assert profile_gap(run, folder) < 1e-6


def test_its_hash_is_that_of_all_its_files(written: tuple[Path, Path, pd.DataFrame]) -> None:
    _, folder, _ = written
    before = profiles_hash(folder)
    (folder / ".hidden").write_text("not a table")
    assert profiles_hash(folder) == before
    (folder / "a.csv").rename(folder / "c.csv")
    assert profiles_hash(folder) != before


MISTAKES = {
    "one name twice": (
        lambda table: {"more.csv": dated(table[["a", "b"]])},
        r"a.csv and more.csv both have a series 'a'; rename or ignore one",
    ),
    "other days": (
        lambda table: {"a.csv": dated(table[["a"]], "2025-06-13")},
        r"b.parquet: has 3 days from 2025-06-12, and a.csv 3 days from 2025-06-13; give all files .* the same days",
    ),
    "fewer days": (lambda table: {"a.csv": dated(table[["a"]][:8])}, r"has 3 days .*, and a.csv 2 days from"),
    "no times": (lambda table: {"a.csv": table[["a"]]}, r"a.csv: has no column of dates and times, and b.parquet has"),
    "another step": (
        lambda table: {"a.csv": dated(columns(12, a=150.0), minutes=90)},
        r"a.csv: .* steps of 90 minutes; the scenario's are 360; \[profiles\] resample = 'mean'",
    ),
    "a series that nobody uses": (lambda table: {"c.csv": dated(table[["b"]])}, r"nobody uses column 'c'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_files_that_do_not_fit_together_are_refused(mistake: str, written: tuple[Path, Path, pd.DataFrame]) -> None:
    scenario, folder, table = written
    tables, told = MISTAKES[mistake]
    for name, own in tables(table).items():
        own.to_csv(folder / name, index=False)
    with pytest.raises(nf.InputError, match=told):
        nf.make(str(scenario))


def test_a_folder_without_a_table_is_refused(written: tuple[Path, Path, pd.DataFrame]) -> None:
    scenario, folder, _ = written
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(nf.InputError, match=r"series: a folder without a table; series are in files that end with"):
        nf.make(str(scenario))
