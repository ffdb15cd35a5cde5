"""A net's own PV and storages as devices: ratings, several at a bus, and that nothing is counted twice."""

import itertools

import numpy as np
import pandapower
import pytest

import neomflex_jax as nf
from neomflex_jax.grid.from_pandapower.own_devices import take_devices


def street():
    """Four houses behind a transformer's low-voltage side, two roofs and a storage at one of them."""
    net = pandapower.create_empty_network(name="street")
    buses = [pandapower.create_bus(net, 0.4) for _ in range(5)]
    pandapower.create_ext_grid(net, buses[0], vm_pu=1.01)
    for a, b in itertools.pairwise(buses):
        pandapower.create_line_from_parameters(
            net, a, b, length_km=0.1, r_ohm_per_km=0.2, x_ohm_per_km=0.08, c_nf_per_km=200.0, max_i_ka=0.2
        )
        pandapower.create_load(net, b, p_mw=0.01, q_mvar=0.003, name=f"house {b}")
    pandapower.create_sgen(net, 4, p_mw=0.012, q_mvar=0.001, sn_mva=0.015, name="roof 1", type="PV")
    pandapower.create_sgen(net, 4, p_mw=0.008, sn_mva=0.009, name="roof 2", type="PV", controllable=True)
    pandapower.create_sgen(net, 2, p_mw=0.02, name="mill", type="WP")
    pandapower.create_storage(net, 4, p_mw=-0.005, max_e_mwh=0.02, min_e_mwh=0.002, soc_percent=30, name="cellar")
    return net


def test_pv_and_storages_become_devices_with_the_ratings_of_the_net():
    own = take_devices(street(), "all")
    (roofs,), (cellar,) = own.pv_inverters, own.batteries
    assert (roofs.bus, roofs.p_max_mw, roofs.s_mva, roofs.name) == (4, 0.02, 0.024, "roof_1_and_roof_2")
    assert not roofs.curtailable  # for one of the two is not
    assert own.pv_rows == {"roof_1_and_roof_2": {0: 0.012, 1: 0.008}}
    assert (cellar.bus, cellar.capacity_mwh, cellar.power_mw, cellar.name) == (4, 0.02, 0.005, "cellar")
    assert (cellar.soc_min, cellar.soc_max, cellar.soc_initial, cellar.s_mva) == (0.1, 1.0, 0.3, None)
    assert own.left == ("net.sgen 2 ('mill'): type 'WP'",)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"sn_mva": 0.015}, (0.012, 0.015, False)),
        ({"sn_mva": np.nan}, (0.012, 0.012, False)),
        ({"sn_mva": np.nan, "max_q_mvar": 0.005, "min_q_mvar": -0.009}, (0.012, 0.015, False)),
        ({"max_p_mw": 0.014, "controllable": True}, (0.014, 0.015, True)),
        ({"scaling": 0.5}, (0.006, 0.015, False)),
    ],
)
def test_ratings_of_an_inverter(columns, expected):
    net = street()
    net.sgen = net.sgen.drop(index=1)
    net.sgen["controllable"] = net.sgen["controllable"].astype(object)
    for name, value in columns.items():
        net.sgen.loc[0, name] = value
    (roof,) = take_devices(net, "sgen").pv_inverters
    assert (roof.p_max_mw, roof.s_mva, roof.curtailable) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"max_e_mwh": np.nan}, (0.015, 0.005, 0.0, None)),  # three hours of its power
        ({"min_p_mw": -0.004, "max_p_mw": 0.01}, (0.02, 0.01, 0.1, None)),
        ({"sn_mva": 0.008, "max_q_mvar": 0.004}, (0.02, 0.005, 0.1, 0.008)),
    ],
)
def test_ratings_of_a_battery(columns, expected):
    net = street()
    for name, value in columns.items():
        net.storage.loc[0, name] = value
    if np.isnan(net.storage["max_e_mwh"].iloc[0]):
        net.storage["min_e_mwh"] = 0.0
    (one,) = take_devices(net, "all", battery_hours=3.0).batteries
    assert (one.capacity_mwh, one.power_mw, one.soc_min, one.s_mva) == pytest.approx(expected)


def test_q_limits_inside_the_circle_are_named():
    net = street()
    net.sgen.loc[0, ["min_q_mvar", "max_q_mvar"]] = -0.004, 0.005
    own = take_devices(net, "all")
    assert own.wider == ("net.sgen 0 ('roof 1'): 0.005 Mvar",)
    assert own.pv_inverters[0].s_mva == 0.024


def test_nothing_is_counted_twice():
    """The feeder without the devices, and these at nominal power, is pandapower's net."""
    net = street()
    own = take_devices(net, "all")
    feeder = nf.Feeder.from_pandapower(own.net)
    assert {element.table for element in feeder.elements.rows} == {"load", "sgen"}
    p_mw, q_mvar = -np.asarray(feeder.load_p_mw), -np.asarray(feeder.load_q_mvar)
    p_mw[4] += own.pv_inverters[0].p_max_mw + own.batteries[0].power_mw  # the storage's p_mw below 0 discharges
    q_mvar[4] += 0.001
    flow = nf.power_flow(feeder, p_mw, q_mvar, method="ac")
    pandapower.runpp(net, tolerance_mva=1e-10)
    np.testing.assert_allclose(flow.vm_pu, net.res_bus.vm_pu, atol=2e-6)  # float32
    assert net.sgen["in_service"].all() and net.storage["in_service"].all()  # the user's net stays as it was


def test_sgen_leaves_storages_and_none_leaves_all():
    assert not take_devices(street(), "sgen").batteries
    none = take_devices(street(), "none")
    assert not none.batteries and not none.pv_inverters
    assert len(nf.Feeder.from_pandapower(none.net).elements.rows) == 8
    with pytest.raises(nf.InputError, match="take_devices = 'pv'"):
        take_devices(street(), "pv")


def test_what_is_off_or_dead_is_not_taken_and_what_has_no_power_is_named():
    net = street()
    net.sgen.loc[0, "in_service"] = False
    net.sgen.loc[1, "p_mw"] = 0.0
    net.storage.loc[0, "p_mw"] = 0.0
    own = take_devices(net, "all")
    assert not own.batteries and not own.pv_inverters
    assert own.left[0] == "net.sgen 1 ('roof 2'): p_mw = 0"
    assert own.left[2] == "net.storage 0 ('cellar'): it states no active power"
