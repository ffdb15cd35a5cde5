"""Outdoor temperature as a series: read, checked, seen by devices and agents, and read once more by the referee."""

import dataclasses
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from users_modules import forgotten_afterwards
from wide_table import STEPS, columns, write_scenario

import neomflex_jax as nf
from neomflex_jax.environment.make import evaluation_environment
from neomflex_jax.evaluation import Trajectory
from neomflex_jax.evaluation.rollout import record
from neomflex_jax.evaluation.tables import write_tables
from neomflex_jax.grid.to_csv import write_feeder
from neomflex_jax.profiles import profiles_hash
from neomflex_jax.users_modules import import_named
from validation import validate
from validation.recompute.profile_check import profile_gap

EXAMPLE = Path(__file__).parents[2] / "examples" / "heat_pump.py"
CELSIUS = np.array([-8.0, -2.5, 1.0, -4.0, 3.0, 12.0, 17.5, 9.0])
LINES = """outdoor_temperature = "t_out"

[[heat_pumps]]
bus = 20
power_mw = 0.2
"""


@pytest.fixture(scope="module", autouse=True)
def example() -> Iterator[type]:
    with forgotten_afterwards("heat_pump"):
        import_named(str(EXAMPLE))
        yield sys.modules["heat_pump"].HeatPump


def write(folder: Path, lines: str = LINES, celsius: np.ndarray = CELSIUS, **header: str) -> Path:
    """Write two days of four steps and their scenario, whose path is returned."""
    feeder = write_feeder(nf.load_feeder("case33bw"), folder / "feeder")
    table = columns(Demand=1.0, Solar=1.0).assign(t_out=celsius)
    return write_scenario(folder, table, lines, feeder, **header)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[nf.Environment, Trajectory, Path]:
    folder = tmp_path_factory.mktemp("outdoor")
    env = evaluation_environment(nf.make(str(write(folder, power_flow='"ac"'))))
    policy = jax.tree_util.Partial(lambda observation: jnp.full((env.n_agents, env.action_size), 0.2))
    path = folder / "series.csv"
    return env, record(env, policy, "controlled", 2, profiles_hash(path)), path


def test_devices_agents_and_tables_have_it(played: tuple[nf.Environment, Trajectory, Path], tmp_path: Path) -> None:
    env, run, _ = played
    np.testing.assert_allclose(run.outdoor_temperature_c, CELSIUS)
    (seen,) = np.flatnonzero(env.describe().name == "outdoor temperature of the next step")
    np.testing.assert_allclose(run.observation[:, 0, seen], CELSIUS / 50.0, rtol=1e-6)
    losses_w_per_k, cop, capacity, hours = 0.02, 3.0, 0.3, 6.0
    decay = np.exp(-hours * losses_w_per_k / capacity)
    settled = CELSIUS - cop * np.asarray(run.heat_pump_p_mw[:, 0], float) / losses_w_per_k
    expected = settled + (np.asarray(run.heat_pump_before_celsius[:, 0], float) - settled) * decay
    np.testing.assert_allclose(run.heat_pump_celsius[:, 0], expected, rtol=1e-5)
    write_tables([run], tmp_path / "tables")
    table = pd.read_csv(tmp_path / "tables" / "step_metrics.csv")
    np.testing.assert_allclose(table.outdoor_temperature_c, CELSIUS)


def test_it_passes_with_the_policy_acting_again(
    played: tuple[nf.Environment, Trajectory, Path], tmp_path: Path
) -> None:
    env, run, path = played
    size = int(env.action_mask.sum())
    policy = {"controlled": lambda seen: {agent: np.full(size, 0.2, np.float32) for agent in seen}}
    run.save(tmp_path / "run.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = validate([Trajectory.load(tmp_path / "run.npz")], tmp_path / "out", policies=policy, profiles=path)
    failed = {one.name for one in report.runs[0].criteria if not one.passed}
    assert report.runs[0].verdict == "PASS", failed


def test_another_temperature_is_found(played: tuple[nf.Environment, Trajectory, Path], tmp_path: Path) -> None:
    _, run, path = played
    assert profile_gap(run, path) < 1e-6
    warmer = dataclasses.replace(run, outdoor_temperature_c=run.outdoor_temperature_c + np.float32(1.0))
    assert profile_gap(warmer, path) > 0.05
    report = validate([warmer], tmp_path / "out")
    assert "energy_max_mwh" in {one.name for one in report.runs[0].criteria if one.passed is False}
    assert "observation_max" in {one.name for one in report.runs[0].criteria if one.passed is False}


def test_forecasts_and_days_by_rule_are_of_its_rows(tmp_path: Path) -> None:
    table = columns(Demand=1.0, Solar=1.0).assign(t_out=CELSIUS)
    times = pd.date_range("2025-01-12", periods=2 * STEPS, freq="6h").strftime("%Y-%m-%d %H:%M")
    feeder = write_feeder(nf.load_feeder("case33bw"), tmp_path / "feeder")
    lines = f'test = ["2025-01-13"]\n{LINES}\n[observation]\nforecast_steps = 2\n'
    scenario = write_scenario(tmp_path, table.assign(time=times), lines, feeder)
    scenario.write_text(scenario.read_text("utf-8").replace('evaluation_file = "series.csv"\n', ""), "utf-8")
    env = evaluation_environment(nf.make(str(scenario)))
    np.testing.assert_allclose(env.profiles.outdoor_temperature_c, CELSIUS[STEPS:])
    names = env.describe().name
    seen = np.flatnonzero(names.str.startswith("outdoor temperature"))
    assert [name.removeprefix("outdoor temperature ") for name in names[seen]] == [
        "of the next step",
        "12 h ahead",
        "18 h ahead",
    ]
    _, first = env.reset(jax.random.key(0))
    np.testing.assert_allclose(first.observation[0, seen], CELSIUS[STEPS : STEPS + 3] / 50.0, rtol=1e-6)


REFUSED = {
    "kelvin": (LINES, CELSIUS + 273.15, r"column 't_out': 265.15 is none; outdoor temperatures are in degrees Celsius"),
    "a hole": (LINES, np.where(np.arange(8) == 3, np.nan, CELSIUS), r"line 5, column 't_out': no number"),
    "no such column": (LINES.replace("t_out", "t_aut"), CELSIUS, r"unknown column 't_aut'; .* Did you mean 't_out'"),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_columns_that_are_none_are_refused(mistake: str, tmp_path: Path) -> None:
    lines, celsius, told = REFUSED[mistake]
    with pytest.raises(nf.InputError, match=told):
        nf.make(str(write(tmp_path, lines, celsius)))


def test_a_kind_that_needs_it_says_which_line_to_write(
    example: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "needs_outdoor_temperature", True)
    nf.load_scenario(write(tmp_path))
    told = r"the heat pump at bus 20 needs the outdoor temperature; \[profiles\] outdoor_temperature = 't_outdoor'"
    with pytest.raises(nf.InputError, match=told):
        nf.load_scenario(write(tmp_path, LINES.partition("\n")[2]))


def test_without_it_nothing_is_recorded_and_hashes_stay() -> None:
    env = nf.make("neom33", power_flow="lindistflow")
    _, first = env.reset(jax.random.key(0))
    assert "outdoor_temperature_c" not in first.info
    plain, stated = (nf.load_scenario("neom33", series={"unit": "kW", **more}) for more in ({}, {"sessions_file": ""}))
    assert plain.hash() == stated.hash() and "outdoor_temperature" not in plain.as_dict()["series"]
