"""Scenarios: every packaged file loads, every mistake is named, and equal hashes mean the same task."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import neomflex_jax as nf
from neomflex_jax.devices import Battery
from neomflex_jax.resources import scenario_folder
from neomflex_jax.scenario import Limits, Scenario, scenario_from_dict, scenario_names

PACKAGED = sorted(path.stem for path in scenario_folder().glob("*.toml"))


@pytest.fixture(scope="module")
def neom33() -> Scenario:
    """The default scenario."""
    return nf.load_scenario("neom33")


def test_both_scenarios_of_the_task_are_packaged() -> None:
    assert {"neom33", "neom33-original"} <= set(PACKAGED)
    assert scenario_names() == tuple(PACKAGED)


@pytest.mark.parametrize("name", PACKAGED)
def test_every_packaged_scenario_loads_under_its_own_name(name: str) -> None:
    scenario = nf.load_scenario(name)
    assert scenario.name == name
    assert scenario.description
    assert scenario == nf.load_scenario(scenario_folder() / f"{name}.toml")
    hash(scenario)  # static under jit


def test_neom33_is_the_task_of_the_design(neom33: Scenario) -> None:
    assert neom33.agents == ("agent_1", "agent_2", "agent_3")
    assert neom33.territories[0].buses == (*range(5), *range(18, 25))
    assert neom33.territories[1].buses == tuple(range(5, 18))
    assert neom33.territories[2].buses == tuple(range(25, 33))
    assert {device.bus: (device.capacity_mwh, device.power_mw) for device in neom33.batteries} == {
        23: (2.0, 0.5),
        7: (2.0, 0.5),
        14: (2.0, 0.5),
    }
    assert {device.bus: (device.p_max_mw, device.s_mva) for device in neom33.pv_inverters} == {
        20: (1.0, 1.0),
        16: (1.0, 1.0),
        31: (1.0, 1.0),
    }
    assert {(device.soc_min, device.soc_max, device.soc_initial) for device in neom33.batteries} == {(0.2, 0.9, 0.5)}
    assert neom33.limits == Limits(0.97, 1.03, 0.9, 1.1)
    assert (neom33.step_hours, neom33.steps_per_day) == (0.5, 48)
    assert (neom33.power_flow, neom33.reward.sharing) == ("ac", "team")


def test_the_original_differs_by_its_quirks_alone(neom33: Scenario) -> None:
    original = nf.load_scenario("neom33-original")
    rules = {"load_q": "held_from_day_start", "on_violation": "end_day", "day_order": "file", "energies": "carried"}
    assert dataclasses.asdict(original.rules) == rules | {"first_observation": "devices_at_zero", "episode_steps": 0}
    mended = dataclasses.replace(original, rules=neom33.rules, reward=neom33.reward)
    assert dataclasses.replace(mended, name="neom33", description=neom33.description) == neom33


def test_each_device_has_the_owner_of_its_bus(neom33: Scenario) -> None:
    assert [neom33.owner(bus) for bus in (23, 7, 31, 99)] == [0, 1, 2, None]
    layout = neom33.observation_layout()
    assert layout["agent_1"]["batteries"] == [23]
    assert layout["agent_2"]["batteries"] == [7, 14]
    assert layout["agent_3"] == {
        "buses": list(range(25, 33)),
        "batteries": [],
        "pv_inverters": [31],
        "flexible_loads": [],
        "actions": ["pv_31 pv_q"],
        "observation": {
            "scope": "territory",
            "history": 1,
            "forecast": "perfect",
            "forecast_steps": 0,
            "tariff": False,
        },
    }


# ---- overrides, round trip, hash ----


def test_any_field_can_be_overridden_by_keyword() -> None:
    scenario = nf.load_scenario(
        "neom33", power_flow="ac", solar_penalty=True, band_min_pu=0.95, on_violation="end_day", step_hours=1
    )
    assert scenario.power_flow == "ac"
    assert scenario.reward.solar_penalty
    assert scenario.limits.band_min_pu == 0.95
    assert scenario.rules.on_violation == "end_day"
    assert scenario.step_hours == 1.0


def test_devices_can_be_overridden_by_tables_or_objects(neom33: Scenario) -> None:
    table = [{"bus": 23, "capacity_mwh": 4, "power_mw": 1}, {"bus": 7, "capacity_mwh": 2, "power_mw": 1}]
    objects = [Battery(23, 4.0, 1.0), Battery(7, 2.0, 1.0)]
    assert nf.load_scenario("neom33", batteries=table) == nf.load_scenario("neom33", batteries=objects)


@pytest.mark.parametrize("name", PACKAGED)
def test_a_scenario_survives_plain_values_and_json(name: str) -> None:
    scenario = nf.load_scenario(name, voltage_weight=12.5)
    assert scenario_from_dict(scenario.as_dict(), "here") == scenario
    stored = scenario_from_dict(json.loads(json.dumps(scenario.as_dict())), "here")
    assert stored == scenario
    assert stored.hash() == scenario.hash()


HASH_BEFORE_THE_RULE = "c14d9035ffb003f21d593a2438dd25f2be484eef939f152b361434fe0b86497b"  # in runs of neom33


def test_a_stored_scenario_without_the_rule_begins_days_as_they_always_began(neom33: Scenario) -> None:
    stored = neom33.as_dict()
    assert stored["rules"].pop("first_observation") == "last_step"
    earlier = scenario_from_dict(stored, "here")
    assert earlier.rules.first_observation == "devices_at_zero"
    assert earlier.as_dict() == stored and earlier.hash() == HASH_BEFORE_THE_RULE != neom33.hash()


CHANGES = {
    "name": "other",
    "description": "other",
    "feeder": "other",
    "power_flow": "calibrated",
    "profiles": "testing",
    "evaluation_profiles": "training",
    "step_hours": 0.25,
    "steps_per_day": 24,
    "batteries": [Battery(23, 2.0, 0.5), Battery(7, 2.0, 0.5), Battery(14, 2.0, 0.4)],
    "band_min_pu": 0.96,
    "hard_max_pu": 1.2,
    "voltage_weight": 99.0,
    "solar_penalty": True,
    "solar_last_step": 35,
    "sharing": "local",
    "load_q": "held_from_day_start",
    "on_violation": "end_day",
    "day_order": "file",
    "energies": "carried",
    "first_observation": "devices_at_zero",
}


@pytest.mark.parametrize("field", CHANGES)
def test_the_hash_changes_with_every_field(neom33: Scenario, field: str) -> None:
    assert nf.load_scenario("neom33", **{field: CHANGES[field]}).hash() != neom33.hash()


def test_the_hash_of_equal_scenarios_is_equal(neom33: Scenario) -> None:
    assert nf.load_scenario("neom33", voltage_weight=100, profiles="training").hash() == neom33.hash()


# ---- mistakes ----


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"power_flow": "gauss"}, ["power-flow method 'gauss'", "ac, calibrated, dc, lindistflow, newton"]),
        ({"voltage_wieght": 1.0}, ["unknown field 'voltage_wieght'", "known:", "Did you mean 'voltage_weight'?"]),
        ({"sharing": "all"}, ["sharing = 'all'", "'team', 'local', 'mixed'"]),
        ({"load_q": "none"}, ["load_q = 'none'", "'follows_demand', 'held_from_day_start'"]),
        ({"on_violation": "stop"}, ["on_violation = 'stop'", "'continue', 'end_day'"]),
        ({"day_order": "backwards"}, ["day_order = 'backwards'", "'random', 'file'"]),
        ({"energies": "full"}, ["energies = 'full'", "'random', 'carried'"]),
        ({"first_observation": "none"}, ["first_observation = 'none'", "'last_step', 'devices_at_zero'"]),
        ({"step_hours": 0.0}, ["step_hours = 0.0"]),
        ({"steps_per_day": 1}, ["steps_per_day = 1"]),
        ({"band_min_pu": 0.8}, ["limits must rise", "0.8"]),
        ({"batteries": [Battery(99, 2.0, 0.5)]}, ["battery at bus 99", "nobody's territory"]),
        ({"batteries": [Battery(23, 2.0, 0.5)] * 2}, ["two devices (battery) at bus 23"]),
        ({"territories": []}, ["no territories"]),
        ({"territories": [{"agent": "../evil", "buses": list(range(33))}]}, ["'../evil'", "letters, digits"]),
        ({"pv_inverters": []}, ["agent_3", "no device"]),
        ({"voltage_weight": -1.0}, ["voltage_weight", "-1"]),
        ({"solar_first_step": 40}, ["solar_first_step", "40"]),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_those_that_are(overrides: dict[str, Any], says: list[str]) -> None:
    with pytest.raises(nf.InputError) as caught:
        nf.load_scenario("neom33", **overrides)
    for part in says:
        assert part in str(caught.value)


def test_an_unknown_scenario_lists_the_known_ones() -> None:
    with pytest.raises(nf.InputError, match=r"'neom34'; known: .*neom33, neom33-original.*Did you mean 'neom33'"):
        nf.load_scenario("neom34")


def packaged_text() -> str:
    """Text of the default scenario's file."""
    return (scenario_folder() / "neom33.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            'sharing = "team"',
            'sharring = "team"',
            ["mine.toml: line 67: reward", "'sharring'", "Did you mean 'sharing'?"],
        ),
        ('feeder = "case33bw"', "", ["mine.toml", "field 'feeder' is missing"]),
        (
            "capacity_mwh = 2.0",
            'capacity_mwh = "2"',
            ["mine.toml: line 25: batteries[0].capacity_mwh = '2'", "float"],
        ),
        ("buses = [0, 1,", "buses = [0.5, 1,", ["territories[0]", "buses[0] = 0.5", "int"]),
        ("buses = [0, 1,", "buses = [0, 5,", ["mine.toml", "bus 5", "agent_1 and agent_2"]),
        ('agent = "agent_2"', 'agent = "agent_1"', ["'agent_1' has two territories"]),
        ("bus = 23", "bus = 33", ["the battery at bus 33 is in nobody's territory"]),
        ("s_mva = 1.0", "s_mva = 0.0", ["mine.toml: line ", ": pv_inverters[0]", "bus 20", "s_mva = 0.0"]),
        ("[limits]", "[limits", ["mine.toml", "not a TOML file"]),
    ],
)
def test_a_mistake_in_a_scenario_file_is_named_with_its_place(
    tmp_path: Path, old: str, new: str, says: list[str]
) -> None:
    path = tmp_path / "mine.toml"
    assert old in packaged_text()
    path.write_text(packaged_text().replace(old, new, 1), encoding="utf-8")
    with pytest.raises(nf.InputError) as caught:
        nf.load_scenario(path)
    for part in says:
        assert part in str(caught.value)


def test_a_missing_scenario_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(nf.InputError, match=r"gone\.toml: no such file"):
        nf.load_scenario(tmp_path / "gone.toml")


def test_files_named_in_a_scenario_file_lie_beside_it(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("Demand,Solar\n", encoding="utf-8")
    text = packaged_text().replace('profiles = "training"', 'profiles = "mine.csv"', 1)
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    scenario = nf.load_scenario(tmp_path / "mine.toml")
    assert scenario.profiles == str(tmp_path / "mine.csv")
    assert scenario.evaluation_profiles == "testing"


def test_a_policy_of_a_global_scope_fits_no_scenario_that_cuts_the_feeder_elsewhere(neom33: Scenario) -> None:
    parts = neom33.territories
    moved = [
        parts[0],
        dataclasses.replace(parts[1], buses=parts[1].buses[:-1]),
        dataclasses.replace(parts[2], buses=(*parts[2].buses, parts[1].buses[-1])),
    ]
    for scope, fits in (("territory", True), ("global", False)):
        here, there = (nf.load_scenario("neom33", scope=scope, territories=cut) for cut in (parts, moved))
        same = here.observation_layout()["agent_1"] == there.observation_layout()["agent_1"]
        assert same == fits


def test_a_packaged_name_is_never_a_folder_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "case33bw").mkdir()
    (tmp_path / "testing").write_text("not this", encoding="utf-8")
    (tmp_path / "mine.toml").write_text(packaged_text(), encoding="utf-8")
    scenario = nf.load_scenario(tmp_path / "mine.toml")
    assert (scenario.feeder, scenario.evaluation_profiles) == ("case33bw", "testing")


def test_a_feeder_in_the_place_of_a_scenario_is_refused_in_a_sentence() -> None:
    with pytest.raises(nf.InputError, match=r"no Feeder; `neomflex scenario new` makes one of a grid"):
        nf.make(nf.load_feeder("case33bw"))
