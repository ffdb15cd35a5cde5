"""What `make` takes, and what it refuses, naming file, field and value."""

import dataclasses
from pathlib import Path

import pytest

import neomflex_jax as nf
from neomflex_jax.environment import Environment
from neomflex_jax.resources import scenario_folder


@pytest.fixture(scope="module")
def env(three_days: Path) -> Environment:
    """Build the default scenario on the exact power flow."""
    return nf.make("neom33", power_flow="ac", profiles=three_days)


def test_make_takes_a_method_bound_elsewhere(env: Environment, three_days: Path) -> None:
    assert nf.make("neom33", power_flow=env.power_flow, profiles=three_days).power_flow is env.power_flow


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"power_flow": "gauss"}, "known: ac, calibrated, dc, lindistflow, newton"),
        ({"feeder": "case34"}, "known: case141, case33bw"),
        ({"profiles": "gone.csv"}, "gone.csv: no such file"),
        ({"bogus": 1}, "unknown field 'bogus'; known:"),
        ({"steps_per_day": 100}, "144 rows make no whole number of days of 100 rows"),
    ],
)
def test_make_names_what_it_cannot_use(three_days: Path, fields: dict, says: str) -> None:
    with pytest.raises(nf.InputError) as caught:
        nf.make("neom33", **({"power_flow": "ac", "profiles": three_days} | fields))
    assert says in str(caught.value)


def test_make_refuses_a_device_on_a_bus_that_does_not_exist(env: Environment) -> None:
    last = env.scenario.territories[2]
    longer = [*env.scenario.territories[:2], dataclasses.replace(last, buses=(*last.buses, 33))]
    devices = [*env.scenario.batteries, nf.devices.Battery(33, 2.0, 0.5)]
    with pytest.raises(nf.InputError, match=r"agent_3 names bus 33, which feeder 'case33bw' does not have"):
        nf.make(env.scenario, territories=longer, batteries=devices)


def test_make_refuses_a_bus_in_nobodys_territory(env: Environment) -> None:
    first = env.scenario.territories[0]
    shorter = [dataclasses.replace(first, buses=first.buses[1:]), *env.scenario.territories[1:]]
    with pytest.raises(nf.InputError, match=r"bus 0 of feeder 'case33bw' is in nobody's territory"):
        nf.make(env.scenario, territories=shorter)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "buses = [0, 1,",
            "buses = [1,",
            "mine.toml: bus 0 of feeder 'case33bw' is in nobody's territory; add it to one",
        ),
        ("buses = [0, 1,", "buses = [0, 0, 1,", "line 11: territories[0]: the territory of agent_1 names bus 0 twice"),
        ("buses = [0, 1,", "buses = [0, 1, 77,", "mine.toml: the territory of agent_1 names bus 77, which feeder"),
        (
            "bus = 23",
            "bus = 23\nsoc_min = 0.9",
            "line 25: batteries[0]: battery at bus 23: soc_min = 0.9, soc_max = 0.9 must",
        ),
        (
            "bus = 7",
            'bus = 7\nname = "pv_20"',
            "line 39: scenario 'neom33': two devices are called 'pv_20'",
        ),
        (
            "[limits]",
            "[[flexible_loads]]\nbus = 0\ncurtail_share = 0.5\n[limits]",
            "flexible load 'load_0': bus 0 of feeder",
        ),
    ],
)
def test_make_names_file_and_value_of_what_does_not_fit(tmp_path: Path, old: str, new: str, says: str) -> None:
    text = (scenario_folder() / "neom33.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(nf.InputError) as caught:
        nf.make(tmp_path / "mine.toml", power_flow="lindistflow")
    assert says in str(caught.value) and "mine.toml" in str(caught.value)


def test_make_refuses_a_power_flow_of_another_feeder(env: Environment) -> None:
    topology = dataclasses.replace(env.feeder.topology, slack=5)
    other = dataclasses.replace(env.power_flow, grid=dataclasses.replace(env.power_flow.grid, topology=topology))
    with pytest.raises(nf.InputError, match="another feeder"):
        nf.make(env.scenario, power_flow=other)
