"""``neomflex feeder show | import | check`` as a user types it."""

import re
import sys
from pathlib import Path

import numpy as np
import pandapower
import pandapower.networks
import pytest
from command_line import neomflex

import neomflex_jax as nf
from neomflex_jax.commands.feeder_text import verdict
from validation.referee.feeder_check import Answers, FeederCheck
from validation.referee.opendss.day_solver import OpenDssDaySolver

sys.path.insert(0, str(Path(__file__).parents[1] / "unbalanced"))
from test_pandapower_phases import small_net

IEEE13 = nf.load_feeder("ieee13")


def printed(capsys):
    return " ".join(re.sub("[│┃]", " ", capsys.readouterr().out).split())


@pytest.fixture(scope="module")
def net_file(tmp_path_factory):
    """An open ring at 20 kV behind a transformer, with sgens, switches, and a bus that nothing connects."""
    net = pandapower.networks.simple_mv_open_ring_net()
    pandapower.create_sgen(net, 4, p_mw=0.4, q_mvar=0.1)
    pandapower.create_shunt(net, 3, q_mvar=-0.2)
    lonely, joined = pandapower.create_bus(net, 20.0), pandapower.create_bus(net, 20.0)
    pandapower.create_load(net, joined, p_mw=0.2, q_mvar=0.1)
    pandapower.create_switch(net, 3, joined, et="b")
    assert lonely == 7 and joined == 8
    path = tmp_path_factory.mktemp("nets") / "net.json"
    pandapower.to_json(net, path)
    return path


def test_show_states_sizes_and_the_golden_answer(capsys):
    assert neomflex("feeder", "show", "case69") == 0
    text = printed(capsys)
    for part in (
        "buses 69, numbered 1 to 69",
        "branches in service 68",
        "loops 0",
        "voltage levels 12.66 kV",
        "transformers none",
        "ratings known 0 of 68 branches",
        "slack bus 1 at 1 pu",
        "48 buses, 3.802 MW, 2.695 Mvar",
        "0.909188 pu at bus 65",
        "224.9917 kW",
        "not available: no ratings",
    ):
        assert part in text


def test_show_counts_ties_and_draws_the_feeder(tmp_path, capsys):
    image = tmp_path / "figures" / "feeder.png"
    assert neomflex("feeder", "show", "case33bw", "--output", image) == 0
    assert "branches open 5" in printed(capsys)
    assert image.read_bytes().startswith(b"\x89PNG")


def test_show_takes_a_net_with_transformer_and_ratings(net_file, capsys):
    assert neomflex("feeder", "show", net_file) == 0
    text = printed(capsys)
    for part in ("110 kV, 20 kV", "transformers 1", "shunts 2 buses", "line charging yes", "highest loading"):
        assert part in text
    assert "not available" not in text


def test_show_says_when_the_loads_cannot_be_carried(feeder_folder, capsys):
    buses = "bus,vn_kv,p_mw,q_mvar\n10,0.4,0,0\n20,0.4,5,0\n"
    folder = feeder_folder(buses=buses, branches="from_bus,to_bus,r_ohm,x_ohm,in_service\n10,20,1,1,1\n")
    assert neomflex("feeder", "show", folder, "--output", folder / "x.png") == 0
    assert "no solution" in printed(capsys)


def test_import_writes_a_folder_that_equals_the_net(net_file, tmp_path, capsys):
    folder = tmp_path / "my_feeder"
    assert neomflex("feeder", "import", net_file, "--output", folder) == 0
    text = printed(capsys)
    assert "fused by closed switches: 1 buses (8 as 3)" in text
    assert "left out, not connected or out of service: bus 7" in text
    assert "sgen 1 in the load" in text
    assert {path.name for path in folder.iterdir()} == {"buses.csv", "branches.csv", "feeder.toml", "elements.csv"}
    written, read = nf.load_feeder(folder), nf.Feeder.from_pandapower(net_file)
    np.testing.assert_array_equal(written.load_p_mw, read.load_p_mw)
    np.testing.assert_array_equal(written.charging.b_us, read.charging.b_us)
    assert written.topology == read.topology and written.name == "my_feeder"
    assert neomflex("feeder", "import", net_file, "--output", folder) == 2
    assert "--overwrite" in printed(capsys)
    assert neomflex("feeder", "import", net_file, "--output", folder, "--overwrite") == 0
    assert neomflex("feeder", "check", folder, "--samples", "4") == 0


@pytest.mark.parametrize("which", ["case141", "net"])
def test_check_agrees_and_exits_0(which, net_file, capsys):
    assert neomflex("feeder", "check", net_file if which == "net" else which, "--samples", "4", "--seed", "3") == 0
    text = printed(capsys)
    assert "AGREES: 5 of 5 cases solved by both" in text
    assert float(re.search(r"max \|dV\| = ([^ ]+) pu", text)[1]) < 1e-9
    assert ("referee: the net itself" if which == "net" else "referee: the feeder, rebuilt") in text


def test_check_exits_1_where_the_answers_differ(net_file, monkeypatch, capsys):
    original = pandapower.runpp

    def wrong(net, **options):
        original(net, **options)
        net.res_bus.loc[5, "vm_pu"] += 2e-6

    monkeypatch.setattr(pandapower, "runpp", wrong)
    assert neomflex("feeder", "check", net_file, "--samples", "2") == 1
    assert "DIFFERS: 3 of 3 cases solved by both; max |dV| = 2e-06 pu, at bus 5" in printed(capsys)


def test_check_exits_1_where_the_loads_cannot_be_carried(feeder_folder, capsys):
    buses = "bus,vn_kv,p_mw,q_mvar\n10,0.4,0,0\n20,0.4,5,0\n"
    folder = feeder_folder(buses=buses, branches="from_bus,to_bus,r_ohm,x_ohm,in_service\n10,20,1,1,1\n")
    assert neomflex("feeder", "check", folder, "--samples", "0") == 1
    text = printed(capsys)
    assert (
        "NO SOLUTION: 0 of 1 cases solved by both 1 of 1 cases have no solution, neither here nor in pandapower" in text
    )
    assert "the nominal loads, 5 MW and 0 Mvar in all" in text
    assert "DIFFERS" not in text


@pytest.mark.parametrize(
    ("ours", "theirs", "method", "said"),
    [
        (
            [1, 0, 1],
            [1, 1, 1],
            "ac",
            "DIFFERS: .*1 of 3 cases have an answer in pandapower, and none here; try --method new",
        ),
        ([1, 0, 1], [1, 1, 1], "newton", "have an answer in pandapower, and none here; near the most"),
        ([1, 1, 1], [1, 1, 0], "ac", "DIFFERS: .*1 of 3 cases have an answer here, and pandapower finds none"),
        ([1, 0, 0], [1, 0, 0], "ac", "AGREES: 1 of 3 cases solved by both.*2 of 3 cases have no solution, neither"),
        ([0, 1, 1], [0, 1, 1], "ac", "NO SOLUTION: 2 of 3.*the nominal loads, 3.715 MW and 2.3 Mvar in all, are among"),
        ([0, 0, 0], [0, 0, 0], "ac", "NO SOLUTION: 0 of 3 cases.*p_mw is in MW"),
    ],
)
def test_the_verdict_says_whose_answer_is_missing_and_what_to_do(ours, theirs, method, said, case33bw):
    def answers(solved):
        vm_pu = np.where(np.array(solved, bool)[:, None], np.ones((3, 33)), np.nan)
        return Answers(vm_pu, *(np.where(solved, 0.1, np.nan) for _ in range(3)))

    check = FeederCheck(case33bw, answers(ours), answers(theirs))
    assert re.search(said, verdict(check, 1e-6, method).replace("\n", " "))
    assert check.differs(1e-6) == (ours != theirs)
    assert check.agrees(1e-6) == (ours == theirs and ours[0] == 1)


def test_show_says_of_a_feeder_that_cannot_carry_its_loads_what_was_tried(feeder_folder, capsys):
    buses = "bus,vn_kv,p_mw,q_mvar\n10,0.4,0,0\n20,0.4,5,0\n"
    folder = feeder_folder(buses=buses, branches="from_bus,to_bus,r_ohm,x_ohm,in_service\n10,20,1,1,1\n")
    assert neomflex("feeder", "show", folder) == 0
    assert "neither ac nor newton finds one" in printed(capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "case96"), "Did you mean 'case69'"),
        (("show", "nowhere.json"), "no such file"),
        (("show", "case69", "--output", "x.exe"), "must end in"),
        (("check", "case69", "--samples", "-1"), "samples = -1 must lie in"),
        (("check", "case69", "--seed", "-1"), "seed = -1"),
        (("check", "case70"), "known: case141, case33bw, case69, case85"),
        (("import", "nowhere.json", "--output", "OUT"), "no such file"),
        (("import", "NET.p", "--output", "OUT"), "pickle"),
        (("import", "NET", "--output", "NET"), "is a file"),
        (("import", "BROKEN", "--output", "OUT"), "not JSON"),
    ],
)
def test_unusable_input_exits_2_with_a_sentence(arguments, message, net_file, tmp_path, capsys):
    (tmp_path / "net.p").write_bytes(b"\x80\x04.")
    (tmp_path / "broken.json").write_text("{")
    places = {"OUT": tmp_path / "out", "NET": net_file, "NET.p": tmp_path / "net.p", "BROKEN": tmp_path / "broken.json"}
    assert neomflex("feeder", *(places.get(argument, argument) for argument in arguments)) == 2
    text = printed(capsys)
    assert message in text
    assert "Traceback" not in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments", [("feeder",), ("feeder", "show"), ("feeder", "melt"), ("feeder", "show", "a", "--b")]
)
def test_wrong_flags_and_names_exit_2(arguments, capsys):
    assert neomflex(*arguments) == 2


def test_help_is_there_for_each(capsys):
    for command in ((), ("show",), ("import",), ("check",)):
        assert neomflex("feeder", *command, "--help") == 0
        assert "usage: neomflex feeder" in capsys.readouterr().out


def test_import_says_what_is_no_branch_any_more(tmp_path, capsys):
    net = pandapower.networks.simple_four_bus_system()
    beyond = pandapower.create_bus(net, 0.4)
    pandapower.create_line(net, 3, beyond, 0.1, "NAYY 4x50 SE", in_service=False)
    pandapower.to_json(net, tmp_path / "net.json")
    assert neomflex("feeder", "import", tmp_path / "net.json", "--output", tmp_path / "mine") == 0
    text = printed(capsys)
    assert "line 3 (1 out of service) 2 branches" in text
    assert "no branch of the feeder: 1 lines or transformers" in text


def test_check_of_a_feeder_with_phases_asks_opendss(capsys):
    pytest.importorskip("opendssdirect")
    assert neomflex("feeder", "check", "ieee13", "--samples", "1") == 0
    said = printed(capsys)
    assert "AGREES: 2 of 2 cases solved by both" in said and "referee: OpenDSS" in said
    assert float(re.search(r"max \|dV\| = ([^ ]+) pu", said)[1]) < 1e-8
    assert neomflex("feeder", "check", "ieee13", "--samples", "1", "--method", "newton") == 2
    assert "has phases, which 'ac' solves" in printed(capsys)


def test_check_of_a_feeder_with_phases_exits_1_where_the_answers_differ(capsys, monkeypatch):
    pytest.importorskip("opendssdirect")
    solve = OpenDssDaySolver.solve

    def wrong(self, points):
        solved = solve(self, points)
        solved["va_degree"][1, 7] += 1e-3
        return solved

    monkeypatch.setattr(OpenDssDaySolver, "solve", wrong)
    assert neomflex("feeder", "check", "ieee13", "--samples", "1") == 1
    assert f"DIFFERS: 2 of 2 cases solved by both; max |dV| = 1.8e-05 pu, at node {IEEE13.node_labels[7]}" in printed(
        capsys
    )


def test_import_keeps_the_phases_of_circuits_and_of_nets_when_asked(tmp_path, capsys):
    pytest.importorskip("opendssdirect")
    circuit = IEEE13.circuit.path
    assert neomflex("feeder", "import", circuit, "--output", tmp_path / "mine") == 0
    assert "41: 13 phase 1" in printed(capsys)
    read = nf.load_feeder(tmp_path / "mine")
    assert read.name == "mine" and read.circuit == nf.Feeder.from_opendss(circuit).circuit
    pandapower.to_json(small_net(), tmp_path / "net.json")
    assert neomflex("feeder", "import", tmp_path / "net.json", "--output", tmp_path / "balanced") == 0
    assert "taken as balanced, loads by the sum of theirs; --phases keeps them" in printed(capsys)
    assert neomflex("feeder", "import", tmp_path / "net.json", "--phases", "--output", tmp_path / "with_phases") == 0
    assert isinstance(nf.load_feeder(tmp_path / "with_phases"), nf.UnbalancedFeeder)
    assert isinstance(nf.load_feeder(tmp_path / "balanced"), nf.Feeder)


def test_a_new_scenario_on_a_net_with_phases_keeps_them(tmp_path, capsys):
    pandapower.to_json(small_net(), tmp_path / "net.json")
    new = ("scenario", "new", "--from", tmp_path / "net.json", "--agents", "1", "--output", tmp_path / "s.toml")
    assert neomflex(*new, "--take-devices", "all") == 2
    assert (
        "take_devices = 'all': not of a net with phases; as balanced: --from FOLDER, after `neomflex feeder import"
        in printed(capsys)
    )
    assert neomflex(*new) == 0
    scenario = nf.load_scenario(tmp_path / "s.toml")
    assert isinstance(nf.load_feeder(scenario.feeder), nf.UnbalancedFeeder)
    assert nf.make(scenario).n_agents == 1


@pytest.mark.parametrize("source", ["ieee13", "circuit"])
def test_a_new_scenario_on_a_feeder_with_phases(source, tmp_path, capsys):
    pytest.importorskip("opendssdirect")
    given = source if source == "ieee13" else IEEE13.circuit.path
    assert neomflex("scenario", "new", "--from", given, "--agents", "2", "--output", tmp_path / "s.toml") == 0
    scenario = nf.load_scenario(tmp_path / "s.toml")
    assert {bus for part in scenario.territories for bus in part.buses} == set(IEEE13.bus_labels)
    assert nf.make(scenario).feeder.n_node == 41
    assert sum(one.p_max_mw for one in scenario.pv_inverters) == pytest.approx(0.8 * 3.466, rel=0.1)
