"""A run with series by element: the referee works them out from the file, and finds columns swapped or a sun lost."""

import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from wide_table import columns, write_scenario

import neomflex_jax as nf
from neomflex_jax.environment.make import evaluation_environment
from neomflex_jax.evaluation import Trajectory
from neomflex_jax.evaluation.rollout import record
from neomflex_jax.grid.elements import Element, Elements
from neomflex_jax.grid.to_csv import write_feeder
from neomflex_jax.profiles import SeriesConfig, profiles_hash
from validation import validate
from validation.recompute.element_loads import followed_of
from validation.recompute.profile_check import profile_gap

TOLERATED = 1e-6
LINES = """unit = "kW"
loads."bus 7" = "a"
loads."8" = "b"
loads_q."8" = "q"
pv_inverters.pv_20 = "roof"

[[pv_inverters]]
bus = 20
p_max_mw = 0.5
s_mva = 0.6

[[pv_inverters]]
bus = 30
p_max_mw = 0.5
s_mva = 0.6
"""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[nf.Environment, Trajectory, Path]]:
    """Two days of feeder case33bw with two loads of its own, and the file that they are from."""
    folder = tmp_path_factory.mktemp("own_series")
    feeder = write_feeder(nf.load_feeder("case33bw"), folder / "feeder")
    table = columns(a=150.0, b=300.0, q=100.0, Demand=1.0, Solar=1.0, roof=400.0)
    env = evaluation_environment(nf.make(str(write_scenario(folder, table, LINES, feeder, power_flow='"ac"'))))
    path = folder / "series.csv"
    shape = (env.n_agents, env.action_size)
    policy = jax.tree_util.Partial(lambda observation: jnp.full(shape, 0.3))
    yield env, record(env, policy, "controlled", 2, profiles_hash(path)), path


def test_it_passes_with_the_policy_acting_again(played, tmp_path: Path) -> None:
    _env, run, path = played
    policy = {"controlled": lambda seen: {agent: np.full(3, 0.3, np.float32) for agent in seen}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = validate([run], tmp_path / "report", policies=policy, profiles=path)
    failed = {one.name for one in report.runs[0].criteria if not one.passed}
    assert report.runs[0].verdict == "PASS", failed


def test_two_columns_swapped_are_found(played) -> None:
    env, run, path = played
    assert profile_gap(run, path) < TOLERATED
    own = env.profiles.by_element
    policy = jax.tree_util.Partial(lambda observation: jnp.full((env.n_agents, env.action_size), 0.3))
    for swapped in (
        dataclasses.replace(own, values=own.values[:, jnp.array([1, 0, 2, 3])]),
        dataclasses.replace(own, solar={}),  # the roof under the common sun
    ):
        wrong = dataclasses.replace(env, profiles=env.profiles.with_elements(swapped))
        assert profile_gap(record(wrong, policy, "controlled", 2, run.profiles_sha256), path) > 0.1


@pytest.mark.parametrize(("unit", "most"), [("kW", 3715.0), ("per_cent", 100.0)])
def test_demand_in_another_unit_is_worked_out_again(unit: str, most: float, tmp_path: Path) -> None:
    feeder = write_feeder(nf.load_feeder("case33bw"), tmp_path / "feeder")
    table = columns(Demand=most, Solar=1.0)
    env = evaluation_environment(nf.make(str(write_scenario(tmp_path, table, f'demand_unit = "{unit}"', feeder))))
    policy = jax.tree_util.Partial(lambda observation: jnp.zeros((env.n_agents, env.action_size)))
    path = tmp_path / "series.csv"
    run = record(env, policy, "controlled", 1, profiles_hash(path))
    assert 0.2 < float(np.max(run.demand)) <= 1.0
    assert profile_gap(run, path) < TOLERATED


TYPES = ("PV", "pv 30 kW", "Rooftop Solar", "photovoltaic", "", " wye", "Delta", "None", "nan", "WP", "CHP", "Biomass")


def test_the_referee_reads_types_of_generators_itself_and_alike() -> None:
    for text in TYPES:
        generator = Element("sgen", 0, "", 1, -0.1, 0.0, text)
        (followed,) = followed_of(SeriesConfig(), Elements((generator,)))
        assert followed.column == ("Solar" if generator.is_sunny else None), text
