"""Single features of pandapower on a small net: the same voltages and loadings as `runpp`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandapower_nets import (
    LOADING_PERCENT,
    add,
    add_line,
    add_transformer,
    assert_same_flow,
    convert,
    fresh_bus,
    fuse,
    set_in,
    several,
    small_net,
    tap_table,
)

from neomflex_jax.grid import Feeder
from neomflex_jax.grid.to_csv import write_feeder


def shunt_table(net: Any) -> None:
    """Two shunts, one of which follows a table."""
    lines = {"id_characteristic": [0, 0], "step": [1, 2], "p_mw": [0.001, 0.002], "q_mvar": [-0.01, -0.03]}
    net.shunt_characteristic_table = pd.DataFrame(lines)
    add("shunt", 7, 0.0, 0.0, step=2, step_dependency_table=True, id_characteristic_table=0)(net)
    add("shunt", 25, 0.01, 0.001, step=2, step_dependency_table=False)(net)


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
    "shunts of a step table": shunt_table,
    "ward": add("ward", 7, 0.01, 0.004, 0.02, -0.01),
    "ward that feeds in": add("ward", 7, -0.02, 0.004, -0.005, 0.01),
    "ward out of service": add("ward", 7, 9.0, 9.0, 9.0, 9.0, in_service=False),
    "motor": add("motor", 7, 0.02, 0.9, efficiency_percent=93.0, loading_percent=80.0, scaling=1.1),
    "motor that generates": add("motor", 7, -0.02, 0.9, efficiency_percent=93.0, loading_percent=80.0),
    "asymmetric load": add("asymmetric_load", 7, 0.01, 0.002, 0.03, q_a_mvar=0.001, q_b_mvar=-0.002, scaling=1.3),
    "asymmetric sgen": add("asymmetric_sgen", 7, 0.01, 0.002, 0.03, q_a_mvar=0.001, q_c_mvar=-0.002, scaling=1.3),
    "transformer of negative resistance": set_in("trafo", vkr_percent=-1.4),
    "line of a reduced network": lambda net: add_line(net, 25, 2, r_ohm_per_km=-0.1, x_ohm_per_km=0.1),
    "impedance of negative resistance": add("impedance", 25, 2, -0.01, 0.02, 0.1),
    "tap table": tap_table,
    "tap table at lv": several(tap_table, set_in("trafo", tap_side="lv", id_characteristic_table=1)),
    "tap table whatever the kind": several(tap_table, set_in("trafo", tap_changer_type="Tabular")),
    "tap table without a side": several(tap_table, set_in("trafo", tap_side=None)),
    "tap of table and second by itself": several(
        tap_table,
        set_in("trafo", tap2_pos=-3.0, tap2_neutral=1.0, tap2_step_percent=1.5, tap2_step_degree=0.0),
        set_in("trafo", tap2_side="lv", tap2_changer_type="Ratio"),
    ),
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
    "switches with impedance in a ring": several(
        *(fresh_bus(bus) for bus in (60, 61)),
        *(fuse(*ends, z_ohm=z_ohm) for ends, z_ohm in (((25, 60), 0.02), ((60, 61), 0.1), ((61, 2), 0.2))),
        add("load", 61, p_mw=0.02),
    ),
    "switch with impedance beside a line": fuse(7, 25, z_ohm=0.03),
    "impedances in series": several(
        *(fresh_bus(bus) for bus in (60, 61)),
        add("impedance", 25, 60, 0.01, 0.02, 0.1),
        add("impedance", 60, 61, 0.02, 0.01, 0.5),
        add("load", 61, p_mw=0.02),
    ),
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


def test_limits_of_the_loading_are_read_and_kept(tmp_path: Path) -> None:
    net = small_net()
    several(set_in("line", 1, max_loading_percent=80.0), set_in("trafo", max_loading_percent=120.0))(net)
    feeder = convert(net)
    limits = np.full(feeder.topology.n_branch, np.nan)
    limits[[1, -1]] = 80.0, 120.0
    np.testing.assert_array_equal(feeder.max_loading_percent, limits)
    write_feeder(feeder, tmp_path / "written")
    np.testing.assert_array_equal(Feeder.from_csv(tmp_path / "written").max_loading_percent, limits)
    assert convert(small_net()).max_loading_percent is None


def test_a_transformer_rating_is_its_rated_current_at_lv() -> None:
    feeder = convert(small_net())
    assert feeder.transformers is not None
    assert feeder.max_i_ka[-1] == pytest.approx(0.25 / (np.sqrt(3) * 0.4))
    assert feeder.transformers.rated_ratio[-1] == pytest.approx(50.0)
    ends = feeder.topology.from_bus[-1], feeder.topology.to_bus[-1]
    assert [feeder.bus_labels[end] for end in ends] == [30, 4]
