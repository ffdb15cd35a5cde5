"""Loadings against pandapower's own columns, with deratings and parallel systems: exact methods, and estimates."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandapower
import pandapower.networks
import pytest
from pandapower_nets import set_in, several, three_winding_net

import neomflex_jax as nf
from neomflex_jax.errors import InputError
from neomflex_jax.grid.fingerprint import feeder_hash
from neomflex_jax.grid.to_csv import write_feeder


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


THREE_WINDINGS: dict[str, Callable[[Any], Any]] = {
    "three windings": lambda net: None,
    "iron at mv": set_in("trafo3w", loss_side="mv", i0_percent=9.0),
    "a tap": set_in("trafo3w", tap_side="mv", tap_pos=3, tap_neutral=0, tap_step_percent=1.5, tap_changer_type="Ratio"),
    "mv feeds in": set_in("load", 0, p_mw=-45.0),
    "lv open": several(
        set_in("trafo3w", i0_percent=9.0, loss_side="mv"),
        lambda net: pandapower.create_switch(net, 2, 0, et="t3", closed=False),
        lambda net: net.load.drop([1, 2], inplace=True),
    ),
    "mv open, without iron": several(
        set_in("trafo3w", i0_percent=0.0, pfe_kw=0.0),
        lambda net: pandapower.create_switch(net, 1, 0, et="t3", closed=False),
        lambda net: net.load.drop(0, inplace=True),
    ),
    "a generator": lambda net: pandapower.create_gen(net, 3, 4.0, 1.01),
    "in a ring": lambda net: pandapower.create_transformer_from_parameters(
        net, 1, 3, 30.0, 20.0, 10.2, 0.4, 9.0, 20.0, 0.2, shift_degree=120.0
    ),
}


BY_NEWTON = ("three windings", "lv open", "a generator", "in a ring")
CASES_AND_METHODS = [
    pytest.param(name, method, marks=[] if method == "ac" or name in BY_NEWTON else pytest.mark.slow)
    for name in THREE_WINDINGS
    for method in ("ac", "newton")
]


@pytest.mark.parametrize(("name", "method"), CASES_AND_METHODS)
def test_three_windings_are_loaded_as_in_pandapower(name: str, method: str, float64) -> None:
    net = three_winding_net()
    THREE_WINDINGS[name](net)
    pandapower.runpp(net, tolerance_mva=1e-10, init="dc")
    feeder = nf.Feeder.from_pandapower(net)
    own = dict(zip(feeder.branch_names, loadings(feeder, method), strict=True))
    whole = [own[branch] for branch in ("0-1", "1-2", "2-0", "0-2") if branch in own]
    if "1-2" in own:  # each branch has the winding that it ends at
        plate, theirs = net.trafo3w.iloc[0], net.res_trafo3w.iloc[0]
        for branch, side in (("0-1", "mv"), ("1-2", "lv"), ("2-0", "hv")):
            rated_ka = plate[f"sn_{side}_mva"] / np.sqrt(3) / plate[f"vn_{side}_kv"]
            assert own[branch] == pytest.approx(100 * theirs[f"i_{side}_ka"] / rated_ka, abs=1e-7), side
    assert max(whole) == pytest.approx(net.res_trafo3w["loading_percent"].item(), abs=1e-7)
    if "2-3" in own:
        assert own["2-3"] == pytest.approx(net.res_line["loading_percent"].item(), abs=1e-7)


def test_a_winding_carries_what_its_bus_takes(float64) -> None:
    """By hand: current of a load over that of the winding's power at its voltage; at hv, of what the slack delivers."""
    feeder = nf.Feeder.from_pandapower(three_winding_net())
    flow = nf.nominal_power_flow(feeder)
    own = dict(zip(feeder.branch_names, np.asarray(flow.branch_loading_percent), strict=True))
    mv_mva = abs(18 + 6j) / float(flow.vm_pu[1]) * 20.5 / 20
    assert own["0-1"] == pytest.approx(100 * mv_mva / 25, rel=1e-9)
    hv_mva = abs(complex(flow.slack_p_mw, flow.slack_q_mvar)) / 1.02 * 112 / 110
    assert own["2-0"] == pytest.approx(100 * hv_mva / 63, rel=1e-9)


def test_the_iron_on_one_side_of_the_leakage_counts(float64) -> None:
    """pandapower's transformer with uneven leakage ratios, whose magnetising branch is a shunt of the buses here."""
    net: Any = pandapower.networks.create_cigre_network_mv()
    uneven = {"leakage_resistance_ratio_hv": 0.1, "leakage_reactance_ratio_hv": 0.9, "i0_percent": 9.0}
    for column, value in uneven.items():
        net.trafo[column] = value
    pandapower.runpp(net, tolerance_mva=1e-10, init="dc")
    feeder = nf.Feeder.from_pandapower(net)
    own = dict(zip(feeder.branch_names, loadings(feeder, "ac"), strict=True))
    np.testing.assert_allclose([own["0-1"], own["0-12"]], net.res_trafo["loading_percent"], rtol=0, atol=1e-7)


@pytest.mark.parametrize("method", ["calibrated", "lindistflow", "dc"])
def test_the_others_estimate_windings(method: str, float64) -> None:
    net = three_winding_net()
    pandapower.runpp(net, tolerance_mva=1e-10, init="dc")
    feeder = nf.Feeder.from_pandapower(net)
    own = dict(zip(feeder.branch_names, loadings(feeder, method), strict=True))
    assert max(own["0-1"], own["1-2"], own["2-0"]) == pytest.approx(net.res_trafo3w["loading_percent"].item(), rel=0.1)


def test_a_folder_keeps_the_windings(tmp_path: Path, float64) -> None:
    net = three_winding_net(max_loading_percent=80.0)
    net.trafo3w["max_loading_percent"] = 80.0
    feeder = nf.Feeder.from_pandapower(net)
    write_feeder(feeder, tmp_path / "feeder")
    read = nf.Feeder.from_csv(tmp_path / "feeder")
    assert feeder_hash(read) == feeder_hash(feeder)
    np.testing.assert_array_equal(loadings(read, "ac"), loadings(feeder, "ac"))
    assert read.max_loading_percent is not None
    np.testing.assert_array_equal(read.max_loading_percent[-3:], 80.0)
    path = tmp_path / "feeder" / "windings.csv"
    rows = path.read_text("utf-8")
    path.write_text(rows.replace("2-0,", "2-9,"), "utf-8")
    with pytest.raises(InputError, match=r"windings.csv: line 4: branch '2-9' is none of branches.csv"):
        nf.Feeder.from_csv(tmp_path / "feeder")
    path.write_text("".join(rows.splitlines(keepends=True)[:3]), "utf-8")
    with pytest.raises(InputError, match="branch 0-1 is one of 2 branches of transformer 1; three windings"):
        nf.Feeder.from_csv(tmp_path / "feeder")


def test_windings_that_a_switch_joins_have_no_loading() -> None:
    net = three_winding_net(vn_mv_kv=10.2, shift_mv_degree=150.0)
    net.bus.loc[1, "vn_kv"] = 10.0
    pandapower.create_switch(net, 1, 2, et="b")
    feeder = nf.Feeder.from_pandapower(net)
    assert feeder.windings is None and np.isnan(feeder.max_i_ka[-2:]).all()
