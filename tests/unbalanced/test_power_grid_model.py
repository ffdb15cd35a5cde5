"""Nets of lines with phases against power-grid-model's asymmetric calculation, a third opinion beside `runpp_3ph`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandapower as pp
import pytest
from pandapower.networks import ieee_european_lv_asymmetric

import neomflex_jax as nf

pytest.importorskip("power_grid_model")
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from power_grid_answers import below_its_transformer, power_grid_voltages

GRID = {"s_sc_max_mva": 8.0, "rx_max": 0.3, "x0x_max": 1.2, "r0x0_max": 0.3, "vm_pu": 1.02, "va_degree": 10.0}
LINE = {"r_ohm_per_km": 0.3, "x_ohm_per_km": 0.1, "c_nf_per_km": 300.0, "max_i_ka": 0.3, "g_us_per_km": 2.0}
ZERO = {"r0_ohm_per_km": 1.1, "x0_ohm_per_km": 0.4, "c0_nf_per_km": 140.0}
POWERS = {"p_a_mw": 0.05, "q_a_mvar": 0.01, "p_b_mw": 0.002, "p_c_mw": 0.02, "q_c_mvar": -0.004}


def small_net() -> Any:
    """A ring of 0.4 kV, a double line that hangs open at one end, unlike loads and generation."""
    net = pp.create_empty_network()
    buses = [pp.create_bus(net, 0.4) for _ in range(5)]
    pp.create_ext_grid(net, buses[0], **GRID)
    for start, end, km, parallel in ((0, 1, 0.1, 1), (1, 2, 0.1, 1), (2, 3, 0.2, 1), (0, 3, 0.3, 1), (3, 4, 0.1, 2)):
        pp.create_line_from_parameters(net, buses[start], buses[end], km, parallel=parallel, **LINE, **ZERO)
    pp.create_line_from_parameters(net, buses[4], buses[1], 2.0, **LINE, **ZERO)
    pp.create_switch(net, buses[1], 5, "l", closed=False)
    pp.create_asymmetric_load(net, buses[1], **POWERS, scaling=1.3)
    pp.create_asymmetric_load(net, buses[4], **POWERS)
    pp.create_asymmetric_load(net, buses[0], **POWERS)
    pp.create_asymmetric_sgen(net, buses[2], p_b_mw=0.03, q_b_mvar=0.002)
    pp.create_load(net, buses[3], 0.06, 0.02)
    pp.create_sgen(net, buses[2], 0.02, -0.003, type="wye")
    return net


def far_from_power_grid_model(net: Any) -> float:
    """Largest difference of a complex voltage in pu."""
    with jax.enable_x64(True):
        feeder = nf.Feeder.from_pandapower(net)
        assert isinstance(feeder, nf.UnbalancedFeeder)
        flow = nf.nominal_power_flow(feeder)
        assert flow.converged
        ours = np.asarray(flow.vm_pu) * np.exp(1j * np.deg2rad(np.asarray(flow.va_degree)))
    assert ours.size == 3 * len(net.bus)
    return float(np.abs(ours - power_grid_voltages(net, feeder.node_labels)).max())


def test_lines_charging_a_loop_and_loads_by_phase_agree() -> None:
    net = small_net()
    assert far_from_power_grid_model(net) < 1e-8
    asked = nf.Feeder.from_pandapower(net).node_labels
    before = power_grid_voltages(net, asked)
    net.line.loc[2, "x0_ohm_per_km"] *= 1.01  # that it would see a slip of one per cent in one line
    assert np.abs(power_grid_voltages(net, asked) - before).max() > 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["on_peak_566", "off_peak_1"])
def test_the_european_feeder_below_its_transformer_agrees(scenario: str) -> None:
    net = below_its_transformer(ieee_european_lv_asymmetric(scenario))
    net.asymmetric_load["scaling"] = np.random.default_rng(0).uniform(0.3, 1.3, len(net.asymmetric_load))
    assert far_from_power_grid_model(net) < 1e-8
