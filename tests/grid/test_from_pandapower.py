"""What the arrays of a feeder made of a pandapower net hold."""

from __future__ import annotations

import copy

import numpy as np
import pandapower as pp
import pandapower.networks as nw
import pandas as pd
import pytest
from pandapower_nets import (
    add,
    add_line,
    add_transformer,
    assert_equal_feeders,
    convert,
    fresh_bus,
    fuse,
    several,
    small_net,
)

from neomflex_jax.grid import Feeder
from neomflex_jax.grid.from_pandapower import fused_buses


def test_the_load_of_a_bus_is_its_net_consumption() -> None:
    net = small_net()
    several(
        add("load", 25, p_mw=0.01, q_mvar=0.004, scaling=2.0),
        add("sgen", 25, p_mw=0.1, q_mvar=0.02, scaling=0.5),
        add("storage", 25, p_mw=0.007, max_e_mwh=1.0, q_mvar=-0.001),
    )(net)
    feeder = convert(net)
    at = feeder.bus_position(25)
    assert feeder.load_p_mw[at] == pytest.approx(0.03 + 0.02 - 0.05 + 0.007)
    assert feeder.load_q_mvar[at] == pytest.approx(0.009 + 0.008 - 0.01 - 0.001)
    assert feeder.load_p_mw.sum() == pytest.approx(0.175 + 0.02 - 0.05 + 0.007)


def test_labels_are_the_nets_own_in_ascending_order() -> None:
    feeder = convert(small_net())
    assert feeder.bus_labels == (2, 4, 7, 10, 25, 30)
    assert feeder.bus_labels[feeder.topology.slack] == 10
    assert feeder.name == "small"


def test_fused_buses_go_by_the_smallest_label_or_the_slacks() -> None:
    net = small_net()
    several(fresh_bus(1, 20.0), fuse(10, 1), fresh_bus(3), fresh_bus(60), fuse(25, 60), fuse(60, 3), fresh_bus(99))(net)
    assert fused_buses(net) == {1: 10, 2: 2, 3: 3, 4: 4, 7: 7, 10: 10, 25: 3, 30: 30, 60: 3}
    assert convert(net).bus_labels == (2, 3, 4, 7, 10, 30)


def test_open_branches_stay_as_ties() -> None:
    net = small_net()
    several(
        lambda net: add_line(net, 25, 2, in_service=False),
        lambda net: add_line(net, 7, 2),
        add("switch", 2, 5, et="l", closed=False),
    )(net)
    feeder = convert(net)
    ends = zip(feeder.topology.from_bus, feeder.topology.to_bus, feeder.topology.in_service, strict=True)
    opened = [(feeder.bus_labels[a], feeder.bus_labels[b]) for a, b, closed in ends if not closed]
    assert opened == [(25, 2), (7, 2)]
    assert feeder.topology.is_radial


def test_a_line_out_of_service_need_not_be_sound() -> None:
    net = small_net()
    add_line(net, 25, 10, parallel=0, length_km=np.nan, r_ohm_per_km=-1.0, in_service=False)
    add("switch", 25, 4, et="l", closed=False)(net)
    net.line["to_bus"] = net.line["to_bus"].astype(float)
    net.line.loc[4, "to_bus"] = np.nan
    assert_equal_feeders(convert(net), convert(small_net()), 0.0)


def test_a_transformer_out_of_service_need_not_be_sound() -> None:
    net = small_net()
    add_transformer(net, sn_mva=0.0, vn_lv_kv=0.0, tap_side="nowhere", in_service=False)
    assert_equal_feeders(convert(net), convert(small_net()), 0.0)


def test_a_feeder_is_made_by_its_own_constructor_too() -> None:
    net = small_net()
    assert_equal_feeders(Feeder.from_pandapower(net), convert(net), 0.0)
    assert convert(net, name="mine").name == "mine"
    net.name = ""
    assert convert(net).name == "pandapower_net"


def test_a_net_of_lines_has_no_transformers_shunts_or_charging() -> None:
    feeder = convert(nw.case33bw())
    assert (feeder.transformers, feeder.shunts, feeder.charging) == (None, None, None)
    assert np.isnan(feeder.max_i_ka).all()
    assert feeder.topology.n_branch == 37


def test_the_order_of_rows_changes_nothing() -> None:
    net = nw.create_cigre_network_mv(with_der="pv_wind")
    shuffled = copy.deepcopy(net)
    for table in ("bus", "line", "trafo", "load", "sgen", "switch"):
        shuffled[table] = shuffled[table].sample(frac=1.0, random_state=3)
    assert_equal_feeders(convert(net), convert(shuffled), 0.0)


def test_the_net_is_not_changed() -> None:
    net = small_net()
    several(add("shunt", 7, q_mvar=-0.02), fresh_bus(60), fuse(25, 60))(net)
    net.shunt["vn_kv"] = np.nan
    before = copy.deepcopy(net)
    convert(net)
    for table in ("bus", "line", "trafo", "load", "shunt", "switch", "ext_grid"):
        pd.testing.assert_frame_equal(net[table], before[table])


def test_options_stored_in_the_net_have_no_influence() -> None:
    net = small_net()
    plain = convert(net)
    pp.set_user_pf_options(net, trafo_model="pi", calculate_voltage_angles=False, voltage_depend_loads=False)
    with pytest.warns(UserWarning, match="user_pf_options"):
        assert_equal_feeders(convert(net), plain, 0.0)
