"""The packaged low-voltage feeder: pandapower's own network, and pandapower's numbers."""

import json
import random

import numpy as np
import pandapower.networks
import pytest
from conftest import GOLDEN

import neomflex_jax as nf

FEEDERS = json.loads((GOLDEN / "low_voltage_feeders.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FEEDERS)
def test_sizes_and_loads(name):
    golden, feeder = FEEDERS[name], nf.load_feeder(name)
    assert feeder.n_bus == golden["n_bus"]
    assert sum(feeder.topology.in_service) == golden["n_branch_in_service"]
    assert feeder.topology.is_radial
    assert sorted(set(feeder.vn_kv.tolist()), reverse=True) == golden["vn_kv"]
    assert feeder.bus_labels[feeder.topology.slack] == golden["slack_bus"]
    assert feeder.bus_labels == tuple(range(golden["n_bus"]))
    assert (feeder.load_p_mw > 0).sum() == golden["n_load"]
    assert feeder.load_p_mw.sum() == pytest.approx(golden["load_p_mw"], rel=1e-14)
    assert feeder.load_q_mvar.sum() == golden["load_q_mvar"]
    assert np.isfinite(feeder.max_i_ka).all()
    assert feeder.transformers is not None and feeder.charging is not None


@pytest.mark.parametrize("name", FEEDERS)
def test_nominal_load_answers_the_golden_numbers(name, float64):
    golden, feeder = FEEDERS[name], nf.load_feeder(name)
    flow = nf.power_flow(feeder, -feeder.load_p_mw, -feeder.load_q_mvar)
    assert bool(flow.converged)
    assert float(flow.vm_pu.min()) == pytest.approx(golden["vm_min_pu"], abs=1e-9)
    assert feeder.bus_labels[int(flow.vm_pu.argmin())] == golden["vm_min_bus"]
    assert 1e3 * float(flow.loss_mw) == pytest.approx(golden["loss_kw"], abs=1e-6)
    assert float(flow.slack_p_mw) == pytest.approx(golden["slack_p_mw"], abs=1e-9)
    assert float(flow.slack_q_mvar) == pytest.approx(golden["slack_q_mvar"], abs=1e-9)
    two_levels = feeder.vn_kv[list(feeder.topology.from_bus)] != feeder.vn_kv[list(feeder.topology.to_bus)]
    assert two_levels.sum() == 1
    loading = np.asarray(flow.branch_loading_percent)
    assert loading[two_levels][0] == pytest.approx(golden["trafo_loading_percent"], abs=1e-6)
    assert loading[~two_levels].max() == pytest.approx(golden["line_loading_max_percent"], abs=1e-6)


def test_the_village_is_pandapowers_own():
    random.seed(0)  # pandapower draws the spurs' cable types
    net = pandapower.networks.create_kerber_dorfnetz()
    ours, theirs = nf.load_feeder("kerber_dorfnetz"), nf.Feeder.from_pandapower(net)
    assert ours.topology == theirs.topology and ours.bus_labels == theirs.bus_labels
    for name in ("r_ohm", "x_ohm", "max_i_ka", "load_p_mw", "load_q_mvar", "vn_kv"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(ours.charging.b_us, theirs.charging.b_us, rtol=1e-12)
    np.testing.assert_allclose(ours.transformers.rated_ratio, theirs.transformers.rated_ratio, rtol=1e-12)
