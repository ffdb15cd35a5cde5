"""Nets with phases against `pandapower.runpp_3ph`, and what is refused of them."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandapower as pp
import pytest
from pandapower.networks import ieee_european_lv_asymmetric

import neomflex_jax as nf
from neomflex_jax.grid.unbalanced.write_folder import write_unbalanced_feeder

# runpp_3ph stops where powers are right to 3e-8 of this, whatever its tolerance
SMALL_BASE_MVA = 0.01
GRID = {"s_sc_max_mva": 80.0, "rx_max": 0.3, "x0x_max": 1.2, "r0x0_max": 0.4, "vm_pu": 1.02, "va_degree": 10.0}
LINE = {"r_ohm_per_km": 0.3, "x_ohm_per_km": 0.1, "c_nf_per_km": 300.0, "max_i_ka": 0.3, "g_us_per_km": 2.0}
ZERO = {"r0_ohm_per_km": 1.1, "x0_ohm_per_km": 0.4, "c0_nf_per_km": 140.0}
PLATE = {"sn_mva": 0.4, "vn_hv_kv": 20.0, "vn_lv_kv": 0.4, "vk_percent": 5.0, "vkr_percent": 1.2, "pfe_kw": 1.1}
ZERO_PLATE = {"vk0_percent": 4.8, "vkr0_percent": 1.1, "mag0_percent": 80.0, "mag0_rx": 0.3, "si0_hv_partial": 0.7}
TAPS = {"tap_side": "hv", "tap_neutral": 0, "tap_pos": 2, "tap_step_percent": 2.5, "tap_changer_type": "Ratio"}


def small_net(vector_group: str = "Dyn", shift_degree: float = 150.0) -> Any:
    """A grid of 20 kV, a transformer away from neutral, a ring with a line that hangs open, loads of every kind."""
    net = pp.create_empty_network()
    high, low, *others = [pp.create_bus(net, vn_kv) for vn_kv in (20.0, 0.4, 0.4, 0.4, 0.4)]
    pp.create_ext_grid(net, high, **GRID)
    names = {"vector_group": vector_group, "shift_degree": shift_degree, "i0_percent": 0.4, "parallel": 2}
    pp.create_transformer_from_parameters(net, high, low, **PLATE, **ZERO_PLATE, **TAPS, **names)
    for start, end, km in ((low, others[0], 0.2), (others[0], others[1], 0.3), (low, others[1], 0.4)):
        pp.create_line_from_parameters(net, start, end, km, **LINE, **ZERO)
    pp.create_line_from_parameters(net, others[1], low, 2.0, **LINE, **ZERO)
    pp.create_switch(net, low, 3, "l", closed=False)
    pp.create_switch(net, others[1], others[2], "b")
    powers = {"p_a_mw": 0.05, "q_a_mvar": 0.01, "p_b_mw": 0.002, "p_c_mw": 0.02, "q_c_mvar": -0.004}
    pp.create_asymmetric_load(net, others[0], **powers, scaling=1.3)
    pp.create_asymmetric_load(net, others[2], **powers, type="delta")
    pp.create_asymmetric_load(net, low, **powers, type="delta", in_service=False)
    pp.create_asymmetric_sgen(net, others[1], p_b_mw=0.03, q_b_mvar=0.002)
    pp.create_load(net, others[1], 0.06, 0.02)
    pp.create_load(net, others[0], 0.05, 0.01, type="delta")
    pp.create_sgen(net, others[2], 0.02, -0.003, type="wye")
    pp.create_asymmetric_load(net, high, p_a_mw=0.3, q_a_mvar=0.1)
    return net


@pytest.fixture(scope="module")
def read_only_net() -> Any:
    return small_net()


@pytest.fixture
def net(read_only_net: Any) -> Any:
    return deepcopy(read_only_net)


def far_from_pandapower(net: Any, sn_mva: float = SMALL_BASE_MVA) -> float:
    """Solve a net in both; return the largest difference of a complex voltage in pu."""
    with jax.enable_x64(True):
        feeder = nf.Feeder.from_pandapower(net)
        assert isinstance(feeder, nf.UnbalancedFeeder)
        flow = nf.nominal_power_flow(feeder)
        assert flow.converged
        ours = np.asarray(flow.vm_pu) * np.exp(1j * np.deg2rad(np.asarray(flow.va_degree)))
    net.sn_mva = sn_mva
    pp.runpp_3ph(net, tolerance_mva=1e-9, numba=False)
    by_phase = [
        net.res_bus_3ph[f"vm_{phase}_pu"] * np.exp(1j * np.deg2rad(net.res_bus_3ph[f"va_{phase}_degree"]))
        for phase in "abc"
    ]
    theirs = {f"{bus}.{number}": v[bus] for number, v in enumerate(by_phase, 1) for bus in net.bus.index}
    return max(abs(v - theirs[label]) for label, v in zip(feeder.node_labels, ours, strict=True))


def test_every_phase_has_the_voltage_and_current_of_runpp_3ph(net: Any) -> None:
    assert far_from_pandapower(net) < 1e-8
    feeder = nf.Feeder.from_pandapower(net)
    found = dict(zip(feeder.branch_labels, nf.nominal_power_flow(feeder).branch_i_ka.tolist(), strict=True))
    for number, phase in enumerate("abc", 1):
        for line in (0, 1, 2):
            expected = net.res_line_3ph[f"i_{phase}_from_ka"][line]
            assert found[f"line.{line}.{number}"] == pytest.approx(expected, rel=1e-4)
        assert found[f"trafo.0.{number}"] == pytest.approx(net.res_trafo_3ph[f"i_{phase}_hv_ka"][0], rel=1e-4)
    rated = dict(zip(feeder.branch_labels, feeder.branch_max_i_ka, strict=True))
    assert rated["trafo.0.2"] == pytest.approx(2 * 0.4 / (3**0.5 * 20))
    assert rated["line.1.3"] == 0.3


@pytest.mark.slow
@pytest.mark.parametrize(("group", "shift"), [("YNyn", 0.0), ("YNyn", 180.0), ("Dyn", 30.0)])
def test_other_vector_groups_have_too(group: str, shift: float) -> None:
    assert far_from_pandapower(small_net(group, shift)) < 1e-8


@pytest.mark.slow
def test_a_zigzag_winding_has_too() -> None:
    net = small_net("Yzn")
    assert far_from_pandapower(net, sn_mva=1.0) < 1e-7
    with pytest.raises(nf.InputError, match=r"multiplies by net\.sn_mva = 100"):
        net.sn_mva = 100.0
        nf.Feeder.from_pandapower(net)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["on_peak_566", "off_peak_1", "off_peak_1440"])
def test_the_european_feeder_has_too(scenario: str) -> None:
    net = ieee_european_lv_asymmetric(scenario)
    assert far_from_pandapower(net) < 1e-8
    net.asymmetric_load["scaling"] = np.random.default_rng(0).uniform(0.3, 1.3, len(net.asymmetric_load))
    assert far_from_pandapower(net) < 1e-8


def test_without_zero_sequence_or_when_asked_a_net_is_balanced(net: Any) -> None:
    assert isinstance(nf.Feeder.from_pandapower(net, phases=False), nf.Feeder)
    net.line = net.line.drop(columns=list(ZERO))
    net.trafo = net.trafo.drop(columns=[*ZERO_PLATE, "vector_group"])
    net.ext_grid = net.ext_grid.drop(columns=["x0x_max", "r0x0_max"])
    assert isinstance(nf.Feeder.from_pandapower(net), nf.Feeder)
    with pytest.raises(nf.InputError, match=r"net\.ext_grid 0 has no x0x_max"):
        nf.Feeder.from_pandapower(net, phases=True)


def test_a_load_of_three_unlike_phases_is_one_for_each(read_only_net: Any) -> None:
    loads = {load.name: load for load in nf.Feeder.from_pandapower(read_only_net).loads}
    assert loads["asymmetric_load.0.a"].p_mw == pytest.approx(0.065)
    assert loads["asymmetric_sgen.0.b"].p_mw == pytest.approx(-0.03)
    assert "asymmetric_sgen.0.a" not in loads
    assert loads["load.1"].connection == "delta" and loads["load.1"].n_phases == 3


def test_a_folder_keeps_it(read_only_net: Any, tmp_path: Path) -> None:
    feeder = nf.Feeder.from_pandapower(read_only_net)
    again = nf.load_feeder(write_unbalanced_feeder(feeder, tmp_path / "own"))
    assert again.node_labels == feeder.node_labels
    np.testing.assert_array_equal(again.sources[0].element.y_siemens, feeder.sources[0].element.y_siemens)
    for own, other in zip(feeder.elements, again.elements, strict=True):
        np.testing.assert_allclose(other.y_siemens, own.y_siemens, rtol=1e-12, atol=1e-12)


def put(table: str, column: str, value: object) -> Callable[[Any], None]:
    """Change the first row of a table."""

    def change(net: Any) -> None:
        net[table][column] = net[table][column].astype(object) if column in net[table] else None
        net[table].loc[0, column] = value

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (put("asymmetric_load", "type", None), "net.asymmetric_load 0 has type = ''; runpp_3ph leaves it out"),
        (put("sgen", "type", "PV"), "net.sgen 0 has type = 'PV'"),
        (put("load", "const_z_p_percent", 30.0), "net.load 0 has const_z_p_percent = 30"),
        (put("trafo", "vector_group", "Yy"), "net.trafo 0 has vector_group = 'Yy'; runpp_3ph solves Dyn, YNyn, Yzn"),
        (put("trafo", "xn_ohm", 2.0), "net.trafo 0 has xn_ohm = 2; an earthing impedance"),
        (put("trafo", "si0_hv_partial", 1.0), "net.trafo 0 has si0_hv_partial = 1"),
        (put("trafo", "vk0_percent", 0.0), "net.trafo 0 has vk0_percent = 0"),
        (put("ext_grid", "s_sc_max_mva", float("nan")), "net.ext_grid 0 has s_sc_max_mva = nan"),
        (put("line", "x0_ohm_per_km", None), "net.line 0 has x0_ohm_per_km = "),
        (put("switch", "closed", False), "net.sgen 0 is at bus 4, which nothing connects"),
        (lambda net: net.line.drop(columns="c0_nf_per_km", inplace=True), "net.line 0 has no c0_nf_per_km"),
        (lambda net: pp.create_shunt(net, 2, 0.1), "net.shunt 0 is not modelled with phases"),
        (lambda net: pp.create_ext_grid(net, 0, **GRID), "stand at one bus"),
    ],
)
def test_what_is_not_modelled_is_named(net: Any, change: Callable[[Any], object], told: str) -> None:
    if told.endswith("nothing connects"):
        net.switch.drop(0, inplace=True)
        net.switch.index = [0]
    change(net)
    with pytest.raises(nf.InputError) as refused:
        nf.Feeder.from_pandapower(net)
    assert told in str(refused.value)
