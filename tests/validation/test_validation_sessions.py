"""Sessions of a file before the referee: it lays them out itself, a run passes, and others' sessions are found."""

import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from wide_table import columns, write_scenario

import neomflex_jax as nf
from neomflex_jax.environment.make import evaluation_environment
from neomflex_jax.evaluation import Trajectory
from neomflex_jax.evaluation.rollout import record
from neomflex_jax.grid.to_csv import write_feeder
from neomflex_jax.profiles import profiles_hash
from validation import validate
from validation.recompute.profile_check import profile_gap

LINES = """sessions_file = "sessions.csv"
ev_chargers.home = "c1"
timezone = "Europe/Berlin"
test = ["2025-06-13..2025-06-14"]

[[ev_chargers]]
bus = 20
name = "home"
largest_mwh = 0.2
efficiency = 0.9

[[ev_chargers]]
bus = 30
name = "c2"
largest_mwh = 0.2
unmet_cost = 10.0

[[ev_chargers]]
bus = 31
sessions = [[6.0, 18.0, 0.1, 0.02]]
"""
SESSIONS = """charger,arrival,departure,energy_kwh,power_kw
c1,2025-06-12 07:00,2025-06-12 19:00,90,22
c1,2025-06-13 07:00,2025-06-13 19:00,100,22
c1,2025-06-13 19:00,2025-06-14 13:00,150,22
c2,2025-06-13 12:30,2025-06-14 07:00,120,11
c2,2025-06-14 13:00,2025-06-15 01:00,60,11
"""
SHARE = -0.4  # held back


def write(folder: Path) -> Path:
    """Write a feeder, a folder of series with sessions, and a scenario of three days; gives the scenario's path."""
    feeder = write_feeder(nf.load_feeder("case33bw"), folder / "feeder")
    table = columns(n_days=3, Demand=1.0, Solar=1.0)
    times = pd.date_range("2025-06-12", periods=len(table), freq="6h", tz="Etc/GMT-1").tz_convert("Europe/Berlin")
    scenario = write_scenario(folder, table, LINES, feeder, power_flow='"ac"')
    text = scenario.read_text("utf-8").replace('evaluation_file = "series.csv"\n', "")
    scenario.write_text(text.replace('file = "series.csv"', 'file = "series"', 1), "utf-8")
    (folder / "series").mkdir()
    (folder / "series.csv").unlink()
    table.assign(time=times.strftime("%Y-%m-%d %H:%M")).to_csv(folder / "series" / "series.csv", index=False)
    (folder / "series" / "sessions.csv").write_text(SESSIONS, "utf-8")
    return scenario


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[nf.Environment, Trajectory, Path]]:
    """The two days for test, with some charging held back, and the folder that they are from."""
    folder = tmp_path_factory.mktemp("sessions")
    env = evaluation_environment(nf.make(str(write(folder))))
    policy = jax.tree_util.Partial(lambda observation: jnp.full((env.n_agents, env.action_size), SHARE))
    yield env, record(env, policy, "controlled", 2, profiles_hash(folder / "series")), folder / "series"


def test_the_days_sessions_are_played(played) -> None:
    _env, run, _path = played
    energy, power = (1000 * np.asarray(values, float) for values in (run.session_energy_mwh, run.session_power_mw))
    np.testing.assert_allclose(energy[:, 0], [0, 100, 0, 50, 100, 0, 0, 0], atol=1e-4)  # 6 hours a step, in winter time
    np.testing.assert_allclose(power[:, 0], [0, 22, 22, 22, 22, 22, 0, 0], atol=1e-4)
    np.testing.assert_array_equal(run.session_ends[:, 0], [0, 0, 1, 1, 0, 1, 0, 0])
    np.testing.assert_allclose(energy[:, 1], [0, 120 * 12.5 / 18.5, 0, 0, 120 * 6 / 18.5, 0, 60, 0], atol=1e-4)
    np.testing.assert_allclose(power[:, 1], [0, 11 * 0.5 / 6, 11, 11, 11, 0, 11, 11], atol=1e-4)  # half an hour of six
    np.testing.assert_allclose(energy[:, 2], [0, 100, 0, 0, 0, 100, 0, 0], atol=1e-4)
    assert run.ev_unmet_mwh.max() > 0.001 and run.ev_p_mw.min() < -0.01


def test_it_passes_with_the_policy_acting_again(played, tmp_path: Path) -> None:
    env, run, path = played
    size = int(env.action_mask.sum())
    policy = {"controlled": lambda seen: {agent: np.full(size, SHARE, np.float32) for agent in seen}}
    run.save(tmp_path / "run.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = validate([Trajectory.load(tmp_path / "run.npz")], tmp_path / "out", policies=policy, profiles=path)
    failed = {one.name for one in report.runs[0].criteria if not one.passed}
    assert report.runs[0].verdict == "PASS", failed


def test_other_sessions_are_found(played) -> None:
    env, run, path = played
    assert profile_gap(run, path) < 1e-6
    policy = jax.tree_util.Partial(lambda observation: jnp.full((env.n_agents, env.action_size), SHARE))
    for changed in (env.profiles.sessions[:, :, jnp.array([1, 0, 2])], 1.01 * env.profiles.sessions):
        wrong = dataclasses.replace(env, profiles=dataclasses.replace(env.profiles, sessions=changed))
        assert profile_gap(record(wrong, policy, "controlled", 2, run.profiles_sha256), path) > 0.005


def test_what_the_record_takes_beyond_its_sessions_is_found(played, tmp_path: Path) -> None:
    _env, run, path = played
    drawn = run.ev_p_mw - np.float32(0.05)
    report = validate([dataclasses.replace(run, ev_p_mw=drawn)], tmp_path / "out", profiles=path)
    failed = {one.name for one in report.runs[0].criteria if one.passed is False}
    assert "device_limit_max" in failed


def test_the_hash_of_the_series_is_of_its_sessions_too(played, tmp_path: Path) -> None:
    write(tmp_path)
    before = profiles_hash(tmp_path / "series")
    (tmp_path / "series" / "sessions.csv").write_text(SESSIONS.replace("90,22", "91,22"), "utf-8")
    assert before == profiles_hash(played[2]) != profiles_hash(tmp_path / "series")


REFUSED = {
    "no file": (('sessions_file = "sessions.csv"\n', ""), r"ev_chargers are mapped to chargers of a file; name it"),
    "a path": (('"sessions.csv"', '"../sessions.csv"'), r"must be the name of a file in the folder of the series"),
    "not there": (('"sessions.csv"', '"session.csv"'), r"unknown file 'session.csv'; .* Did you mean 'sessions.csv'"),
    "of its own": (
        ('home = "c1"', '"*" = "c1"'),
        r"EV charger 'ev_31' has sessions of its own; leave them or the line",
    ),
    "none for it": (("largest_mwh = 0.2\nunmet", "unmet"), r"list at least one .*, or have largest_mwh and a file"),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_scenarios_that_do_not_fit_are_refused(mistake: str, tmp_path: Path) -> None:
    (old, new), told = REFUSED[mistake]
    scenario = write(tmp_path)
    scenario.write_text(scenario.read_text("utf-8").replace(old, new, 1), "utf-8")
    with pytest.raises(nf.InputError, match=told):
        nf.make(str(scenario))


def test_scenarios_without_a_file_keep_their_hash() -> None:
    scenario = nf.load_scenario("ev33")
    assert "largest_mwh" not in scenario.as_dict()["ev_chargers"][0]
    assert scenario.hash() == nf.load_scenario("ev33", series={"sessions_file": ""}).hash()
