"""``neomflex scenario list | show | check | new`` as a user types it, and the scenarios that it lists."""

import re
import tomllib
from types import SimpleNamespace

import numpy as np
import pandapower
import pandapower.networks
import pytest
from command_line import neomflex

import neomflex_jax as nf
from neomflex_jax.commands.scenario_file import field
from neomflex_jax.commands.scenario_text import failures, ranges
from neomflex_jax.grid import unbalanced_feeder_names
from neomflex_jax.grid.partition import partition_by_electrical_distance
from neomflex_jax.scenario import scenario_names
from validation import Criterion
from validation.referee.unsolved import Unsolved


def printed(capsys):
    return " ".join(re.sub("[│┃]", " ", capsys.readouterr().out).split())


@pytest.fixture(scope="module")
def net_file(tmp_path_factory):
    """A ring at 20 kV behind a transformer, closed."""
    net = pandapower.networks.simple_mv_open_ring_net()
    net.switch["closed"] = True
    path = tmp_path_factory.mktemp("nets") / "net.json"
    pandapower.to_json(net, path)
    return path


# ---- what comes with the package ----


@pytest.mark.parametrize("name", scenario_names())
def test_every_packaged_scenario_becomes_an_environment(name):
    has_phases = nf.load_scenario(name).feeder in unbalanced_feeder_names()
    env = nf.make(name, power_flow="ac" if has_phases else "lindistflow")
    assert env.scenario.name == name
    four_quadrants = sum(battery.s_mva is not None for battery in env.scenario.batteries)
    assert env.action_mask.sum() == len(env.scenario.devices) + four_quadrants
    assert (env.action_mask.sum(axis=1) > 0).all()


def shares(name):
    scenario = nf.load_scenario(name)
    load_mw = nf.load_feeder(scenario.feeder).load_p_mw.sum()
    hours = [battery.capacity_mwh / battery.power_mw for battery in scenario.batteries]
    return scenario, sum(one.p_max_mw for one in scenario.pv_inverters) / load_mw, hours


def test_the_scenarios_are_what_their_descriptions_say():
    for name, agents, low, high in (("neom69", 4, 0.6, 0.8), ("neom141", 9, 0.6, 0.8), ("lv_kerber", 6, 1.0, 1.3)):
        scenario, pv_share, hours = shares(name)
        assert len(scenario.agents) == agents and f"{agents} agents" in scenario.description
        assert low <= pv_share <= high
        assert min(hours) >= 2.0 and max(hours) <= 4.0001
    kinds = {
        (
            any(one.bus in part.buses for one in scenario.batteries),
            any(b.bus in part.buses for b in scenario.pv_inverters),
        )
        for scenario in [nf.load_scenario("neom141")]
        for part in scenario.territories
    }
    assert kinds == {(True, True), (True, False), (False, True)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["neom69", "neom141", "lv_kerber"])
def test_idle_devices_leave_the_band_but_never_the_hard_limits(name, capsys):
    assert neomflex("scenario", "check", name, "--days", "6") == 0
    text = printed(capsys)
    assert "power flows failed 0 of 288" in text
    assert re.search(r"\(band\) [0-9.]+% of voltages, on 6 of 6 days", text)
    assert re.search(r"outside 0\.9\.\.1\.1 pu \(hard limits\) never", text)


# ---- list, show ----


def test_list_names_all_with_their_sizes(capsys):
    assert neomflex("scenario", "list") == 0
    text = printed(capsys)
    assert all(name in text for name in scenario_names())
    assert "neom33 33 3 3 3" in text
    assert "neom141 141 9 7 7" in text


def test_show_says_who_has_what_and_draws_it(tmp_path, capsys):
    image = tmp_path / "figures" / "x.png"
    assert neomflex("scenario", "show", "neom33", "--output", image) == 0
    text = printed(capsys)
    for part in (
        "case33bw, 33 buses, 3.715 MW of nominal load",
        "3, 1.5 MW, 6 MWh in all",
        "3, 3 MW in all (81% of nominal load)",
        "0-4, 18-24 1.66",
        "limits.band_min_pu 0.97",
        "reward.sharing team",
        "rules.day_order random",
    ):
        assert part in text
    assert re.search(r"0-4, 18-24 1\.66 .*? 2 16 ", text)  # 12 voltages, demand, solar, one battery, time
    assert image.read_bytes().startswith(b"\x89PNG")


def test_labels_are_joined_to_ranges():
    assert ranges([3, 1, 2, 7, 9, 10]) == "1-3, 7, 9-10"
    assert ranges([]) == ""


# ---- new, and check on what it writes ----


def test_new_from_a_packaged_feeder_writes_what_was_asked_for(tmp_path, capsys):
    path = tmp_path / "deep" / "mine.toml"
    assert neomflex("scenario", "new", "--from", "case85", "--agents", "5", "--output", path, "--pv-share", "0.5") == 0
    assert "neomflex train --scenario" in printed(capsys)
    scenario, feeder = nf.load_scenario(path), nf.load_feeder("case85")
    assert scenario.name == "mine" and scenario.feeder == "case85" and scenario.power_flow == "ac"
    assert tuple(part.buses for part in scenario.territories) == partition_by_electrical_distance(feeder, 5)
    total = feeder.load_p_mw.sum()
    assert sum(one.p_max_mw for one in scenario.pv_inverters) == pytest.approx(0.5 * total, rel=0.1)
    assert sum(one.power_mw for one in scenario.batteries) == pytest.approx(0.4 * total, rel=0.1)
    neom33 = nf.load_scenario("neom33")
    assert (scenario.limits, scenario.reward, scenario.rules) == (neom33.limits, neom33.reward, neom33.rules)
    assert neomflex("scenario", "new", "--from", "case85", "--agents", "5", "--output", path) == 2
    assert "--overwrite" in printed(capsys)
    assert neomflex("scenario", "new", "--from", "case85", "--agents", "2", "--output", path, "--overwrite") == 0
    assert len(nf.load_scenario(path).agents) == 2


def test_new_from_a_net_brings_the_feeder_along_and_checks(net_file, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "study"
    assert neomflex("scenario", "new", "--from", net_file, "--agents", "2", "--output", folder / "ring.toml") == 0
    assert tomllib.loads((folder / "ring.toml").read_text())["feeder"] == "ring_feeder"
    moved = folder.rename(tmp_path / "elsewhere")
    monkeypatch.chdir("/")
    assert neomflex("scenario", "check", moved / "ring.toml", "--days", "1") == 0
    text = printed(capsys)
    assert "power flows failed 0 of 48" in text
    assert "OK: every power flow has an answer, and pandapower agrees" in text
    env = nf.make(moved / "ring.toml", power_flow="lindistflow")
    np.testing.assert_array_equal(env.feeder.bus_labels, nf.Feeder.from_pandapower(net_file).bus_labels)


def test_new_from_a_net_with_ratings_limits_loadings_as_the_net_does(tmp_path, capsys):
    net = pandapower.networks.create_cigre_network_mv()
    net.line["max_loading_percent"] = 90.0
    net.line.loc[3, "max_loading_percent"] = 70.0
    net.trafo["max_loading_percent"] = 90.0
    pandapower.to_json(net, tmp_path / "net.json")
    path = tmp_path / "cigre.toml"
    assert neomflex("scenario", "new", "--from", tmp_path / "net.json", "--agents", "2", "--output", path) == 0
    table = tomllib.loads(path.read_text())["loading"]
    assert table.pop("branch_limits") == {"4-5": 70.0}
    assert (table["loading_soft_percent"], table["loading_hard_percent"]) == (72.0, 90.0)
    capsys.readouterr()
    assert neomflex("scenario", "show", path) == 0
    assert "limits of loading 14 of 14 branches" in printed(capsys)


def test_new_from_a_feeder_folder_names_it_relative_to_the_file(feeder_folder, tmp_path, capsys):
    source = feeder_folder()
    output = tmp_path / "scenarios" / "a b.toml"
    assert neomflex("scenario", "new", "--from", source, "--agents", "2", "--output", output) == 0
    assert tomllib.loads(output.read_text())["feeder"] == "../my_feeder"
    assert nf.load_feeder(nf.load_scenario(output).feeder).n_bus == 4


@pytest.mark.slow
def test_check_exits_1_where_power_flows_have_no_answer(feeder_folder, tmp_path, capsys):
    buses = "bus,vn_kv,p_mw,q_mvar\n10,0.4,0,0\n20,0.4,5,0\n"
    source = feeder_folder(buses=buses, branches="from_bus,to_bus,r_ohm,x_ohm,in_service\n10,20,1,1,1\n")
    assert neomflex("scenario", "new", "--from", source, "--agents", "1", "--output", tmp_path / "x.toml") == 0
    assert neomflex("scenario", "check", tmp_path / "x.toml", "--days", "1") == 1
    text = printed(capsys)
    assert "FAILED: 48 of 48 power flows of day 0 have no solution, neither here nor in pandapower" in text
    assert "differ" not in text


@pytest.mark.slow
def test_check_exits_1_where_pandapower_answers_something_else(monkeypatch, capsys):
    original = pandapower.runpp

    def wrong(net, **options):
        original(net, **options)
        net.res_bus["vm_pu"] += 2e-3

    monkeypatch.setattr(pandapower, "runpp", wrong)
    assert neomflex("scenario", "check", "neom33", "--days", "1") == 1
    text = printed(capsys)
    assert re.search(r"vm_max_pu 0\.002\d* 1e-05 FAILED", text)
    assert "pandapower's answers differ" in text


def test_failures_are_told_apart_from_answers_that_differ():
    played = SimpleNamespace(converged=np.array([True] * 90 + [False] * 6))
    criteria = [
        Criterion("vm_max_pu", 1e-7, 1e-5),
        Criterion("failed_flows", 4, 0),
        Criterion("recorded_failures", 3, 0),
    ]
    said = failures(played, 2, Unsolved(48, 3, 1, 0), criteria, "ac", "pandapower")
    assert [sentence.partition(";")[0] for sentence in said] == [
        "3 of 48 power flows of day 2 have no solution, neither here nor in pandapower: the feeder cannot carry its "
        "loads there",
        "1 of 48 power flows of day 2 have an answer in pandapower, and none here",
        "2 power flows of other days have no answer here",
    ]
    assert "try --power-flow newton" in said[1]
    sound = SimpleNamespace(converged=np.ones(96, bool))
    assert not failures(sound, 0, Unsolved(48, 0, 0, 0), criteria[:1], "ac", "pandapower")
    assert (
        "OpenDSS's answers differ"
        in failures(sound, 0, Unsolved(48, 0, 0, 0), [Criterion("vm_max_pu", 1.0, 1e-5)], "ac", "OpenDSS")[0]
    )


def test_lists_and_texts_survive_the_writer():
    for value in ([1], list(range(1000, 1200)), 'say "hi" \\ ü\n', True, 3, 1e-7, float(2)):
        assert tomllib.loads(field("x", value, "remark # = [")) == {"x": value}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "neom34"), "Did you mean 'neom33'"),
        (("show", "neom33", "--output", "x.exe"), "must end in"),
        (("check", "BAD"), "voltage_weight = 'much' must be of type float"),
        (("check", "neom33", "--days", "0"), "days = 0 must be at least 1"),
        (("new", "--from", "case96", "--output", "OUT"), "Did you mean 'case69'"),
        (("new", "--from", "case69", "--agents", "0", "--output", "OUT"), "agents = 0 must lie in 1..48"),
        (("new", "--from", "case69", "--agents", "49", "--output", "OUT"), "agents = 49 must lie in 1..48"),
        (("new", "--from", "case69", "--pv-share", "-1", "--output", "OUT"), "pv_share = -1.0 must be above 0"),
        (("new", "--from", "case69", "--output", "nothing.json"), "ends in .toml"),
    ],
)
def test_unusable_input_exits_2_with_a_sentence(arguments, message, tmp_path, capsys):
    bad = tmp_path / "bad.toml"
    assert neomflex("scenario", "new", "--from", "case33bw", "--output", bad) == 0
    bad.write_text(bad.read_text().replace("voltage_weight = 100.0", 'voltage_weight = "much"'))
    capsys.readouterr()
    places = {"OUT": tmp_path / "out.toml", "BAD": bad}
    assert neomflex("scenario", *(places.get(argument, argument) for argument in arguments)) == 2
    text = printed(capsys)
    assert message in text
    assert "Traceback" not in text
    assert not (tmp_path / "out.toml").exists()


def test_help_is_there_for_each(capsys):
    for command in ((), ("list",), ("show",), ("check",), ("new",)):
        assert neomflex("scenario", *command, "--help") == 0
        assert "usage: neomflex scenario" in capsys.readouterr().out
