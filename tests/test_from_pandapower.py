"""Nets of pandapower as feeders: the same voltages as `runpp`, through a solver of the tests' own, and every refusal.

The solver is `reference_flow`, so that these tests say something about the import alone. Tolerances: pandapower stops
at a mismatch of 1e-10 MVA, which in the weakest of these low-voltage nets is some 1e-10 pu.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as nw
import pandas as pd
import pytest
from reference_flow import ReferenceFlow, solve_reference

from neomflex_jax.errors import InputError
from neomflex_jax.grid import Feeder
from neomflex_jax.grid.from_pandapower import convert, fused_buses

VM_PU = 1e-8
VA_DEGREE = 1e-6
POWER_MVA = 1e-8
LOADING_PERCENT = 1e-5


def assert_same_flow(net: Any) -> tuple[Feeder, ReferenceFlow]:
    """Compare a net's power flow with that of the feeder made of it, at the net's own loads."""
    pp.runpp(net, tolerance_mva=1e-10, max_iteration=40, init="dc", calculate_voltage_angles=True, lightsim2grid=False)
    feeder, as_bus = convert(net), fused_buses(net)
    flow = solve_reference(feeder, -feeder.load_p_mw, -feeder.load_q_mvar)
    supplied = net.res_bus.index[net.res_bus["vm_pu"].notna()]
    assert sorted(as_bus) == sorted(supplied)
    position = [feeder.bus_position(as_bus[bus]) for bus in supplied]
    np.testing.assert_allclose(flow.vm_pu[position], net.res_bus["vm_pu"][supplied], rtol=0, atol=VM_PU)
    grid = net.ext_grid[net.ext_grid["in_service"]]
    turned = flow.va_degree[position] + grid["va_degree"].item() - net.res_bus["va_degree"][supplied].to_numpy()
    np.testing.assert_allclose((turned + 180) % 360 - 180, 0, atol=VA_DEGREE)
    slack = net.res_ext_grid.loc[grid.index[0]]
    np.testing.assert_allclose(
        [flow.slack_p_mw, flow.slack_q_mvar], [slack["p_mw"], slack["q_mvar"]], rtol=0, atol=POWER_MVA
    )
    # what hangs open at one end is a branch there and a shunt here, so only the two together are comparable
    theirs = net.res_line["pl_mw"].sum() + net.res_trafo["pl_mw"].sum() + net.res_shunt["p_mw"].sum()
    if not (net.switch["z_ohm"] > 0).any():
        assert flow.loss_mw + flow.shunt_p_mw == pytest.approx(theirs, abs=POWER_MVA)
    return feeder, flow


def change_injections(net: Any, low: float, high: float, seed: int) -> Any:
    """A copy of the net with every p and q of loads and sgens multiplied by its own random number."""
    random = np.random.default_rng(seed)
    changed = copy.deepcopy(net)
    for table in ("load", "sgen"):
        for column in ("p_mw", "q_mvar"):
            changed[table][column] = changed[table][column] * random.uniform(low, high, len(changed[table]))
    return changed


# pandapower's own networks


def simbench(code: str) -> Any:
    return pytest.importorskip("simbench").get_simbench_net(code)


KERBER = ("landnetz_freileitung_1", "landnetz_freileitung_2", "landnetz_kabel_1", "landnetz_kabel_2", "dorfnetz")
KERBER += ("vorstadtnetz_kabel_1", "vorstadtnetz_kabel_2")
EXTREME = ("landnetz_freileitung", "landnetz_kabel", "landnetz_freileitung_trafo", "landnetz_kabel_trafo", "dorfnetz")
EXTREME += ("dorfnetz_trafo", "vorstadtnetz_1", "vorstadtnetz_2", "vorstadtnetz_trafo_1", "vorstadtnetz_trafo_2")

NETWORKS: dict[str, Callable[[], Any]] = {
    "case33bw": nw.case33bw,
    "cigre_mv": nw.create_cigre_network_mv,
    "cigre_mv_pv_wind": lambda: nw.create_cigre_network_mv(with_der="pv_wind"),
    "cigre_mv_all": lambda: nw.create_cigre_network_mv(with_der="all"),
    "cigre_lv": nw.create_cigre_network_lv,
    "dickert": nw.create_dickert_lv_network,
    "dickert_middle": lambda: nw.create_dickert_lv_network("middle", "C&OHL", "multiple", "bad"),
    "oberrhein_south": lambda: nw.mv_oberrhein(separation_by_sub=True)[0],
    "oberrhein_north": lambda: nw.mv_oberrhein(separation_by_sub=True)[1],
    "oberrhein_generation": lambda: nw.mv_oberrhein(scenario="generation", separation_by_sub=True)[0],
    "schutterwald_one_of_all": lambda: nw.lv_schutterwald(separation_by_sub=True)[0],
    "four_load_branch": nw.panda_four_load_branch,
    "four_loads_with_branches_out": nw.four_loads_with_branches_out,
    "simple_four_bus": nw.simple_four_bus_system,
    "simple_mv_open_ring": nw.simple_mv_open_ring_net,
    "simbench_lv_rural": lambda: simbench("1-LV-rural1--0-sw"),
    "simbench_mv_rural": lambda: simbench("1-MV-rural--0-sw"),
    "simbench_mv_urban": lambda: simbench("1-MV-urban--0-no_sw"),
    **{f"kerber_{name}": getattr(nw, f"create_kerber_{name}") for name in KERBER},
    **{f"kerber_extreme_{name}": getattr(nw, f"kb_extrem_{name}") for name in EXTREME},
    **{
        f"voltage_control_{kind}": lambda kind=kind: nw.create_synthetic_voltage_control_lv_network(kind)
        for kind in ("rural_1", "rural_2", "village_1", "village_2", "suburb_1")
    },
}
QUICK = {"case33bw", "cigre_mv", "cigre_mv_pv_wind", "cigre_lv", "dickert", "oberrhein_south", "four_load_branch"}
QUICK |= {"four_loads_with_branches_out", "simple_four_bus", "simple_mv_open_ring", "simbench_lv_rural"}
QUICK |= {"kerber_landnetz_kabel_1", "kerber_extreme_landnetz_freileitung", "voltage_control_rural_1"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in NETWORKS])
def test_a_published_network_has_the_voltages_of_pandapower(name: str) -> None:
    net = NETWORKS[name]()
    assert_same_flow(net)
    for seed, (low, high) in enumerate(((0, 2), (0, 2), (-1, 1), (-2, 0))):
        assert_same_flow(change_injections(net, low, high, seed))


REFUSED_NETWORKS = {
    "example_simple": "net.gen 0 .* is in service",
    "example_multivoltage": "net.gen 0 .* is in service",
    "create_cigre_network_hv": "net.gen 0 .* is in service",
    "case9": "net.gen 0 is in service",
    "mv_oberrhein": "one slack; external grids in service: net.ext_grid 0",
    "lv_schutterwald": "one slack; external grids in service: .* and 11 more",
    "ieee_european_lv_asymmetric": "net.asymmetric_load 0 .* is in service",
}


@pytest.mark.parametrize("name", REFUSED_NETWORKS)
def test_a_published_network_beyond_the_model_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=REFUSED_NETWORKS[name]):
        convert(getattr(nw, name)())


# Single features, on a small net


def small_net() -> Any:
    return copy.deepcopy(small_net_template())  # building one takes ten times as long


@lru_cache
def small_net_template() -> Any:
    """20/0.4 kV: external grid 10, bus 30, transformer to bus 4, then a tree of lines 4-7, 7-25, 4-2."""
    net = pp.create_empty_network(name="small")
    for bus, vn_kv in ((10, 20.0), (30, 20.0), (4, 0.4), (7, 0.4), (25, 0.4), (2, 0.4)):
        pp.create_bus(net, vn_kv, index=bus)
    pp.create_ext_grid(net, 10, vm_pu=1.02)
    add_line(net, 10, 30, length_km=3, c_nf_per_km=250.0)
    add_transformer(net)
    for from_bus, to_bus in ((4, 7), (7, 25), (4, 2)):
        add_line(net, from_bus, to_bus)
    for bus, p_mw in ((7, 0.02), (25, 0.03), (2, 0.025), (30, 0.1)):
        pp.create_load(net, bus, p_mw, 0.3 * p_mw, name=f"load at {bus}")
    return net


def add_line(net: Any, from_bus: int, to_bus: int, **values: Any) -> int:
    values = {"length_km": 0.2, "r_ohm_per_km": 0.3, "x_ohm_per_km": 0.1, "c_nf_per_km": 400, "max_i_ka": 0.2} | values
    return pp.create_line_from_parameters(net, from_bus, to_bus, **values)


def add_transformer(net: Any, **values: Any) -> int:
    plate = {"sn_mva": 0.25, "vn_hv_kv": 20.0, "vn_lv_kv": 0.4, "vk_percent": 6.0, "vkr_percent": 1.4, "pfe_kw": 0.8}
    plate |= {"i0_percent": 0.9, "shift_degree": 150.0, "tap_side": "hv", "tap_neutral": 0, "tap_pos": 0}
    plate |= {"tap_step_percent": 2.5, "tap_step_degree": 0.0, "tap_min": -9, "tap_max": 9}
    plate |= {"tap_changer_type": "Ratio"}
    return pp.create_transformer_from_parameters(net, hv_bus=30, lv_bus=4, **(plate | values))


def set_in(table: str, row: int = 0, **values: Any) -> Callable[[Any], None]:
    """Set columns of one row of the table."""

    def change(net: Any) -> None:
        for column, value in values.items():
            if column not in net[table]:
                net[table][column] = np.nan
            if isinstance(value, str) or value is None:
                net[table][column] = net[table][column].astype(object)
            net[table].loc[row, column] = value

    return change


def several(*changes: Callable[[Any], Any]) -> Callable[[Any], None]:
    def change(net: Any) -> None:
        for one in changes:
            one(net)

    return change


def add(create: str, *positional: Any, **values: Any) -> Callable[[Any], Any]:
    return lambda net: getattr(pp, f"create_{create}")(net, *positional, **values)


def fuse(a: int, b: int, **values: Any) -> Callable[[Any], Any]:
    return add("switch", a, b, et="b", **values)


def fresh_bus(label: int, vn_kv: float = 0.4, **values: Any) -> Callable[[Any], Any]:
    return add("bus", vn_kv, index=label, **values)


FEATURES: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda net: None,
    "rated voltages unlike the buses'": set_in("trafo", vn_hv_kv=21.0, vn_lv_kv=0.42),
    "no shift": set_in("trafo", shift_degree=0.0),
    "transformer parallel": set_in("trafo", parallel=3, tap_pos=2),
    "transformers side by side on unlike taps": lambda net: add_transformer(net, tap_pos=2, sn_mva=0.16, vk_percent=4),
    "ideal transformer iron": set_in("trafo", pfe_kw=0.0, i0_percent=0.0),
    "iron losses above i0": set_in("trafo", pfe_kw=3.0, i0_percent=0.1),
    "two tap changers": several(
        set_in("trafo", tap_pos=2, tap2_pos=-3.0, tap2_neutral=1.0, tap2_step_percent=1.5, tap2_step_degree=90.0),
        set_in("trafo", tap2_side="lv", tap2_changer_type="Symmetrical"),
    ),
    "tap without type": set_in("trafo", tap_pos=3, tap_changer_type=None),
    "tap without side": set_in("trafo", tap_pos=3, tap_side=None),
    "tap without position": set_in("trafo", tap_pos=np.nan),
    "line parallel": set_in("line", 1, parallel=2),
    "line conductance": set_in("line", 0, g_us_per_km=30.0),
    "60 Hz": lambda net: net.update(f_hz=60.0),
    "another base": lambda net: net.update(sn_mva=100.0),
    "ring": lambda net: add_line(net, 25, 2, r_ohm_per_km=0.6),
    "parallel lines": lambda net: add_line(net, 4, 7, length_km=0.5),
    "slack turned and raised": set_in("ext_grid", vm_pu=1.05, va_degree=-40.0),
    "capacitor in steps": add("shunt", 7, q_mvar=-0.02, p_mw=0.001, step=2),
    "shunt of another voltage": add("shunt", 7, q_mvar=0.02, p_mw=0.003, vn_kv=0.38),
    "shunt at the slack": add("shunt", 10, q_mvar=0.5, p_mw=0.1, vn_kv=20.0),
    "shunt out of service": add("shunt", 7, q_mvar=5.0, p_mw=5.0, in_service=False),
    "load scaling": set_in("load", 0, scaling=1.7),
    "load out of service": set_in("load", 0, in_service=False),
    "sgen": add("sgen", 25, p_mw=0.06, q_mvar=-0.01, scaling=0.8),
    "sgen out of service": add("sgen", 25, p_mw=9.0, in_service=False),
    "storage charging": add("storage", 25, p_mw=0.02, max_e_mwh=1.0, q_mvar=0.003, scaling=0.5),
    "storage discharging": add("storage", 2, p_mw=-0.04, max_e_mwh=1.0),
    "load at a bus out of service": several(fresh_bus(40, in_service=False), add("load", 40, p_mw=3.0)),
    "bus out of service": several(set_in("bus", 25, in_service=False)),
    "line out of service": several(lambda net: add_line(net, 25, 2), set_in("line", 3, in_service=False)),
    "open tie": several(lambda net: add_line(net, 25, 2, in_service=False)),
    "unsound line out of service": lambda net: add_line(net, 25, 10, r_ohm_per_km=np.nan, in_service=False),
    "transformer out of service": lambda net: add_transformer(net, in_service=False, tap_pos=99),
    "isolated bus": fresh_bus(50),
    "dead island": several(fresh_bus(50), fresh_bus(51), lambda net: add_line(net, 50, 51)),
    "chain of switches": several(fresh_bus(1), fresh_bus(60), fuse(25, 60), fuse(60, 1), add("load", 1, 0.01, 0.002)),
    "slack behind a switch": several(fresh_bus(1, 20.0), fuse(10, 1), add("load", 1, p_mw=0.3)),
    "loop of switches": several(fresh_bus(60), fuse(25, 60), fuse(60, 25), fuse(25, 25)),
    "open bus-bus switch": several(fresh_bus(60), fuse(25, 60, closed=False)),
    "switch to a bus out of service": several(fresh_bus(60, in_service=False), fuse(25, 60)),
    "switch with impedance": several(fresh_bus(60), fuse(25, 60, z_ohm=0.05), add("load", 60, p_mw=0.02)),
    "closed line switch": add("switch", 4, 1, et="l"),
    "line between fused buses": several(fuse(7, 25), set_in("line", 2, c_nf_per_km=9e4)),
    "line open at from": several(
        lambda net: add_line(net, 25, 2, c_nf_per_km=3e5), add("switch", 25, 4, et="l", closed=False)
    ),
    "line open at to": several(
        lambda net: add_line(net, 25, 2, c_nf_per_km=3e5, g_us_per_km=90.0), add("switch", 2, 4, et="l", closed=False)
    ),
    "line open at both ends": several(
        lambda net: add_line(net, 25, 2, c_nf_per_km=3e5),
        add("switch", 25, 4, et="l", closed=False),
        add("switch", 2, 4, et="l", closed=False),
    ),
    "line to a bus out of service": several(
        fresh_bus(60, in_service=False), lambda net: add_line(net, 60, 7, c_nf_per_km=3e5)
    ),
    "line between buses out of service": several(
        *(fresh_bus(bus, in_service=False) for bus in (60, 61)), lambda net: add_line(net, 60, 61)
    ),
    "line open here, out of service there": several(
        fresh_bus(60, in_service=False),
        lambda net: add_line(net, 7, 60, c_nf_per_km=3e5),
        add("switch", 7, 4, et="l", closed=False),
    ),
    "transformer open at lv": several(
        lambda net: add_transformer(net, tap_pos=3, i0_percent=5.0), add("switch", 4, 1, et="t", closed=False)
    ),
    "transformer open at hv": several(
        lambda net: add_transformer(net, tap_pos=3, i0_percent=5.0), add("switch", 30, 1, et="t", closed=False)
    ),
    "transformer to a bus out of service": several(
        fresh_bus(60, in_service=False), lambda net: add_transformer(net), set_in("trafo", 1, lv_bus=60)
    ),
    "unused things": several(
        add("gen", 7, p_mw=0.1, in_service=False),
        add("ext_grid", 30, in_service=False),
        add("ward", 7, 1, 1, 1, 1, in_service=False),
        add("measurement", "v", "bus", 1.0, 0.1, 7),
        add("poly_cost", 0, "load", 1.0),
    ),
}


@pytest.mark.parametrize("name", FEATURES)
def test_a_feature_of_pandapower_is_modelled(name: str) -> None:
    net = small_net()
    FEATURES[name](net)
    assert_same_flow(net)


@pytest.mark.parametrize("side", ["hv", "lv"])
@pytest.mark.parametrize("position", [-2, 0, 3])
@pytest.mark.parametrize(
    ("kind", "percent", "degree"),
    [
        ("Ratio", 2.5, 0.0),
        ("Ratio", 2.0, 60.0),
        ("Symmetrical", 1.5, 90.0),
        ("Ideal", 0.0, 2.0),
        ("Ideal", 1.5, 0.0),
        ("Ratio", 2.5, np.nan),
        (None, 2.5, 5.0),
    ],
)
def test_every_tap_changer_turns_and_steps_as_in_pandapower(
    side: str, position: int, kind: str | None, percent: float, degree: float
) -> None:
    net = small_net()
    values = {"tap_side": side, "tap_pos": position, "tap_neutral": 1, "tap_changer_type": kind}
    set_in("trafo", tap_step_percent=percent, tap_step_degree=degree, **values)(net)
    add_transformer(net, tap_pos=1)
    assert_same_flow(net)


def test_loading_is_that_of_pandapower() -> None:
    net = small_net()
    several(
        set_in("trafo", vn_hv_kv=21.0, parallel=2, df=0.9, tap_pos=2), set_in("line", 0, max_i_ka=99999.0), add_ring
    )(net)
    feeder, flow = assert_same_flow(net)
    np.testing.assert_allclose(flow.loading_percent[1:5], net.res_line["loading_percent"][1:], atol=LOADING_PERCENT)
    np.testing.assert_allclose(flow.loading_percent[5:], net.res_trafo["loading_percent"], atol=LOADING_PERCENT)
    assert np.isnan(feeder.max_i_ka).tolist() == [True] + [False] * 5


def add_ring(net: Any) -> None:
    add_line(net, 25, 2, df=0.7, parallel=2)


def test_a_transformer_rating_is_its_rated_current_at_lv() -> None:
    feeder = convert(small_net())
    assert feeder.transformers is not None
    assert feeder.max_i_ka[-1] == pytest.approx(0.25 / (np.sqrt(3) * 0.4))
    assert feeder.transformers.rated_ratio[-1] == pytest.approx(50.0)
    ends = feeder.topology.from_bus[-1], feeder.topology.to_bus[-1]
    assert [feeder.bus_labels[end] for end in ends] == [30, 4]


# What the arrays hold


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
    assert_equal_feeders(convert(net), plain, 0.0)


def assert_equal_feeders(one: Feeder, other: Feeder, relative: float) -> None:
    assert one.topology == other.topology
    assert one.bus_labels == other.bus_labels
    for field in ("r_ohm", "x_ohm", "max_i_ka", "load_p_mw", "load_q_mvar", "vn_kv", "slack_vm_pu"):
        np.testing.assert_allclose(getattr(one, field), getattr(other, field), rtol=relative)
    for part in ("charging", "transformers", "shunts"):
        assert (getattr(one, part) is None) == (getattr(other, part) is None)
        for field, values in (vars(getattr(one, part)) if getattr(one, part) is not None else {}).items():
            np.testing.assert_allclose(values, getattr(getattr(other, part), field), rtol=relative)


# Refusals


def plain_table(**values: Any) -> pd.DataFrame:
    return pd.DataFrame({name: [value] for name, value in values.items()})


REFUSALS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "gen": (add("gen", 7, p_mw=0.1, name="mill"), r"net.gen 0 \('mill'\) is in service.*net.sgen"),
    "slack gen": (add("gen", 7, p_mw=0.1, slack=True), "net.gen 0 is in service"),
    "two slacks": (add("ext_grid", 30, name="second"), r"net.ext_grid 0, net.ext_grid 1 \('second'\). Keep one"),
    "no slack": (set_in("ext_grid", in_service=False), "external grids in service: none"),
    "slack at a dead bus": (set_in("bus", 10, in_service=False), "feeds bus 10, which is not in service"),
    "slack at no bus": (set_in("ext_grid", bus=77), "feeds bus 77"),
    "slack voltage": (set_in("ext_grid", vm_pu=3.0), "slack_vm_pu = 3"),
    "trafo3w": (lambda net: net.update(trafo3w=plain_table(hv_bus=30, in_service=True)), "net.trafo3w 0 .*two-winding"),
    "ward": (add("ward", 7, 1, 1, 1, 1), "net.ward 0 .*net.load"),
    "xward": (add("xward", 7, 1, 1, 1, 1, 1, 1, 1.0), "net.xward 0"),
    "impedance": (add("impedance", 7, 2, 0.1, 0.1, 1), "net.impedance 0 .*line"),
    "dcline": (add("dcline", 7, 2, 0.1, 1, 0.1, 1, 1), "net.dcline 0"),
    "motor": (add("motor", 7, 0.01, 0.9), "net.motor 0"),
    "asymmetric load": (add("asymmetric_load", 7), "net.asymmetric_load 0 .*balanced"),
    "asymmetric sgen": (add("asymmetric_sgen", 7), "net.asymmetric_sgen 0 .*balanced"),
    "svc": (add("svc", 7, 1, -10, 1.0, 145), "net.svc 0"),
    "tcsc": (add("tcsc", 7, 2, 1, -10, -100, 142), "net.tcsc 0"),
    "ssc": (add("ssc", 7, 0, 1, 1.0), "net.ssc 0"),
    "vsc": (lambda net: net.update(vsc=plain_table(bus=7, in_service=True)), "net.vsc 0"),
    "dc bus": (add("bus_dc", 0.4), "net.bus_dc 0"),
    "dc line": (lambda net: net.update(line_dc=plain_table(in_service=True)), "net.line_dc 0"),
    "future element": (lambda net: net.update(fusion=plain_table(bus=7)), "net.fusion 0 is in service"),
    "controller": (lambda net: pp.control.ConstControl(net, "load", "p_mw", 0), "net.controller 0 .*run_control"),
    "constant impedance": (set_in("load", 2, const_z_p_percent=30.0), r"net.load 2 \('load at 2'\) has const_z_p"),
    "constant current": (set_in("load", 1, const_i_q_percent=5.0), "net.load 1 .*const_i_q_percent = 5"),
    "old constant impedance": (set_in("load", 1, const_z_percent=5.0), "net.load 1 .*const_z_percent = 5"),
    "tap table": (set_in("trafo", tap_dependency_table=True), "net.trafo 0 has tap_dependency_table"),
    "tap-dependent impedance": (set_in("trafo", tap_dependent_impedance=1.0), "net.trafo 0 has tap_dependent_imp"),
    "leakage resistance": (set_in("trafo", leakage_resistance_ratio_hv=0.4), "leakage_resistance_ratio_hv = 0.4"),
    "leakage reactance": (set_in("trafo", leakage_reactance_ratio_hv=0.6), "leakage_reactance_ratio_hv = 0.6"),
    "shunt table": (
        several(add("shunt", 7, 0.1), set_in("shunt", step_dependency_table=True)),
        "net.shunt 0 has step_dependency_table",
    ),
    "tap changer of no kind": (set_in("trafo", tap_changer_type="Tabular"), "tap_changer_type = 'Tabular'"),
    "tap side": (set_in("trafo", tap_side="mv"), "tap_side = 'mv'; it must be hv or lv"),
    "ideal tap of two kinds": (set_in("trafo", tap_changer_type="Ideal", tap_step_degree=1.0), "one of them must be 0"),
    "ideal tap without position": (set_in("trafo", tap_changer_type="Ideal", tap_pos=np.nan), "without tap_pos"),
    "tap beyond the winding": (set_in("trafo", tap_pos=-40), "all of it or more"),
    "tap of pandapower 2": (
        lambda net: net.update(trafo=net.trafo.drop(columns="tap_changer_type").assign(tap_phase_shifter=False)),
        "convert_format",
    ),
    "transformer power": (set_in("trafo", sn_mva=0.0), "net.trafo 0 has sn_mva = 0"),
    "transformer short circuit": (set_in("trafo", vkr_percent=7.0), "vkr_percent = 7"),
    "transformer rating factor": (set_in("trafo", df=0.0), "df = 0"),
    "transformer of another grid": (set_in("trafo", vn_lv_kv=20.0), "net.trafo 0 has an off-nominal ratio of 0.02"),
    "transformer upon itself": (set_in("trafo", lv_bus=30, vn_lv_kv=20.0), "net.trafo 0 joins"),
    "line of negative resistance": (lambda net: add_line(net, 7, 2, r_ohm_per_km=-1.0), "net.line 4 has an impedance"),
    "line without impedance": (set_in("line", 1, length_km=0.0), "net.line 1 has an impedance .*bus-bus switch"),
    "line between levels": (lambda net: add_line(net, 30, 7), "net.line 4 has ends of 20 and 0.4 kV"),
    "line without length": (set_in("line", 2, length_km=np.nan), "net.line 2 has length_km = nan"),
    "line parallel": (set_in("line", 2, parallel=0), "net.line 2 has parallel"),
    "line to nowhere": (set_in("line", 2, to_bus=77), "net.line 2 stands at bus 77"),
    "line column": (lambda net: net.update(line=net.line.drop(columns="x_ohm_per_km")), "no column x_ohm_per_km"),
    "switch between levels": (fuse(30, 4), "net.switch 0 joins buses 30 and 4 of 20 and 0.4 kV"),
    "switch at no bus": (
        lambda net: net.update(switch=plain_table(bus=7, element=77, et="b", closed=True, z_ohm=0.0)),
        "net.switch 0 stands at bus 77",
    ),
    "switch at no line": (
        lambda net: net.update(switch=plain_table(bus=7, element=77, et="l", closed=False, z_ohm=0.0)),
        "net.switch 0 stands at bus 7 of line 77",
    ),
    "load nobody supplies": (set_in("line", 2, in_service=False), r"net.load 1 \('load at 25'\) is at bus 25"),
    "shunt nobody supplies": (several(fresh_bus(60), add("shunt", 60, 0.1)), "net.shunt 0 is at bus 60"),
    "load at no bus": (set_in("load", 0, bus=77), "net.load 0 .* stands at bus 77"),
    "load of words": (set_in("load", 0, p_mw="much"), "p_mw = 'much'; it must be a number"),
    "load without power": (set_in("load", 0, q_mvar=np.nan), "q_mvar = nan"),
    "in service of words": (set_in("load", 0, in_service="perhaps"), "in_service = 'perhaps'"),
    "half a bus": (lambda net: net.load.__setitem__("bus", 7.5), "bus = 7.5"),
    "bus voltage": (set_in("bus", 7, vn_kv=0.0), "net.bus 7 has vn_kv = 0"),
    "bus twice": (lambda net: net.update(bus=pd.concat([net.bus, net.bus])), "each number once"),
    "frequency": (lambda net: net.update(f_hz="fast"), "net.f_hz = 'fast'"),
    "table that is none": (lambda net: net.update(line={"a": 1}), "net.line is a dict"),
    "nothing but the slack": (set_in("line", 0, in_service=False), "is at bus"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_not_modelled_is_refused_by_name(name: str) -> None:
    net = small_net()
    change, message = REFUSALS[name]
    change(net)
    with pytest.raises(InputError, match=message) as refused:
        convert(net)
    assert str(refused.value).startswith("pandapower net 'small': ")


@pytest.mark.parametrize("thing", [None, 3, [1], {}, {"bus": {}}, pd.DataFrame()])
def test_what_is_no_net_is_refused(thing: Any) -> None:
    with pytest.raises(InputError, match="a pandapower net or the path"):
        convert(thing)


# Files


@pytest.fixture(scope="module")
def small_json() -> str:
    return pp.to_json(small_net())


@pytest.fixture
def saved(tmp_path: Path, small_json: str) -> Path:
    path = tmp_path / "mine.json"
    path.write_text(small_json, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["small", "cigre_mv_pv_wind", "oberrhein_south"])
def test_a_saved_net_is_the_net(name: str, tmp_path: Path) -> None:
    net = small_net() if name == "small" else NETWORKS[name]()
    pp.runpp(net)
    pp.to_json(net, str(tmp_path / "mine.json"))
    for path in (tmp_path / "mine.json", str(tmp_path / "mine.json")):
        feeder = convert(path)
        assert feeder.name == "mine"
        assert_equal_feeders(feeder, convert(net), 1e-12)
    assert fused_buses(tmp_path / "mine.json") == fused_buses(net)


def test_an_error_in_a_file_names_the_file(tmp_path: Path) -> None:
    net = small_net()
    add("gen", 7, p_mw=0.1)(net)
    pp.to_json(net, str(tmp_path / "mine.json"))
    with pytest.raises(InputError, match=r"mine\.json: net\.gen 0 is in service"):
        convert(tmp_path / "mine.json")


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the tables of a saved net."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content["_object"])
    path.write_text(json.dumps(content), encoding="utf-8")


def command(path: Path) -> dict[str, Any]:
    """What an old reader would run: it leaves a file behind."""
    return {"_module": "os", "_class": "system", "_object": f"touch {path.parent / 'ran'}"}


def in_table(path: Path, cell: Any) -> None:
    def change(tables: dict[str, Any]) -> None:
        table = json.loads(tables["load"]["_object"])
        table["data"][0][0] = cell
        tables["load"]["_object"] = json.dumps(table)

    rewrite(path, change)


def with_table(path: Path, content: Any, **fields: Any) -> None:
    rewrite(path, lambda tables: tables["load"].update(_object=content, **fields))


def escaped_class(path: Path) -> None:
    rewrite(path, lambda tables: tables.update(x=command(path)))
    escaped = path.read_text(encoding="utf-8").replace('"_module": "os"', '"\\u005fmodule": "os"')
    assert "u005f" in escaped
    path.write_text(escaped, encoding="utf-8")


HOSTILE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a class": (lambda path: rewrite(path, lambda t: t.update(x=command(path))), "names the class os.system"),
    "a class beside the tables": (
        lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | {"x": command(path)})),
        "x names the class os.system",
    ),
    "a class in escapes": (escaped_class, "names the class os.system"),
    "a class deep down": (
        lambda path: rewrite(path, lambda t: t["std_types"].update(x=[{"y": [command(path)]}])),
        "std_types names the class os.system",
    ),
    "a class in a table": (lambda path: in_table(path, command(path)), "load names the class os.system"),
    "a class in a series": (
        lambda path: rewrite(
            path,
            lambda t: t.update(
                x={"_module": "pandas", "_class": "Series", "_object": json.dumps({"data": [command(path)]})}
            ),
        ),
        "names the class os.system",
    ),
    "a function": (
        lambda path: rewrite(path, lambda t: t.update(x={"_module": "os", "_class": "function", "_object": "getcwd"})),
        "names the class os.function",
    ),
    "a builtin": (
        lambda path: rewrite(path, lambda t: t.update(x={"_module": "builtins", "_class": "eval", "_object": "1"})),
        "names the class builtins.eval",
    ),
    "a pandapower class": (
        lambda path: pp.to_json(with_controller(), str(path)),
        "names the class pandapower.*ConstControl",
    ),
    "a net in a net": (
        lambda path: rewrite(
            path,
            lambda t: t.update(x={"_module": "pandapower.auxiliary", "_class": "pandapowerNet", "_object": "{}"}),
        ),
        "names the class pandapower.auxiliary.pandapowerNet",
    ),
    "half a class": (lambda path: rewrite(path, lambda t: t.update(x={"_class": "DataFrame"})), "names the class None"),
    "a class by its state": (
        lambda path: rewrite(
            path, lambda t: t.update(x={"_module": "pandas", "_class": "DataFrame", "_state": {}, "_object": "{}"})
        ),
        "names the class pandas.DataFrame",
    ),
    "a class that is a list": (
        lambda path: rewrite(path, lambda t: t.update(x={"_module": ["os"], "_class": {}, "_object": "{}"})),
        "names the class",
    ),
    "a path": (lambda path: with_table(path, str(path)), "load holds no table but .*a path or a link"),
    "a link": (lambda path: with_table(path, "https://example.org/x.json"), "load holds no table but 'https"),
    "a link in quotes": (lambda path: with_table(path, '"https://example.org"'), "load holds no table"),
    "a table that is none": (lambda path: with_table(path, ["/etc/passwd"]), "load holds no table"),
    "a table cut short": (lambda path: with_table(path, '{"columns":['), "not JSON, or cut short"),
    "a field for pandas": (lambda path: with_table(path, "{}", storage_options={}), "a field 'storage_options'"),
    "one name twice": (
        lambda path: path.write_text('{"_module": "os", ' + path.read_text(encoding="utf-8").lstrip()[1:]),
        "one name twice",
    ),
    "one name twice in a table": (
        lambda path: with_table(path, '{"columns":[],"index":[],"data":[],"data":[{"a":1}]}'),
        "one name twice",
    ),
    "a deep nest": (lambda path: path.write_text("[" * 200_000), "not JSON"),
    "cut short": (lambda path: path.write_text(path.read_text(encoding="utf-8")[:-500]), "not JSON, or cut short"),
    "empty": (lambda path: path.write_text(""), "not JSON"),
    "words": (lambda path: path.write_text("bus,vn_kv\n1,20\n"), "not JSON"),
    "other JSON": (lambda path: path.write_text('{"type": "FeatureCollection"}'), "no pandapower net"),
    "a list": (lambda path: path.write_text("[1, 2]"), "no pandapower net"),
    "an old net": (lambda path: path.write_text('{"bus": {}, "line": {}}'), "one of an old format"),
    "no bus table": (lambda path: rewrite(path, lambda t: t.pop("bus")), "no pandapower net"),
    "not text": (lambda path: path.write_bytes(b"\xff\xfe{}"), "UTF-8 text"),
    "a pickle by another name": (lambda path: path.write_bytes(b"\x80\x04K\x01."), "a pickle runs code"),
    "a table of the wrong shape": (lambda path: with_table(path, '{"columns":["a"],"data":[[1,2]]}'), "mine.json: "),
    "a newer net": (
        lambda path: rewrite(path, lambda t: t.update(version="99.0.0", format_version="99.0.0")),
        "pandapower cannot read this net",
    ),
    "no file": (lambda path: path.unlink(), "no such file"),
}


def with_controller() -> Any:
    net = small_net()
    pp.control.ConstControl(net, "load", "p_mw", 0)
    return net


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_or_broken_file_is_refused_and_runs_nothing(name: str, saved: Path) -> None:
    change, message = HOSTILE[name]
    change(saved)
    with pytest.raises(InputError, match=message) as refused:
        convert(saved)
    assert str(refused.value).startswith(str(saved))
    assert not (saved.parent / "ran").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("net.p", "a pickle runs code"),
        ("net.pkl", "a pickle runs code"),
        ("net.pickle", "to_json"),
        ("net.xlsx", "from_excel"),
        ("net.sqlite", "from_sqlite"),
        ("net.m", "only .json is read"),
        ("net", "only .json is read"),
    ],
)
def test_only_json_is_read(name: str, message: str, saved: Path) -> None:
    path = saved.rename(saved.parent / name)
    with pytest.raises(InputError, match=message):
        convert(path)


def test_a_folder_is_no_net(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        convert(tmp_path)


def test_a_huge_file_is_not_read(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neomflex_jax.grid.from_pandapower.json_file.MAX_BYTES", 1000)
    with pytest.raises(InputError, match="larger than"):
        convert(saved)


def test_an_unchecked_reader_is_not_used(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pp, "__version__", "3.5.3")
    with pytest.raises(InputError, match=r"pandapower 3\.5\.3 reads JSON without checking it; install 3\.5\.4"):
        convert(saved)


def test_importing_the_reader_does_not_import_pandapower() -> None:
    program = "import sys, neomflex_jax.grid.from_pandapower; assert 'pandapower' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
