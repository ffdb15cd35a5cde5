"""Elements of pandapower beside lines and plain transformers: the same answers as `runpp`, nominal and random.

Each is solved by the package's own AC power flow in float64 and judged twice: by the net that has the element, and by
the net that `neomflex validate` builds of the feeder, in which the element is an equivalent of plain parts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from pandapower_nets import add, add_line, assert_same_flow, convert, fuse, set_in, several, small_net

from neomflex_jax.errors import InputError
from neomflex_jax.grid import Feeder
from neomflex_jax.grid.fingerprint import feeder_hash
from neomflex_jax.grid.to_csv import write_feeder
from validation.referee.feeder_check import check_feeder

WITHIN_PU = 1e-8
N_SAMPLES = 4


def three_windings(mv_kv: float = 6.0, **values: Any) -> Callable[[Any], Any]:
    """A three-winding transformer from bus 30 to the buses 60 and 61, each with a load."""
    plate = {"vn_hv_kv": 20.5, "vn_mv_kv": mv_kv, "vn_lv_kv": 0.7, "sn_hv_mva": 0.8, "sn_mv_mva": 0.5, "sn_lv_mva": 0.3}
    plate |= {f"vk_{side}_percent": vk for side, vk in (("hv", 5.0), ("mv", 3.0), ("lv", 5.0))}
    plate |= {f"vkr_{side}_percent": vkr for side, vkr in (("hv", 0.5), ("mv", 0.4), ("lv", 0.7))}
    plate |= {"pfe_kw": 1.5, "i0_percent": 0.8, "shift_mv_degree": 30.0, "shift_lv_degree": 150.0}

    def change(net: Any) -> None:
        for bus, vn_kv, p_mw in ((60, mv_kv, 0.2), (61, 0.69, 0.05)):
            pp.create_bus(net, vn_kv, index=bus)
            pp.create_load(net, bus, p_mw, 0.3 * p_mw)
        pp.create_transformer3w_from_parameters(net, 30, 60, 61, **(plate | values))

    return change


def opened(bus: int) -> Callable[[Any], Any]:
    """An open switch of the three-winding transformer at one of its buses, which loses its loads."""

    def change(net: Any) -> None:
        pp.create_switch(net, bus, 0, et="t3", closed=False)
        net.load.drop(net.load.index[net.load.bus == bus], inplace=True)

    return change


def tap(
    side: str, kind: str = "Ratio", position: int = 3, at_star: bool = False, degree: float = 0.0
) -> dict[str, Any]:
    values = {"tap_side": side, "tap_pos": position, "tap_neutral": 1, "tap_step_percent": 1.5}
    return values | {"tap_step_degree": degree, "tap_changer_type": kind, "tap_at_star_point": at_star}


ELEMENTS: dict[str, Callable[[Any], Any]] = {
    "series capacitor": lambda net: add_line(net, 25, 2, r_ohm_per_km=0.0, x_ohm_per_km=-0.2),
    "transformer of negative reactance": set_in("trafo", vk_percent=-4.0, tap_pos=2),
    "no-load current below 0": set_in("trafo", i0_percent=-0.9),
    "three windings": three_windings(),
    "three windings, one of negative reactance": three_windings(vk_lv_percent=7.0),
    "three windings, one of negative resistance": three_windings(vkr_hv_percent=1.5, vkr_mv_percent=0.2),
    "three windings without iron": three_windings(pfe_kw=0.0, i0_percent=0.0),
    "three windings, iron at mv": several(three_windings(), set_in("trafo3w", loss_side="mv")),
    "three windings, iron at the star": several(three_windings(), set_in("trafo3w", loss_side="star")),
    "three windings, two alike": three_windings(0.69, vn_mv_kv=0.7, shift_mv_degree=150.0),
    "three windings on a busbar": several(
        three_windings(0.69, vn_mv_kv=0.71, shift_mv_degree=150.0), fuse(60, 61), set_in("trafo3w", pfe_kw=3.0)
    ),
    "three windings, hv open": several(three_windings(), opened(30), lambda net: add_transformer_to(net, 60)),
    "three windings, lv open": several(three_windings(i0_percent=5.0), set_in("trafo3w", loss_side="lv"), opened(61)),
    "three windings, two open": several(three_windings(i0_percent=5.0), opened(60), opened(61)),
    "three windings, lv out of service": several(three_windings(), set_in("bus", 61, in_service=False)),
    "three windings in a ring": several(three_windings(), lambda net: add_transformer_to(net, 60)),
    "three windings out of service": several(
        three_windings(in_service=False), lambda net: net.load.drop([4, 5], inplace=True)
    ),
    "impedance": add("impedance", 25, 2, 0.01, 0.02, 0.1),
    "impedance with admittances": add(
        "impedance", 25, 2, 0.01, 0.02, 0.1, gf_pu=0.01, bf_pu=0.03, gt_pu=0.02, bt_pu=0.05
    ),
    "impedance of negative reactance": add("impedance", 25, 2, 0.01, -0.02, 0.1),
    "impedance between levels": several(
        set_in("trafo", shift_degree=0.0), add("impedance", 30, 7, 0.01, 0.04, 0.2, gf_pu=0.01, bt_pu=0.05)
    ),
    "impedance out of service": add("impedance", 25, 2, 0.01, 0.02, 0.1, bf_pu=0.3, in_service=False),
    "impedance to a bus out of service": several(
        add("bus", 0.4, index=60, in_service=False), add("impedance", 7, 60, 0.01, 0.02, 0.1, bf_pu=0.3)
    ),
    "svc at rest": add("svc", 7, 1.0, -10.0, 1.0, 130.0, controllable=False),
    "tcsc at rest": add("tcsc", 25, 2, 1.0, -10.0, -0.1, 100.0, controllable=False),
    "tcsc at rest, capacitive": add("tcsc", 25, 2, 1.0, -0.5, -0.1, 170.0, controllable=False),
    "svc and tcsc out of service": several(
        add("svc", 7, 1.0, -10.0, 1.0, 130.0, in_service=False),
        add("tcsc", 25, 2, 1.0, -10.0, -0.1, 142.0, in_service=False),
    ),
    "uneven leakage": set_in(
        "trafo", leakage_resistance_ratio_hv=0.2, leakage_reactance_ratio_hv=0.9, i0_percent=6.0, tap_pos=3
    ),
    "uneven leakage, open at hv": several(
        lambda net: pp.create_transformer(net, 30, 4, "0.25 MVA 20/0.4 kV"),
        set_in("trafo", 0, leakage_resistance_ratio_hv=0.5, leakage_reactance_ratio_hv=0.5),
        set_in("trafo", 1, leakage_resistance_ratio_hv=0.9, leakage_reactance_ratio_hv=0.8, i0_percent=6.0),
        add("switch", 30, 1, et="t", closed=False),
    ),
    **{
        f"three windings, {kind} tap at {side}{' of the star' if at_star else ''}": three_windings(
            **tap(side, kind, at_star=at_star, degree=degree)
        )
        for kind, degree in (("Ratio", 0.0), ("Symmetrical", 60.0))
        for side in ("hv", "mv", "lv")
        for at_star in (False, True)
    },
}


def add_transformer_to(net: Any, bus: int) -> None:
    """A second way to a bus of the three-winding transformer."""
    plate = {"sn_mva": 0.4, "vn_hv_kv": 20.0, "vn_lv_kv": float(net.bus.vn_kv[bus]), "vk_percent": 6.0}
    plate |= {"vkr_percent": 1.4, "pfe_kw": 0.8, "i0_percent": 0.9, "shift_degree": 30.0}
    pp.create_transformer_from_parameters(net, 30, bus, **plate)


@pytest.mark.filterwarnings("ignore:.*states what its power flow leaves out")
@pytest.mark.parametrize("name", ELEMENTS)
def test_an_element_is_what_pandapower_solves(name: str, tmp_path: Path) -> None:
    net, path = small_net(), tmp_path / "net.json"
    ELEMENTS[name](net)
    assert_same_flow(net)
    pp.to_json(net, str(path))
    feeder = Feeder.from_pandapower(net)
    write_feeder(feeder, tmp_path / "folder")
    assert Feeder.from_csv(tmp_path / "folder").bus_labels == feeder.bus_labels
    assert set(feeder.bus_labels) <= set(net.bus.index)
    for referee in (path, None):
        check = check_feeder(feeder, referee, n_samples=N_SAMPLES)
        assert check.agrees(WITHIN_PU), (referee, check.largest("vm_pu"), check.unsolved)


def set_in_impedance(**values: float) -> Callable[[Any], Any]:
    return several(add("impedance", 25, 2, 0.01, 0.02, 0.1), set_in("impedance", 0, **values))


REFUSED = {
    "no such winding": (three_windings(**tap("iv")), "net.trafo3w 0 has tap_side = 'iv'; it must be hv, mv or lv"),
    "no such changer": (three_windings(**tap("mv", "Tabular")), "net.trafo3w 0 has tap_changer_type = 'Tabular'"),
    "a winding without power": (three_windings(sn_mv_mva=0.0), "net.trafo3w 0 has sn_mv_mva = 0"),
    "more resistance than impedance": (three_windings(vkr_lv_percent=9.0), "vkr_lv_percent = 9; .* 0 to vk_lv_percent"),
    "a tap table": (three_windings(tap_dependency_table=True), "net.trafo3w 0 has tap_dependency_table"),
    "no way back": (
        add("impedance", 25, 2, 0.01, 0.02, 0.1, rtf_pu=0.0, xtf_pu=0.0),
        "net.impedance 0 has an impedance of r = 0 and x = 0 ohm, by its .*rtf_pu = 0",
    ),
    "a way back that is none": (set_in_impedance(rtf_pu=float("nan")), "net.impedance 0 has rtf_pu = nan"),
    "an endless way back": (set_in_impedance(xtf_pu=float("inf")), "net.impedance 0 has xtf_pu = inf"),
    "an impedance of no power": (add("impedance", 25, 2, 0.01, 0.02, 0.0), "net.impedance 0 has sn_mva = 0"),
    "leakage beyond all of it": (set_in("trafo", leakage_resistance_ratio_hv=1.4), "ratio_hv = 1.4; .* 0 to 1"),
    "svc without inductor": (add("svc", 7, 0.0, -10.0, 1.0, 130.0, controllable=False), "svc 0 has x_l_ohm = 0"),
    "no such bus": (several(three_windings(), set_in("trafo3w", mv_bus=99)), "net.trafo3w 0 stands at bus 99"),
    "another grid's": (three_windings(vn_lv_kv=20.0), "net.trafo3w 0 has an off-nominal ratio of"),
    "no switch there": (
        several(three_windings(), add("switch", 61, 0, et="t3", closed=False), set_in("switch", bus=7)),
        "net.switch 0 stands at bus 7 of trafo3w 0, which does not end there",
    ),
    "a winding without impedance": (
        three_windings(
            **{f"sn_{side}_mva": 1.0 for side in ("hv", "mv", "lv")},
            **{f"vk_{side}_percent": vk for side, vk in (("hv", 2.0), ("mv", 4.0), ("lv", 6.0))},
            **{f"vkr_{side}_percent": 0.0 for side in ("hv", "mv", "lv")},
        ),
        "net.trafo3w 0 has no impedance left for its mv winding",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_element_that_is_not_sound_is_refused_by_name(name: str) -> None:
    net = small_net()
    change, message = REFUSED[name]
    change(net)
    with pytest.raises(InputError, match=message):
        convert(net)


def test_the_star_of_three_windings_is_no_bus_of_the_feeder() -> None:
    net = small_net()
    three_windings()(net)
    feeder = convert(net)
    assert feeder.bus_labels == tuple(sorted(net.bus.index))
    assert feeder.topology.n_branch == len(net.line) + len(net.trafo) + 3
    rated_ka = [0.5 / 6.0, 0.3 / 0.7, 0.8 / 20.5]  # of the windings at mv, lv, hv, where the branches end
    np.testing.assert_allclose(feeder.max_i_ka[-3:], np.array(rated_ka) / np.sqrt(3))


def test_an_svc_that_holds_a_voltage_is_a_generator_without_power() -> None:
    """As in `runpp`, which gets there by the firing angle."""
    by_svc, by_generator = small_net(), small_net()
    pp.create_svc(by_svc, 7, 1.0, -10.0, 1.01, 130.0)
    pp.create_gen(by_generator, 7, p_mw=0.0, vm_pu=1.01)
    answers = []
    for net in (by_svc, by_generator):
        pp.runpp(net, tolerance_mva=1e-10, max_iteration=50, init="dc", calculate_voltage_angles=True)
        answers.append(net.res_bus["vm_pu"].to_numpy())
    np.testing.assert_allclose(*answers, rtol=0, atol=1e-9)
    assert feeder_hash(Feeder.from_pandapower(by_svc)) == feeder_hash(Feeder.from_pandapower(by_generator))
