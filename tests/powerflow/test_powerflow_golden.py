"""AC power flow against numbers from elsewhere: published feeders at nominal load, pandapower at random injections."""

import json

import numpy as np
import pandapower
import pandapower.networks
import pytest
from conftest import GOLDEN

import neomflex_jax as nf

FEEDERS = json.loads((GOLDEN / "feeders.json").read_text(encoding="utf-8"))


def nominal(feeder: nf.Feeder) -> nf.PowerFlowResult:
    """Solve with every load at its nominal value."""
    return nf.power_flow(feeder, -feeder.load_p_mw, -feeder.load_q_mvar)


def test_case33bw_is_exact_in_float64(case33bw: nf.Feeder, float64: None) -> None:
    flow = nominal(case33bw)
    assert flow.vm_pu.dtype == np.float64
    assert bool(flow.converged)
    assert float(flow.loss_mw) * 1e3 == pytest.approx(202.677, abs=1e-3)
    assert float(flow.vm_pu.min()) == pytest.approx(0.913090, abs=1e-6)
    assert case33bw.bus_labels[int(flow.vm_pu.argmin())] == 17


def test_case33bw_is_right_to_five_digits_in_float32(case33bw: nf.Feeder) -> None:
    flow = nominal(case33bw)
    assert flow.vm_pu.dtype == np.float32
    assert bool(flow.converged)
    assert float(flow.loss_mw) * 1e3 == pytest.approx(202.677, abs=1e-2)
    assert float(flow.vm_pu.min()) == pytest.approx(0.913090, abs=1e-5)
    assert case33bw.bus_labels[int(flow.vm_pu.argmin())] == 17


@pytest.mark.parametrize("name", FEEDERS)
def test_published_feeders_answer_their_golden_numbers(name: str, float64: None) -> None:
    golden, feeder = FEEDERS[name], nf.load_feeder(name)
    flow = nominal(feeder)
    loss_mvar = float(flow.slack_q_mvar) - feeder.load_q_mvar.sum()
    assert float(flow.loss_mw) * 1e3 == pytest.approx(golden["loss_kw"], abs=1e-3)
    assert loss_mvar * 1e3 == pytest.approx(golden["loss_kvar"], abs=1e-3)
    assert float(flow.vm_pu.min()) == pytest.approx(golden["vm_min_pu"], abs=1e-6)
    first = feeder.bus_labels[feeder.topology.slack]  # the source counts from 1, `case33bw` here from 0
    assert feeder.bus_labels[int(flow.vm_pu.argmin())] == golden["vm_min_bus"] - golden["slack_bus"] + first


# ---- pandapower ----

N_CASES = 200


def random_injections(feeder: nf.Feeder) -> tuple[np.ndarray, np.ndarray]:
    """Loads 0 to 2 times nominal, both signs of q; in every second case generation beyond all load."""
    random = np.random.default_rng(33)
    size = (N_CASES, feeder.n_bus)
    p_mw = -random.uniform(0.0, 2.0, size) * feeder.load_p_mw
    q_mvar = -random.uniform(-2.0, 2.0, size) * feeder.load_q_mvar
    generation = random.uniform(0.0, 0.45, size) * (np.arange(feeder.n_bus) != feeder.topology.slack)
    p_mw[::2] += generation[::2]
    return p_mw, q_mvar


@pytest.fixture(scope="module")
def by_pandapower(case33bw: nf.Feeder) -> dict[str, np.ndarray]:
    """Solve the random injections with pandapower's own case33bw by Newton-Raphson, to 1e-10 MVA."""
    p_mw, q_mvar = random_injections(case33bw)
    net = pandapower.networks.case33bw()
    net.load.drop(net.load.index, inplace=True)
    for label in case33bw.bus_labels:
        pandapower.create_load(net, label, p_mw=0.0, q_mvar=0.0)
    bus = net.load.bus.to_numpy()
    answers: dict[str, list] = {"vm_pu": [], "va_degree": [], "loss_mw": [], "slack_p_mw": [], "slack_q_mvar": []}
    for p, q in zip(p_mw, q_mvar, strict=True):
        net.load["p_mw"], net.load["q_mvar"] = -p[bus], -q[bus]  # labels are positions here, a load is consumption
        pandapower.runpp(net, algorithm="nr", init="flat", tolerance_mva=1e-10, calculate_voltage_angles=True)
        solved = net.res_bus.loc[list(case33bw.bus_labels)]
        answers["vm_pu"].append(solved.vm_pu.to_numpy())
        answers["va_degree"].append(solved.va_degree.to_numpy())
        answers["loss_mw"].append(net.res_line.pl_mw.sum())
        answers["slack_p_mw"].append(net.res_ext_grid.p_mw.sum())
        answers["slack_q_mvar"].append(net.res_ext_grid.q_mvar.sum())
    return {name: np.array(values) for name, values in answers.items()}


def test_random_injections_agree_with_pandapower_in_float64(
    case33bw: nf.Feeder, by_pandapower: dict[str, np.ndarray], float64: None
) -> None:
    flow = nf.power_flow(case33bw, *random_injections(case33bw))
    assert bool(flow.converged.all())
    assert float(flow.residual_mva.max()) < 1e-8
    tolerances = {"vm_pu": 1e-6, "va_degree": 1e-4, "loss_mw": 1e-6, "slack_p_mw": 1e-6, "slack_q_mvar": 1e-6}
    for name, atol in tolerances.items():
        np.testing.assert_allclose(getattr(flow, name), by_pandapower[name], rtol=0, atol=atol, err_msg=name)


def test_random_injections_agree_with_pandapower_in_float32(
    case33bw: nf.Feeder, by_pandapower: dict[str, np.ndarray]
) -> None:
    flow = nf.power_flow(case33bw, *random_injections(case33bw))
    assert bool(flow.converged.all())
    np.testing.assert_allclose(flow.vm_pu, by_pandapower["vm_pu"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(flow.loss_mw, by_pandapower["loss_mw"], rtol=1e-4, atol=1e-5)


def test_the_random_injections_show_what_they_are_meant_to(by_pandapower: dict[str, np.ndarray]) -> None:
    exports = by_pandapower["slack_p_mw"] < 0
    assert 50 < exports.sum() < 150
    assert (by_pandapower["slack_q_mvar"] < 0).sum() > 20
    assert by_pandapower["vm_pu"].min() < 0.9
    assert by_pandapower["vm_pu"].max() > 1.05


def test_every_sign_of_an_injection_moves_the_import_as_documented(case33bw: nf.Feeder, float64: None) -> None:
    p, q = np.zeros(33), np.zeros(33)
    p[20] = 0.001
    up = nf.power_flow(case33bw, p, q)
    assert float(up.slack_p_mw) == pytest.approx(-0.001, rel=1e-3)
    assert float(up.vm_pu[20]) > 1.0
    down = nf.power_flow(case33bw, q, -p)
    assert float(down.slack_q_mvar) == pytest.approx(0.001, rel=1e-3)
    assert float(down.vm_pu[20]) < 1.0
