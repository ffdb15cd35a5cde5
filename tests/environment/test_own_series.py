"""Loads by element: each follows its own column, in its unit; what has none falls back by a stated rule."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from wide_table import STEPS, columns, write_scenario

import neomflex_jax as nf
from neomflex_jax.environment.own_series import own_generation_text
from neomflex_jax.grid.to_csv import write_feeder

ELEMENTS = """element,index,name,bus,type,p_mw,q_mvar
load,0,House 1,20,,0.3,0.1
load,1,House 2,20,,0.2,0.1
load,2,School,30,,0.5,0.1
sgen,0,Roof,30,PV,-0.1,0
load,3,Farm,40,,0.4,-0.1
sgen,1,Mill,40,WP,-0.1,0
"""
TABLE = columns(a=1.0, b=1.0, school=1.0, wind=1.0, Demand=1.0, Solar=1.0)
NOMINAL = 'loads."House 1" = "a"\nloads."House 2" = "b"\nloads.School = "school"\ngenerators.Mill = "wind"'


@pytest.fixture
def own_feeder(feeder_folder: Callable[..., Path]) -> Path:
    folder = feeder_folder()
    (folder / "elements.csv").write_text(ELEMENTS, "utf-8")
    return folder


def played_loads(env: nf.Environment) -> tuple[np.ndarray, np.ndarray]:
    """Loads p and q (n_steps, n_bus) of the file's first day with idle devices."""
    state, _ = env.reset(jax.random.key(0))
    found = []
    for _ in range(STEPS):
        state, timestep = env.step(state, jnp.zeros((env.n_agents, env.action_size)))
        found.append((timestep.info.load_p_mw, timestep.info.load_q_mvar))
    p_mw, q_mvar = zip(*found, strict=True)
    return np.array(p_mw), np.array(q_mvar)


def make(
    tmp_path: Path, folder: Path, profiles: str, table: pd.DataFrame = TABLE, **overrides: object
) -> nf.Environment:
    path = write_scenario(tmp_path, table, profiles, folder)
    return nf.make(str(path), day_order="file", energies="carried", **overrides)


@pytest.mark.filterwarnings("ignore:feeder")
def test_every_element_follows_its_column_and_the_rest_falls_back(tmp_path: Path, own_feeder: Path) -> None:
    p_mw, q_mvar = played_loads(make(tmp_path, own_feeder, NOMINAL))
    day = TABLE.iloc[:STEPS]
    np.testing.assert_allclose(p_mw[:, 1], 0.3 * day.a + 0.2 * day.b, rtol=1e-6)
    np.testing.assert_allclose(q_mvar[:, 1], 0.1 * day.a + 0.1 * day.b, rtol=1e-6)
    np.testing.assert_allclose(p_mw[:, 2], 0.5 * day.school - 0.1 * day.Solar, rtol=1e-6)  # the roof follows Solar
    np.testing.assert_allclose(p_mw[:, 3], 0.4 * day.Demand - 0.1 * day.wind, rtol=1e-6)  # the farm follows Demand


def test_a_nets_own_sun_is_dark_at_midnight_without_any_table(tmp_path: Path, own_feeder: Path) -> None:
    dark = TABLE[["Demand", "Solar"]].assign(Solar=0.0)
    with pytest.warns(UserWarning, match=r"static generator 1 \('Mill'\) \(0.1 MW\) at nominal power day and night"):
        p_mw, _ = played_loads(make(tmp_path, own_feeder, "", dark))
    np.testing.assert_allclose(p_mw[:, 2], 0.5 * dark.Demand[:STEPS], rtol=1e-6)
    np.testing.assert_allclose(p_mw[:, 3], 0.4 * dark.Demand[:STEPS] - 0.1, rtol=1e-6)
    assert "static generator 0 ('Roof') (0.1 MW) following Solar" in str(
        own_generation_text(nf.load_feeder(own_feeder))
    )


@pytest.mark.filterwarnings("ignore:feeder")
@pytest.mark.parametrize(("unit", "factor"), [("MW", 1.0), ("kW", 1e3), ("W", 1e6)])
def test_powers_are_taken_in_their_unit_and_keep_the_power_factor(
    unit: str, factor: float, tmp_path: Path, own_feeder: Path
) -> None:
    table = columns(house=0.3 * factor, farm=0.4 * factor, farm_q=0.1 * factor, Demand=1.0, Solar=1.0)
    lines = f'unit = "{unit}"\nloads."0" = "house"\nloads."bus 40" = "farm"\nloads_q."bus 40" = "farm_q"'
    p_mw, q_mvar = played_loads(make(tmp_path, own_feeder, lines, table))
    day = table.iloc[:STEPS]
    np.testing.assert_allclose(p_mw[:, 1], day.house / factor + 0.2 * day.Demand, rtol=1e-6)
    np.testing.assert_allclose(q_mvar[:, 1], day.house / factor / 3 + 0.1 * day.Demand, rtol=1e-6)
    np.testing.assert_allclose(p_mw[:, 3], day.farm / factor - 0.1, rtol=1e-6)
    np.testing.assert_allclose(q_mvar[:, 3], day.farm_q / factor, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:feeder")
def test_a_pattern_names_a_column_for_each_and_a_name_goes_before_it(tmp_path: Path, own_feeder: Path) -> None:
    table = columns(**{"House 1": 1.0, "other": 1.0, "School": 1.0, "Farm": 1.0, "Solar": 1.0})
    lines = 'loads."*" = "{name}"\nloads."House 2" = "other"'
    env = make(tmp_path, own_feeder, lines, table)
    day = table.iloc[:STEPS]
    p_mw, _ = played_loads(env)
    np.testing.assert_allclose(p_mw[:, 1], 0.3 * day["House 1"] + 0.2 * day["other"], rtol=1e-6)
    total = 0.3 * table["House 1"] + 0.2 * table["other"] + 0.5 * table["School"] + 0.4 * table["Farm"]
    np.testing.assert_allclose(env.profiles.demand, total / 1.4, rtol=1e-6)  # of the loads, for the file has none


@pytest.mark.filterwarnings("ignore:feeder")
def test_growth_and_variants_act_on_columns_as_on_what_they_stand_for(tmp_path: Path, own_feeder: Path) -> None:
    plain, _ = played_loads(make(tmp_path, own_feeder, NOMINAL))
    more = {"load_growth": (2.0, 2.0), "pv_growth": (3.0, 3.0)}
    day, grown = TABLE.iloc[:STEPS], played_loads(make(tmp_path, own_feeder, NOMINAL, **more))[0]
    np.testing.assert_allclose(grown[:, 1], 2.0 * plain[:, 1], rtol=1e-6)
    np.testing.assert_allclose(grown[:, 3], 0.8 * day.Demand - 0.3 * day.wind, rtol=1e-5)
    varied, _ = played_loads(make(tmp_path, own_feeder, NOMINAL, variant="growth"))
    np.testing.assert_allclose(varied[:, 3], 0.44 * day.Demand - 0.13 * day.wind, rtol=1e-5)


ROOFS = """
[[pv_inverters]]
bus = 20
p_max_mw = 0.2
s_mva = 0.3

[[pv_inverters]]
bus = 30
p_max_mw = 0.1
s_mva = 0.1
name = "south"

[[pv_inverters]]
bus = 40
p_max_mw = 0.4
s_mva = 0.4
"""


def played_suns(env: nf.Environment) -> np.ndarray:
    """Power of the PV inverters (n_steps, n_pv) on the file's first day."""
    state, _ = env.reset(jax.random.key(0))
    found = []
    for _ in range(STEPS):
        state, timestep = env.step(state, jnp.zeros((env.n_agents, env.action_size)))
        found.append(timestep.info["pv_p_mw"])
    return np.array(found)


@pytest.mark.filterwarnings("ignore:feeder")
@pytest.mark.parametrize(("unit", "factor"), [("per_unit", 1.0), ("kW", 100.0)])
def test_roofs_have_suns_of_their_own(unit: str, factor: float, tmp_path: Path, own_feeder: Path) -> None:
    table = columns(roof=0.9 * factor, Demand=1.0, Solar=1.0)
    lines = f'unit = "{unit}"\npv_inverters.south = "roof"\npv_inverters."bus 20" = "roof"{ROOFS}'
    env = make(tmp_path, own_feeder, lines, table)
    day = table.iloc[:STEPS]
    rating_mw = np.array([0.2, 0.1, 0.4])
    share = np.stack([day.roof, day.roof, day.Solar], axis=1)
    right = share * rating_mw if unit == "per_unit" else share * [1e-3, 1e-3, 0.4]
    np.testing.assert_allclose(played_suns(env), right, rtol=1e-6)
    grown = played_suns(make(tmp_path, own_feeder, lines, table, pv_growth=(0.5, 0.5)))
    np.testing.assert_allclose(grown, right / 2, rtol=1e-6)
    varied = played_suns(make(tmp_path, own_feeder, lines, table, variant="low_sun"))
    np.testing.assert_allclose(varied, right * 0.4, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:feeder")
def test_without_solar_it_is_the_roofs_mean_by_rating_and_night_offsets_are_none(
    tmp_path: Path, own_feeder: Path
) -> None:
    (own_feeder / "elements.csv").unlink()
    table = columns(pv_20=1.0, south=1.0, pv_40=1.0, Demand=1.0)
    table.loc[0, "south"] = -0.01
    with pytest.warns(UserWarning, match=r"column 'south': 1 negative values .* no sun for PV inverter 'south'"):
        env = make(tmp_path, own_feeder, f'pv_inverters."*" = "{{name}}"{ROOFS}', table)
    suns = table[["pv_20", "south", "pv_40"]].clip(lower=0.0).to_numpy()
    np.testing.assert_allclose(env.profiles.solar, suns @ [0.2, 0.1, 0.4] / 0.7, rtol=1e-6)
    np.testing.assert_allclose(played_suns(env), suns[:STEPS] * [0.2, 0.1, 0.4], rtol=1e-6)


@pytest.mark.filterwarnings("ignore:feeder")
@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('pv_inverters.north = "roof"', r"unknown element of pv_inverters 'north'.*Did you mean 'south'"),
        ('pv_inverters.south = "roofs"', r"unknown column 'roofs'.*Did you mean 'roof'"),
        ('unit = "MW"\npv_inverters.south = "roof"', r"'roof' reaches .* times what PV inverter 'south' is rated for"),
    ],
)
def test_a_roof_that_is_none_is_refused(lines: str, told: str, tmp_path: Path, own_feeder: Path) -> None:
    with pytest.raises(nf.InputError, match=f"(?s){told}"):
        make(tmp_path, own_feeder, lines + ROOFS, columns(roof=1.0, Demand=1.0, Solar=1.0))


@pytest.mark.filterwarnings("ignore:feeder")
def test_on_the_device_lie_the_series_and_an_index(tmp_path: Path, own_feeder: Path) -> None:
    env = make(tmp_path, own_feeder, NOMINAL)
    own = env.profiles.by_element
    assert own is not None
    assert own.values.shape == (2 * STEPS, 4)
    assert own.p_mw.series.shape == (2, 4)  # at most two elements a bus


@pytest.mark.filterwarnings("ignore:feeder")
def test_runs_of_neighbours_are_what_the_index_says(tmp_path: Path, own_feeder: Path) -> None:
    env = make(tmp_path, own_feeder, NOMINAL)
    assert env.profiles.by_element is not None
    for sums in (env.profiles.by_element.p_mw, env.profiles.by_element.q_mvar):
        assert sums.runs
        values = jnp.arange(7.0) ** 2
        by_index = dataclasses.replace(sums, runs=())
        np.testing.assert_allclose(sums(values), by_index(values), rtol=1e-6)
        programs = [jax.jit(each).lower(values).as_text() for each in (sums, by_index)]
        assert ["gather" in program for program in programs] == [False, True]  # which is what takes a CPU long


def test_elements_are_written_and_read_back(tmp_path: Path, own_feeder: Path) -> None:
    feeder = nf.load_feeder(own_feeder)
    again = nf.load_feeder(write_feeder(feeder, tmp_path / "again"))
    assert again.elements == feeder.elements
    assert len(again.elements.rows) == 6
    (own_feeder / "elements.csv").write_text(ELEMENTS.replace("School,30,,0.5", "School,30,,0.6"), "utf-8")
    with pytest.raises(nf.InputError, match=r"at bus 30 they add up to 0.5, and buses\.csv has 0.4"):
        nf.load_feeder(own_feeder)


def test_new_devices_are_sized_by_loads_alone(own_feeder: Path) -> None:
    feeder = nf.load_feeder(own_feeder)
    np.testing.assert_allclose(feeder.consumption_mva(), [0.0, 0.5 + 0.2j, 0.5 + 0.1j, 0.4 - 0.1j])
    (own_feeder / "elements.csv").unlink()
    np.testing.assert_allclose(nf.load_feeder(own_feeder).consumption_mva(), [0.0, 0.5 + 0.2j, 0.4 + 0.1j, 0.3 - 0.1j])


BAD_LINES = {
    'loads."House 3" = "a"': r"unknown element of loads 'House 3'.*Did you mean 'House [12]'",
    'loads."House 1" = "aa"': r"unknown column 'aa'.*Did you mean 'a'",
    'loads."*" = "a"\nloads."H*" = "b"': r"two lines mean load 0 \('House 1'\), one of them 'H\*'; keep one",
    'storages."*" = "a"': r"the feeder has no storage",
    'unit = "MVA"': r"unit = 'MVA' is not one of 'per_unit', 'MW', 'kW', 'W'",
    'loads_q.School = "b"': r"loads_q has 'School' and loads has not",
    'timezone = "Europe/Berlinn"': r"unknown timezone 'Europe/Berlinn'.*Did you mean 'Europe/Berlin'",
    'laods.School = "a"': r"unknown field 'laods'.*Did you mean 'loads'",
    'profile = "a"': r"unknown field 'profile'",
    'loads.School = "school"': r"nobody uses column 'a'; map an element to it, or say \[profiles\] ignore = \['a'\]",
    'resample = "mean"\nignore = ["*"]': r"resample = 'mean' needs a column of dates and times",
}


@pytest.mark.filterwarnings("ignore:feeder")
@pytest.mark.parametrize("lines", BAD_LINES)
def test_a_mistake_is_refused_with_the_nearest_names(lines: str, tmp_path: Path, own_feeder: Path) -> None:
    with pytest.raises(nf.InputError, match=f"(?s){BAD_LINES[lines]}"):
        make(tmp_path, own_feeder, lines)


@pytest.mark.filterwarnings("ignore:feeder")
def test_two_of_one_name_are_told_apart_by_their_rows(tmp_path: Path, own_feeder: Path) -> None:
    (own_feeder / "elements.csv").write_text(ELEMENTS.replace("House 2", "House 1"), "utf-8")
    with pytest.raises(nf.InputError, match=r"2 are called 'House 1' \(rows 0, 1\); say which by its row"):
        make(tmp_path, own_feeder, 'loads."House 1" = "a"\nignore = ["*"]')


@pytest.mark.filterwarnings("ignore:feeder")
def test_a_column_in_another_unit_is_asked_about(tmp_path: Path, own_feeder: Path) -> None:
    table = columns(kw=300.0, Demand=1.0, Solar=1.0)
    with pytest.raises(nf.InputError, match=r"column 'kw' reaches .* times what load 0 .* is it another\?"):
        make(tmp_path, own_feeder, 'loads."0" = "kw"', table)


@pytest.mark.filterwarnings("ignore:feeder")
def test_a_flexible_load_needs_loads_that_follow_demand(tmp_path: Path, own_feeder: Path) -> None:
    flexible = [{"bus": 20, "curtail_share": 0.5}]
    with pytest.raises(nf.InputError, match=r"at bus 20, load 1 \('House 2'\) follows 'b'"):
        make(tmp_path, own_feeder, NOMINAL, flexible_loads=flexible)


def test_the_table_leaves_a_plain_scenarios_hash_alone(tmp_path: Path, own_feeder: Path) -> None:
    plain = nf.load_scenario("neom33")
    assert "series" not in plain.as_dict()
    mapped = nf.load_scenario(write_scenario(tmp_path, TABLE, NOMINAL, own_feeder))
    assert mapped.hash() != dataclasses.replace(mapped, series=type(mapped.series)()).hash()
