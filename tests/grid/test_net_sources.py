"""Nets by what a user calls them: a function of pandapower, MATPOWER's files, MAPDN's folder, a code of SimBench."""

import sys

import numpy as np
import pandapower
import pytest
from mapdn_folder import small_net, write_mapdn
from pandapower.converter.matpower import to_mpc

import neomflex_jax as nf
from neomflex_jax.grid.from_pandapower.sources import is_net_source, open_net


@pytest.mark.parametrize("text", ["simple_four_bus_system", "simple_four_bus_system()"])
def test_a_network_of_pandapower_by_its_function(text):
    source = open_net(f"pandapower:{text}")
    assert source.name == "simple_four_bus_system" and source.series is None
    assert len(source.net.bus) == 4


def test_arguments_are_literals_by_name():
    net = open_net('pandapower:create_cigre_network_mv(with_der="pv_wind")').net
    assert (net.sgen["type"] == "PV").sum() == 8


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("simple_four_bus_sistem", "Did you mean 'simple_four_bus_system'"),
        ("simple_four_bus_system(n=1)", "unexpected keyword"),
        ('create_cigre_network_mv("pv_wind")', "arguments by name"),
        ("create_cigre_network_mv(**{})", "arguments by name"),
        ("create_cigre_network_mv(with_der=print)", "no literal"),
        ('__import__("os").system("true")', "arguments by name"),
        ("os.system", "arguments by name"),
        ("simple_four_bus_system(", "is no call"),
        ("sorted_from_json", "unknown network"),
        ("", "is no call"),
    ],
)
def test_a_text_that_is_no_such_call_is_refused_and_never_run(call, said):
    with pytest.raises(nf.InputError, match=said):
        open_net(f"pandapower:{call}")


def test_a_matpower_case(tmp_path):
    net = small_net()
    pandapower.runpp(net)
    to_mpc(net, str(tmp_path / "small.mat"))
    converted = open_net(str(tmp_path / "small.mat")).net
    pandapower.runpp(converted)
    np.testing.assert_allclose(converted.res_bus.vm_pu, net.res_bus.vm_pu, atol=1e-9)
    (tmp_path / "broken.mat").write_bytes(b"no such thing")
    for name, said in (("broken.mat", "cannot convert"), ("none.mat", "no such file")):
        with pytest.raises(nf.InputError, match=said):
            open_net(str(tmp_path / name))


def test_a_matpower_script_that_computes_its_data_is_refused(tmp_path):
    path = tmp_path / "case.m"
    path.write_text("function mpc = case\nmpc.bus = [1 3 0];\nmpc.branch(:, [3 4]) = mpc.branch(:, [3 4]) / 12;\n")
    with pytest.raises(nf.InputError, match="computes its data"):
        open_net(str(path))


def test_a_matpower_script_without_its_reader_says_what_to_install(tmp_path, monkeypatch):
    from pandapower.converter.matpower import from_mpc as module

    monkeypatch.setattr(sys.modules[module.__module__], "matpowercaseframes_imported", False)
    path = tmp_path / "case.m"
    path.write_text("function mpc = case\nmpc.baseMVA = 1;\n")
    with pytest.raises(nf.InputError, match="pip install matpowercaseframes"):
        open_net(str(path))


def test_simbench_that_is_not_there_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "simbench", None)
    with pytest.raises(nf.InputError, match=r"pip install 'neomflex-jax\[simbench\]'"):
        open_net("simbench:1-LV-rural1--0-no_sw")


def test_mapdn_brings_series_in_mw_and_ratings_by_them(tmp_path):
    values = write_mapdn(tmp_path / "case3")
    assert is_net_source(str(tmp_path / "case3"))
    source = open_net(str(tmp_path / "case3"))
    series = source.series
    assert (source.name, series.unit, series.step_hours, series.times[0]) == ("case3", "MW", 6.0, "2012-01-01 00:00:00")
    np.testing.assert_array_equal(series.columns[series.p_of["load", 1]], values["load_active.csv"][:, 1])
    np.testing.assert_array_equal(series.columns[series.q_of["load", 0]], values["load_reactive.csv"][:, 0])
    np.testing.assert_array_equal(series.p_mw(source.net, ("sgen", 0)), values["pv_active.csv"][:, 0])
    most_mw = values["pv_active.csv"].max()
    assert source.net.sgen["p_mw"].item() == most_mw and source.net.sgen["sn_mva"].item() == pytest.approx(
        1.2 * most_mw
    )


def test_a_mapdn_folder_that_does_not_fit_is_refused(tmp_path):
    write_mapdn(tmp_path)
    text = (tmp_path / "pv_active.csv").read_text()
    (tmp_path / "pv_active.csv").write_text(text.replace("\n", ",1\n").replace("bus_0,1", "bus_0,bus_1", 1))
    with pytest.raises(nf.InputError, match="2 columns beside the time, and the net has 1 rows in sgen"):
        open_net(str(tmp_path))
    (tmp_path / "pv_active.csv").write_text("\n".join(text.splitlines()[:-1]))
    with pytest.raises(nf.InputError, match="times are not those"):
        open_net(str(tmp_path))
    (tmp_path / "model.json").rename(tmp_path / "model.p")
    with pytest.raises(nf.InputError, match="a pickle runs code"):
        open_net(str(tmp_path))


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (["pv_active.csv"], "has load_active.csv, load_reactive.csv, and MAPDN's layout needs pv_active.csv beside"),
        (["load_active.csv", "model.json"], r"needs load_active.csv, net.json beside it; save the net with pandapower"),
    ],
)
def test_of_a_part_of_mapdns_files_the_missing_ones_are_named(missing, said, tmp_path):
    write_mapdn(tmp_path)
    for name in missing:
        (tmp_path / name).unlink()
    assert is_net_source(str(tmp_path))
    with pytest.raises(nf.InputError, match=said):
        open_net(str(tmp_path))


def test_packaged_feeders_and_folders_are_no_nets(tmp_path):
    assert not is_net_source("case33bw") and not is_net_source(str(tmp_path))
