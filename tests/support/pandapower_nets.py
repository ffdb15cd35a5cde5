"""pandapower's published networks, a small net to change one thing of, and what tests of the import compare by.

Power flows of converted feeders are solved by `reference_flow`, so that these comparisons say something about the
import alone. Tolerances: pandapower stops at a mismatch of 1e-10 MVA, which in the weakest of these low-voltage nets is
some 1e-10 pu.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as nw
import pandas as pd
import pytest
from reference_flow import ReferenceFlow, solve_reference

from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.from_pandapower import fused_buses, read_columns

VM_PU = 1e-8
VA_DEGREE = 1e-6
POWER_MVA = 1e-8
LOADING_PERCENT = 1e-5


def convert(net: Any, name: str | None = None) -> Feeder:
    return Feeder.from_columns(read_columns(net, name))


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


def tap_table(net: Any) -> None:
    """All transformers follow a tap table of three steps and stand at the last."""
    net.trafo_characteristic_table = pd.DataFrame(
        {
            **{"id_characteristic": [0, 0, 1], "step": [0, 2, 2], "voltage_ratio": [1.0, 1.04, 0.97]},
            **{"angle_deg": [0.0, 3.0, -2.0], "vk_percent": [6.0, 5.0, 4.0], "vkr_percent": [1.4, 1.2, 1.0]},
        }
    )
    net.trafo[["tap_dependency_table", "id_characteristic_table", "tap_pos"]] = True, 0, 2


def three_winding_net(**values: Any) -> Any:
    """A three-winding transformer from bus 0 to a load at bus 1, and to bus 2 with a load and a line to bus 3."""
    net = pp.create_empty_network()
    for vn_kv in (110.0, 20.0, 10.0, 10.0):
        pp.create_bus(net, vn_kv)
    pp.create_ext_grid(net, 0, 1.02)
    plate = {"vn_hv_kv": 112.0, "vn_mv_kv": 20.5, "vn_lv_kv": 10.2, "sn_hv_mva": 63.0, "sn_mv_mva": 25.0}
    plate |= {"sn_lv_mva": 38.0, "vk_hv_percent": 10.4, "vk_mv_percent": 10.0, "vk_lv_percent": 10.2}
    plate |= {"vkr_hv_percent": 0.28, "vkr_mv_percent": 0.32, "vkr_lv_percent": 0.35, "pfe_kw": 350.0}
    plate |= {"i0_percent": 0.89, "shift_mv_degree": 30.0, "shift_lv_degree": 150.0}
    pp.create_transformer3w_from_parameters(net, 0, 1, 2, **(plate | values))
    pp.create_line_from_parameters(net, 2, 3, 1.0, 0.05, 0.1, 200.0, 1.0)
    for bus, p_mw, q_mvar in ((1, 18.0, 6.0), (2, 20.0, 7.0), (3, 5.0, -2.0)):
        pp.create_load(net, bus, p_mw, q_mvar)
    return net


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
    lossy = ("line", "trafo", "trafo3w", "impedance")
    theirs = sum(net[f"res_{branches}"]["pl_mw"].sum() for branches in lossy) + net.res_shunt["p_mw"].sum()
    wards_mw = (net.res_ward["p_mw"] - net.ward["ps_mw"])[net.ward["in_service"].astype(bool)]
    theirs += wards_mw.sum()  # their constant impedances are shunts here
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


def assert_equal_feeders(one: Feeder, other: Feeder, relative: float) -> None:
    assert one.topology == other.topology
    assert one.bus_labels == other.bus_labels
    for field in ("r_ohm", "x_ohm", "max_i_ka", "load_p_mw", "load_q_mvar", "vn_kv", "slack_vm_pu"):
        np.testing.assert_allclose(getattr(one, field), getattr(other, field), rtol=relative)
    for part in ("charging", "transformers", "shunts"):
        assert (getattr(one, part) is None) == (getattr(other, part) is None)
        for field, values in (vars(getattr(one, part)) if getattr(one, part) is not None else {}).items():
            np.testing.assert_allclose(values, getattr(getattr(other, part), field), rtol=relative)
