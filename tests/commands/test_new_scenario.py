"""``neomflex scenario new`` with what a net has of its own: devices and series."""

import shlex
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import neomflex
from mapdn_folder import STEPS, write_mapdn

import neomflex_jax as nf


def printed(capsys):
    return " ".join(capsys.readouterr().out.split())


def test_devices_of_a_network_of_pandapower(tmp_path, capsys):
    call = 'pandapower:create_cigre_network_mv(with_der="all")'
    path = tmp_path / "cigre.toml"
    assert neomflex("scenario", "new", "--from", call, "--take-devices", "all", "--agents", 3, "--output", path) == 0
    text = printed(capsys)
    assert "devices of the net's own: 8 PV inverters, 2 batteries" in text
    assert "net.sgen 8 ('WKA 7'): type 'WP'" in text and "new devices" not in text
    scenario, feeder = nf.load_scenario(path), nf.load_feeder(tmp_path / "cigre_feeder")
    assert [one.name for one in scenario.pv_inverters][:2] == ["PV_3", "PV_4"]
    assert {element.table for element in feeder.elements.rows} == {"load", "sgen"}
    assert sum(element.is_photovoltaic for element in feeder.elements.rows) == 0
    having = {device.bus for device in scenario.devices}
    assert all(not having.isdisjoint(part.buses) for part in scenario.territories)


def test_agents_without_a_device_of_the_nets_own_get_new_ones(tmp_path, capsys):
    call = 'pandapower:create_cigre_network_mv(with_der="pv_wind")'
    path = tmp_path / "cigre.toml"
    assert neomflex("scenario", "new", "--from", call, "--take-devices", "sgen", "--agents", 10, "--output", path) == 0
    assert "new devices, sized by load: 4 (2 of 10 agents have none of these)" in printed(capsys)
    scenario = nf.load_scenario(path)
    assert len(scenario.pv_inverters) == 10 and len(scenario.batteries) == 2


def test_nothing_is_taken_unless_asked_and_only_of_nets(tmp_path, capsys):
    call = 'pandapower:create_cigre_network_mv(with_der="pv_wind")'
    assert neomflex("scenario", "new", "--from", call, "--output", tmp_path / "none.toml") == 0
    text = printed(capsys)
    assert "devices of the net's own" not in text and "following Solar" in text
    case33 = ("scenario", "new", "--from", "case33bw", "--take-devices", "all", "--output", tmp_path / "x.toml")
    assert neomflex(*case33) == 2
    assert "case33bw is no net" in printed(capsys)


def test_mapdn_comes_with_its_series_and_weeks_kept_from_training(tmp_path, capsys):
    values = write_mapdn(tmp_path / "case3")
    path = tmp_path / "mine.toml"
    assert neomflex("scenario", "new", "--from", tmp_path / "case3", "--agents", 1, "--output", path) == 0
    stated = tomllib.loads(path.read_text())
    assert stated["steps_per_day"] == STEPS and stated["profiles"]["unit"] == "MW"
    assert stated["profiles"]["test"] == ["week 4 of 4"]
    env = nf.make(path, power_flow="lindistflow")
    assert env.profiles.n_days == 28
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    _, timestep = jax.jit(env.step)(state, jnp.zeros((1, env.action_size)))
    played = int(timestep.info.dataset_index)
    row = played + 7 * STEPS * (played >= 15 * STEPS)  # 2012-01-01 is a Sunday: days 15 to 21 are for test
    load_mw = values["load_active.csv"][row]
    np.testing.assert_allclose(timestep.info["load_p_mw"], [0.0, *load_mw], atol=1e-6)
    np.testing.assert_allclose(timestep.info["pv_available_mw"], values["pv_active.csv"][row], atol=1e-6)


def test_the_commands_of_the_page_on_own_grids_are_commands(capsys):
    text = (Path(__file__).parents[2] / "docs" / "own_grid.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("neomflex ")]
    assert len(lines) == 4
    for line in lines:
        words = shlex.split(line)[1:]
        command = words[: 2 if words[0] == "scenario" else 1]
        assert neomflex(*command, "--help") == 0
        offered = printed(capsys)
        assert all(word in offered for word in words if word.startswith("--")), line


@pytest.mark.slow
def test_simbench_in_one_line(tmp_path, capsys):
    simbench = pytest.importorskip("simbench")
    path = tmp_path / "my.toml"
    code = "1-LV-semiurb4--1-no_sw"
    assert neomflex("scenario", "new", "--from", f"simbench:{code}", "--agents", 6, "--output", path) == 0
    assert "devices of the net's own: 1 PV inverters, 1 batteries" in printed(capsys)
    assert "Open Database License" in path.read_text() and "ODbL" in (tmp_path / "my_series_NOTICE.txt").read_text()
    env = nf.make(path, power_flow="lindistflow")
    assert (env.profiles.steps_per_day, env.profiles.n_days, env.n_agents) == (96, 366 - 91, 6)
    net = simbench.get_simbench_net(code)
    absolute = simbench.get_absolute_values(net, True)
    row = 5 * 96 + 50  # of the first week, which is for training
    loads = [env.feeder.bus_position(int(bus)) for bus in net.load.bus]
    expected = np.bincount(loads, absolute["load", "p_mw"].loc[row].to_numpy(), env.feeder.n_bus)
    by_element = env.profiles.by_element
    p_mw, _ = by_element.loads(env.profiles.demand[row], env.profiles.solar[row], by_element.values[row])
    np.testing.assert_allclose(p_mw, expected, atol=1e-7)
