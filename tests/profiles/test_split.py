"""Days for training, validation and test by rules: no day in two of them, and the referee finds the same ones."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from wide_table import SCENARIO

import neomflex_jax as nf
from neomflex_jax.commands.scenario_text import days_of_parts
from neomflex_jax.environment import evaluation_environment
from neomflex_jax.environment.own_series import split_of
from neomflex_jax.evaluation.rollout import record
from neomflex_jax.grid.to_csv import write_feeder
from neomflex_jax.profiles import profiles_hash
from neomflex_jax.training.comparison import compared_on
from validation.recompute.profile_check import profile_gap

START, N_DAYS = "2025-06-19", 35  # a Thursday
HOURS = (0, 6, 12, 18)


def write(folder: Path, rules: str, n_days: int = N_DAYS, start: str = START, parts: list[str] | None = None) -> Path:
    """Write six-hourly rows whose Demand is 0.1 + day / 1000 and a scenario with rules of days; gives its path."""
    feeder = folder / "feeder"
    if not feeder.exists():
        write_feeder(nf.load_feeder("case33bw"), feeder)
    times = pd.date_range(start, periods=4 * n_days, freq="6h")
    table = pd.DataFrame({"time": times.strftime("%Y-%m-%d %H:%M"), "Demand": 0.1 + np.arange(4 * n_days) // 4 / 1000})
    table["Solar"] = 0.5
    if parts is not None:
        table["part"] = np.repeat(parts, 4)
    table.to_csv(folder / "series.csv", index=False)
    text = SCENARIO.format(feeder=feeder.as_posix(), buses=list(range(33)), bus=1)
    path = folder / "own.toml"
    path.write_text(f'{text}[profiles]\nfile = "series.csv"\n{rules}\n', "utf-8")
    return path


def days_of(profiles: nf.environment.task.Profiles) -> list[int]:
    """Numbers of the file's days that profiles hold."""
    return [round(float(value)) for value in (np.asarray(profiles.demand)[::4] - 0.1) * 1000]


RULES = {
    'test = ["2025-06-20", "2025-07-01..2025-07-03"]': [1, 12, 13, 14],
    'test = ["2025-07"]': list(range(12, 35)),
    'test = ["month 6"]': list(range(12)),
    'test = ["week 27"]': list(range(11, 18)),  # 30 June to 6 July
    'test = ["week 2 of 3"]': [*range(4, 11), *range(25, 32)],  # weeks begin on Mondays, the first before the file
}


@pytest.mark.parametrize("rule", RULES)
def test_each_part_plays_its_own_days(rule: str, tmp_path: Path) -> None:
    env = nf.make(str(write(tmp_path, rule)))
    judged = evaluation_environment(env)
    assert days_of(judged.profiles) == RULES[rule]
    assert days_of(env.profiles) == [day for day in range(N_DAYS) if day not in RULES[rule]]


@pytest.mark.parametrize("rule", ['test = ["2025-07"]', 'test = ["week 2 of 3"]', 'split_column = "part"'])
def test_the_referee_finds_the_same_days(rule: str, tmp_path: Path) -> None:
    parts = ["train"] * 20 + ["test"] * 5 + ["validation"] * 5 + ["test"] * 5 if "column" in rule else None
    env = evaluation_environment(nf.make(str(write(tmp_path, rule, parts=parts))))
    path = tmp_path / "series.csv"
    policy = jax.tree_util.Partial(lambda observation: jnp.zeros((env.n_agents, env.action_size)))
    run = record(env, policy, "controlled", 3, profiles_hash(path))
    assert run.scenario.series.part == "test"
    assert profile_gap(run, path) < 1e-6
    assert profile_gap(dataclasses.replace(run, scenario=run.scenario.playing("train")), path) > 1e-3


def test_local_times_are_split_by_the_clock_that_days_are_counted_by(tmp_path: Path) -> None:
    path = write(tmp_path, 'timezone = "Europe/Berlin"\ntest = ["2025-06-20"]')
    table = pd.read_csv(tmp_path / "series.csv")
    winter = pd.date_range(START, periods=len(table), freq="6h", tz="Etc/GMT-1")
    table.assign(time=winter.tz_convert("Europe/Berlin").strftime("%Y-%m-%d %H:%M")).to_csv(
        tmp_path / "series.csv", index=False
    )
    env = evaluation_environment(nf.make(str(path)))
    assert days_of(env.profiles) == [1]
    policy = jax.tree_util.Partial(lambda observation: jnp.zeros((env.n_agents, env.action_size)))
    run = record(env, policy, "controlled", 1, profiles_hash(tmp_path / "series.csv"))
    assert profile_gap(run, tmp_path / "series.csv") < 1e-6


def test_a_scenarios_check_lists_the_days_of_each_part(tmp_path: Path) -> None:
    scenario = nf.load_scenario(write(tmp_path, 'validation = ["2025-06-20"]\ntest = ["month 7"]'))
    split = split_of(scenario, nf.load_feeder(scenario.feeder))
    assert split is not None
    assert days_of_parts(split) == [
        ("train", "11", "2025-06-19, 2025-06-21..2025-06-30"),
        ("validation", "1", "2025-06-20"),
        ("test", "23", "2025-07-01..2025-07-23"),
    ]
    assert split_of(nf.load_scenario("neom33"), nf.load_feeder("case33bw")) is None


def test_a_trainings_comparison_is_on_days_for_validation(tmp_path: Path) -> None:
    env, part = compared_on(nf.make(str(write(tmp_path, 'validation = ["2025-06-20"]\ntest = ["month 7"]'))))
    assert (days_of(env.profiles), part) == ([1], "validation")
    env, part = compared_on(nf.make(str(write(tmp_path, 'test = ["month 7"]'))))
    assert (days_of(env.profiles), part) == (list(range(12)), "training")


BAD = {
    'validation = ["month 7"]\ntest = ["2025-06-30..2025-07-02"]': (
        r"2025-07-01, 2025-07-02 would be in validation and in test; a day belongs to one part"
    ),
    'train = ["month 7"]\ntest = ["2025-07-01"]': r"2025-07-01 would be in train and in test",
    'test = ["month 8"]': r"no day is left for test; the file has 35 days, 2025-06-19\.\.2025-07-23",
    'test = ["2025"]': r"line \d+.*'2025' is no rule of days; write '2025-07-03'",
    'test = ["2025-02-30"]': r"no rule of days",
    'test = ["week 5 of 4"]': r"no rule of days",
    'test = ["month 6", "month 7"]': r"no day is left for train",
    'evaluation_file = "x.csv"\ntest = ["month 7"]': r"'evaluation_file' and days for test .* contradict",
    'split_column = "parts"': r"unknown column 'parts'.*Did you mean 'part'",
}


@pytest.mark.parametrize("rules", BAD)
def test_a_rule_that_is_none_is_refused(rules: str, tmp_path: Path) -> None:
    parts = ["train"] * N_DAYS if "column" in rules else None
    with pytest.raises(nf.InputError, match=f"(?s){BAD[rules]}"):
        nf.make(str(write(tmp_path, rules, parts=parts)))


def test_a_day_of_two_words_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, 'split_column = "part"', parts=["train"] * N_DAYS)
    table = pd.read_csv(tmp_path / "series.csv")
    table.loc[5, "part"] = "test"
    table.to_csv(tmp_path / "series.csv", index=False)
    with pytest.raises(nf.InputError, match=r"day 1, column 'part': 'train', 'test'; a day has one of"):
        nf.make(str(path))


def test_rules_of_dates_need_dates(tmp_path: Path) -> None:
    path = write(tmp_path, 'test = ["month 7"]')
    pd.read_csv(tmp_path / "series.csv").drop(columns="time").to_csv(tmp_path / "series.csv", index=False)
    with pytest.raises(nf.InputError, match="rule 'month 7' needs a column of dates and times"):
        nf.make(str(path))
    path.write_text(path.read_text("utf-8").replace("month 7", "week 2 of 2"), "utf-8")
    assert days_of(nf.make(str(path)).profiles) == [*range(7), *range(14, 21), *range(28, 35)]
