"""Loadings against pandapower's own columns, with deratings and parallel systems: exact methods, and estimates."""

from typing import Any

import numpy as np
import pandapower
import pandapower.networks
import pytest

import neomflex_jax as nf


@pytest.fixture(scope="module")
def cigre() -> tuple[nf.Feeder, np.ndarray]:
    """CIGRE's medium-voltage grid, derated and doubled, and `loading_percent` of its branches in service."""
    net: Any = pandapower.networks.create_cigre_network_mv()
    net.line["df"], net.line["parallel"], net.trafo["df"], net.trafo["parallel"] = 0.8, 2, 0.9, 2
    net.line["max_loading_percent"] = 70.0
    pandapower.runpp(net, tolerance_mva=1e-10, init="dc")
    feeder = nf.Feeder.from_pandapower(net)
    theirs = np.concatenate([net.res_line["loading_percent"], net.res_trafo["loading_percent"]])
    return feeder, np.where(feeder.topology.in_service, theirs, np.nan)


def loadings(feeder: nf.Feeder, method: str) -> np.ndarray:
    flow = nf.power_flow(feeder, -feeder.load_p_mw, -feeder.load_q_mvar, method)
    return np.asarray(flow.branch_loading_percent)


@pytest.mark.parametrize("method", ["ac", "newton"])
def test_exact_methods_give_pandapowers_loadings(cigre, float64, method: str) -> None:
    feeder, theirs = cigre
    known = np.isfinite(theirs)
    assert theirs[known].max() > 50
    np.testing.assert_allclose(loadings(feeder, method)[known], theirs[known], rtol=0, atol=1e-8)


@pytest.mark.parametrize(("method", "within"), [("calibrated", 1.0), ("lindistflow", 3.0), ("dc", 3.0)])
def test_the_others_estimate_them(cigre, float64, method: str, within: float) -> None:
    feeder, theirs = cigre
    off = (loadings(feeder, method) - theirs)[np.isfinite(theirs)]
    assert 1e-3 < np.abs(off).max() < within
    if method != "calibrated":
        assert off.min() < -0.9 * np.abs(off).max()  # without losses the large ones come out too low


def test_how_much_of_its_rating_a_branch_may_carry_is_read(cigre) -> None:
    feeder, _ = cigre
    assert feeder.max_loading_percent is not None
    lines = np.array([name not in ("0-1", "0-12") for name in feeder.branch_names])
    np.testing.assert_array_equal(feeder.max_loading_percent[lines], 70.0)
    assert np.isnan(feeder.max_loading_percent[~lines]).all()  # the transformers do not say


def test_three_windings_have_no_loading() -> None:
    net: Any = pandapower.create_empty_network()
    for vn_kv in (110.0, 20.0, 10.0):
        pandapower.create_bus(net, vn_kv)
    pandapower.create_ext_grid(net, 0)
    pandapower.create_transformer3w(net, 0, 1, 2, "63/25/38 MVA 110/20/10 kV")
    pandapower.create_load(net, 1, 5.0)
    feeder = nf.Feeder.from_pandapower(net)
    assert np.isnan(loadings(feeder, "ac")).all()
