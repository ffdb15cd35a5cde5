"""What the model does not hold is refused, naming element, row and reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandapower_nets import (
    add,
    add_line,
    add_transformer,
    convert,
    fresh_bus,
    fuse,
    set_in,
    several,
    small_net,
    tap_table,
)

from neomflex_jax.errors import InputError


def plain_table(**values: Any) -> pd.DataFrame:
    return pd.DataFrame({name: [value] for name, value in values.items()})


REFUSALS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "gen of no voltage": (add("gen", 7, p_mw=0.1, vm_pu=3.0), "net.gen 0 has vm_pu = 3"),
    "gen nobody supplies": (several(fresh_bus(60), add("gen", 60, 0.1)), "net.gen 0 is at bus 60"),
    "two voltages at a bus": (
        several(add("gen", 7, 0.1, vm_pu=1.01, name="mill"), add("gen", 7, 0.1, vm_pu=1.02)),
        r"net.gen 0 \('mill'\) and net.gen 1 hold one bus, 7, at 1.01 and 1.02 pu",
    ),
    "gen against the slack": (add("gen", 10, 0.1, vm_pu=1.0), "net.ext_grid 0 and net.gen 0 hold one bus, 10"),
    "two slacks at one bus": (
        add("ext_grid", 10, vm_pu=1.02, name="standby"),
        "net.ext_grid 0, net.ext_grid 1 .*standby.* two stand at one bus.* Keep one in service",
    ),
    "slacks of islands": (
        several(set_in("line", 2, in_service=False), add("ext_grid", 25, vm_pu=1.0)),
        "net.ext_grid 0, net.ext_grid 1: they feed islands.* islands=True.* pandapower.toolbox.select_subnet",
    ),
    "no slack": (set_in("ext_grid", in_service=False), "external grids in service: none"),
    "slack at a dead bus": (set_in("bus", 10, in_service=False), "feeds bus 10, which is not in service"),
    "slack at no bus": (set_in("ext_grid", bus=77), "feeds bus 77"),
    "slack voltage": (set_in("ext_grid", vm_pu=3.0), "net.ext_grid 0 has vm_pu = 3"),
    "xward without impedance": (add("xward", 7, 0, 0, 0, 0, 0, 0, 1.0), "net.xward 0 has an impedance of r = 0 and x"),
    "xward of no voltage": (add("xward", 7, 0, 0, 0, 0, 0.1, 0.1, 9.0), "net.xward 0 has vm_pu = 9"),
    "ward nobody supplies": (several(fresh_bus(60), add("ward", 60, 0.1, 0, 0, 0)), "net.ward 0 is at bus 60"),
    "dcline of no voltage": (add("dcline", 7, 2, 0.1, 1, 0.1, 1, 9), "net.dcline 0 has vm_to_pu = 9"),
    "motor of no power factor": (add("motor", 7, 0.01, 0.0), "net.motor 0 has cos_phi = 0"),
    "motor of no efficiency": (add("motor", 7, 0.01, 0.9, efficiency_percent=0.0), "efficiency_percent = 0"),
    "asymmetric load nobody supplies": (
        several(fresh_bus(60), add("asymmetric_load", 60, p_b_mw=0.1)),
        "net.asymmetric_load 0 is at bus 60",
    ),
    "svc beyond any voltage": (add("svc", 7, 1, -10, 2.0, 145), "net.svc 0 has set_vm_pu = 2; it must lie in 0.5"),
    "tcsc": (add("tcsc", 7, 2, 1, -10, -100, 142), "net.tcsc 0"),
    "ssc": (add("ssc", 7, 0, 1, 1.0), "net.ssc 0"),
    "vsc": (lambda net: net.update(vsc=plain_table(bus=7, in_service=True)), "net.vsc 0"),
    "dc bus": (add("bus_dc", 0.4), "net.bus_dc 0"),
    "dc line": (lambda net: net.update(line_dc=plain_table(in_service=True)), "net.line_dc 0"),
    "future element": (lambda net: net.update(fusion=plain_table(bus=7)), "net.fusion 0 is in service"),
    "more than all of a load": (
        set_in("load", 2, const_z_p_percent=70.0, const_i_p_percent=40.0),
        r"net.load 2 \('load at 2'\) has const_i_p_percent \+ const_z_p_percent = 110; .* at most 100",
    ),
    "old constant impedance": (set_in("load", 1, const_z_percent=5.0), "net.load 1 .*const_z_percent = 5"),
    "tap table": (set_in("trafo", tap_dependency_table=True), "net.trafo 0 has tap_dependency_table"),
    "tap-dependent impedance": (set_in("trafo", tap_dependent_impedance=1.0), "net.trafo 0 has tap_dependent_imp"),
    "joined buses that follow unlike": (
        several(set_in("load", 1, const_z_p_percent=70.0), fuse(7, 25)),
        "loads at buses 7 and 25, which closed switches make one, follow the voltage unlike.* one share",
    ),
    "tap table without the tap": (several(tap_table, set_in("trafo", tap_pos=1)), "tap_pos = 1; .* and has 0"),
    "one tap table at two taps": (
        several(lambda net: add_transformer(net), tap_table, set_in("trafo", 1, tap_pos=0)),
        "net.trafo 0 and net.trafo 1 follow one table, .* tap_pos = 2 and 0.* a table of its own",
    ),
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
    "transformer short circuit": (
        set_in("trafo", vkr_percent=7.0),
        "= 7; it must lie in 0 to vk_percent = ",
    ),
    "transformer short circuit, by rounding": (
        set_in("trafo", vk_percent=6.0, vkr_percent=6.0000000000001),
        "vkr_percent = 6.0000000000001; it must lie in 0 to vk_percent = 6$",
    ),
    "transformer rating factor": (set_in("trafo", df=0.0), "df = 0"),
    "transformer of another grid": (
        set_in("trafo", vn_lv_kv=20.0),
        "off-nominal ratio of 0.02, by its .*vn_lv_kv = 20.* 20 and 0.4 kV",
    ),
    "transformer upon itself": (set_in("trafo", lv_bus=30, vn_lv_kv=20.0), "net.trafo 0 joins"),
    "line of negative resistance": (
        lambda net: add_line(net, 7, 2, r_ohm_per_km=-1.0),
        r"4 has an impedance .*r_ohm_per_km = -1",
    ),
    "line without impedance": (
        set_in("line", 1, length_km=0.0),
        "an impedance .*length_km = 0; .*bus-bus switch",
    ),
    "line between levels": (lambda net: add_line(net, 30, 7), "net.line 4 has ends of 20 and 0.4 kV"),
    "line without length": (set_in("line", 2, length_km=np.nan), "net.line 2 has length_km = nan"),
    "line parallel": (set_in("line", 2, parallel=0), "net.line 2 has parallel = 0"),
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
    "bus twice": (lambda net: net.update(bus=pd.concat([net.bus, net.bus])), "the number .* stands at several rows"),
    "buses of words": (
        lambda net: net.bus.__setattr__("index", net.bus.index.map(str)),
        "one is called '.*create_continuous_bus_index",
    ),
    "lines of words": (lambda net: net.line.__setattr__("index", list("abcd")), "called 'a'.*reset_index"),
    "a load without end": (
        set_in("load", 0, p_mw=np.inf),
        r"net.load 0 .* p_mw = inf; it must be of at most 1e\+12",
    ),
    "a load of another world": (set_in("load", 0, p_mw=1e200), r"net.load 0 .* has p_mw = 1e\+200; it must be of at"),
    "transformer of no power": (set_in("trafo", sn_mva=1e-300), "net.trafo 0 has sn_mva = 1e-300; it must be above 0"),
    "transformer iron": (set_in("trafo", pfe_kw=-1.0), "net.trafo 0 has pfe_kw = -1; it must be at least 0"),
    "line conductance": (set_in("line", 1, g_us_per_km=-1.0), "net.line 1 has g_us_per_km = -1"),
    "slack alone": (
        several(set_in("line", 0, in_service=False), lambda net: net.load.drop(net.load.index, inplace=True)),
        "bus 10 is alone",
    ),
    "frequency": (lambda net: net.update(f_hz="fast"), "net.f_hz = 'fast'"),
    "table that is none": (lambda net: net.update(line={"a": 1}), "net.line is a dict"),
    "nothing but the slack": (set_in("line", 0, in_service=False), "bus 10 is alone"),
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
