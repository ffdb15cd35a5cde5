"""Power flow against hand-worked and independently computed answers, and the laws that every answer obeys."""

import dataclasses

import jax
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.grid.build import build_feeder
from neomflex_jax.powerflow import bind

pytestmark = pytest.mark.usefixtures("float64")

# ---- two buses, by hand ----

R_OHM, X_OHM, VN_KV, SLACK_VM_PU = 0.8, 0.5, 10.0, 1.02


def two_buses() -> nf.Feeder:
    """One line."""
    return build_feeder(
        name="two buses",
        bus_labels=[1, 2],
        vn_kv=[VN_KV, VN_KV],
        load_p_mw=[0.0, 1.0],
        load_q_mvar=[0.0, 0.5],
        branches=[(1, 2)],
        r_ohm=[R_OHM],
        x_ohm=[X_OHM],
        in_service=[True],
        max_i_ka=[0.2],
        slack_vm_pu=SLACK_VM_PU,
    )


LOADS = [(2.0, 1.0), (2.0, -1.0), (-3.0, 0.0), (-1.0, 2.5), (10.0, 5.0)]  # p, q drawn, MW and Mvar
R_PU, X_PU = R_OHM / VN_KV**2, X_OHM / VN_KV**2  # base 1 MVA


@pytest.mark.parametrize(("p", "q"), LOADS)
def test_ac_on_two_buses_is_the_larger_root_of_the_quadratic(p: float, q: float) -> None:
    flow = nf.power_flow(two_buses(), [0.0, -p], [0.0, -q])
    half = SLACK_VM_PU**2 / 2 - (R_PU * p + X_PU * q)
    u = half + np.sqrt(half**2 - (R_PU**2 + X_PU**2) * (p**2 + q**2))
    squared_current = (p**2 + q**2) / u
    assert float(flow.vm_pu[1]) == pytest.approx(np.sqrt(u), abs=1e-11)
    assert np.deg2rad(float(flow.va_degree[1])) == pytest.approx(
        -np.arctan2(X_PU * p - R_PU * q, u + R_PU * p + X_PU * q), abs=1e-11
    )
    assert float(flow.loss_mw) == pytest.approx(R_PU * squared_current, rel=1e-9)
    assert float(flow.slack_p_mw) == pytest.approx(p + R_PU * squared_current, rel=1e-9)
    assert float(flow.slack_q_mvar) == pytest.approx(q + X_PU * squared_current, rel=1e-9)
    i_ka = np.sqrt(squared_current) / (np.sqrt(3) * VN_KV)
    assert float(flow.branch_i_ka[0]) == pytest.approx(i_ka, rel=1e-9)
    assert float(flow.branch_loading_percent[0]) == pytest.approx(100 * i_ka / 0.2, rel=1e-9)


@pytest.mark.parametrize(("p", "q"), LOADS)
def test_lindistflow_on_two_buses_is_its_formula(p: float, q: float) -> None:
    flow = nf.power_flow(two_buses(), [0.0, -p], [0.0, -q], method="lindistflow")
    squared_current = (p**2 + q**2) / SLACK_VM_PU**2
    assert float(flow.vm_pu[1]) ** 2 == pytest.approx(SLACK_VM_PU**2 - 2 * (R_PU * p + X_PU * q), rel=1e-12)
    assert float(flow.loss_mw) == pytest.approx(R_PU * squared_current, rel=1e-12)
    assert float(flow.slack_p_mw) == pytest.approx(p + R_PU * squared_current, rel=1e-12)
    assert float(flow.slack_q_mvar) == pytest.approx(q + X_PU * squared_current, rel=1e-12)
    assert np.deg2rad(float(flow.va_degree[1])) == pytest.approx(-(X_PU * p - R_PU * q) / SLACK_VM_PU**2, rel=1e-12)
    assert float(flow.branch_i_ka[0]) == pytest.approx(np.sqrt(squared_current) / (np.sqrt(3) * VN_KV), rel=1e-12)


@pytest.mark.parametrize(("p", "q"), LOADS)
def test_dc_on_two_buses_is_an_angle_and_nothing_else(p: float, q: float) -> None:
    flow = nf.power_flow(two_buses(), [0.0, -p], [0.0, -q], method="dc")
    np.testing.assert_allclose(flow.vm_pu, SLACK_VM_PU)
    assert np.deg2rad(float(flow.va_degree[1])) == pytest.approx(-X_PU * p / SLACK_VM_PU**2, rel=1e-12)
    assert float(flow.loss_mw) == 0.0
    assert float(flow.slack_p_mw) == pytest.approx(p, rel=1e-12)


def test_without_a_rating_the_loading_is_not_available() -> None:
    feeder = dataclasses.replace(two_buses(), max_i_ka=np.array([np.nan]))
    for p in (0.0, 2.0):
        assert np.isnan(nf.power_flow(feeder, [0.0, -p], [0.0, 0.0]).branch_loading_percent[0])


# ---- a backward/forward sweep, in complex numbers and without matrices ----


def sweep(feeder: nf.Feeder, p_mw: np.ndarray, q_mvar: np.ndarray, tolerance: float = 1e-13) -> dict:
    """Solve by collecting currents from the leaves and carrying voltages from the slack."""
    topology, z_base = feeder.topology, feeder.vn_kv[0] ** 2
    z = (feeder.r_ohm + 1j * feeder.x_ohm) / z_base
    order, parent, frontier = [], {}, [topology.slack]
    while frontier:
        bus = frontier.pop(0)
        order.append(bus)
        for branch in np.flatnonzero(topology.in_service):
            for near, far in ((topology.from_bus, topology.to_bus), (topology.to_bus, topology.from_bus)):
                if near[branch] == bus and far[branch] not in order and far[branch] not in frontier:
                    parent[far[branch]] = (bus, branch)
                    frontier.append(far[branch])
    v = np.full(feeder.n_bus, feeder.slack_vm_pu, complex)
    for _ in range(2000):
        draw = np.conj(-(p_mw + 1j * q_mvar) / v)
        draw[topology.slack] = 0.0
        current = np.zeros(topology.n_branch, complex)
        for bus in reversed(order[1:]):
            above, branch = parent[bus]
            current[branch] = draw[bus]
            draw[above] += draw[bus]
        new = v.copy()
        for bus in order[1:]:
            above, branch = parent[bus]
            new[bus] = new[above] - z[branch] * current[branch]
        change, v = np.abs(new - v).max(), new
        if change < tolerance:
            break
    slack = v[topology.slack] * np.conj(draw[topology.slack])
    return {
        "vm_pu": np.abs(v),
        "va_degree": np.angle(v, deg=True),
        "loss_mw": (np.abs(current) ** 2 * z.real).sum(),
        "slack_p_mw": slack.real,
        "slack_q_mvar": slack.imag,
        "branch_i_ka": np.abs(current) / (np.sqrt(3) * feeder.vn_kv[0]),
        "converged": change < tolerance,
    }


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 3.0, -1.0])
def test_ac_agrees_with_a_backward_forward_sweep(case33bw: nf.Feeder, scale: float) -> None:
    p, q = -scale * case33bw.load_p_mw, -scale * case33bw.load_q_mvar
    flow, reference = nf.power_flow(case33bw, p, q), sweep(case33bw, p, q)
    assert reference["converged"]
    for name in ("vm_pu", "va_degree", "loss_mw", "slack_p_mw", "slack_q_mvar", "branch_i_ka"):
        np.testing.assert_allclose(getattr(flow, name), reference[name], rtol=1e-7, atol=1e-9, err_msg=name)


def test_ac_agrees_with_the_sweep_off_the_nominal_slack_voltage(case33bw: nf.Feeder) -> None:
    feeder = dataclasses.replace(case33bw, slack_vm_pu=np.float64(1.05))
    p, q = -feeder.load_p_mw, -feeder.load_q_mvar
    flow, reference = nf.power_flow(feeder, p, q), sweep(feeder, p, q)
    np.testing.assert_allclose(flow.vm_pu, reference["vm_pu"], atol=1e-9)
    np.testing.assert_allclose(flow.loss_mw, reference["loss_mw"], rtol=1e-8)


def test_open_ties_carry_no_current(case33bw: nf.Feeder) -> None:
    open_ties = ~np.array(case33bw.topology.in_service)
    for method in ("ac", "lindistflow", "dc"):
        flow = nf.power_flow(case33bw, -case33bw.load_p_mw, -case33bw.load_q_mvar, method=method)
        assert open_ties.sum() == 5
        np.testing.assert_array_equal(np.asarray(flow.branch_i_ka)[open_ties], 0.0)
        assert (np.asarray(flow.branch_i_ka)[~open_ties] > 0).all()


@pytest.mark.parametrize("method", ["ac", "lindistflow", "dc"])
def test_import_is_consumption_plus_losses(case33bw: nf.Feeder, method: str) -> None:
    random = np.random.default_rng(1)
    p = random.uniform(-0.3, 0.2, (4, 33))
    p[:, 0] = 0.0
    flow = nf.power_flow(case33bw, p, random.uniform(-0.2, 0.1, (4, 33)), method=method)
    np.testing.assert_allclose(flow.slack_p_mw, flow.loss_mw - p.sum(1), atol=1e-10)


def test_no_injection_means_no_flow(case33bw: nf.Feeder) -> None:
    for method in ("ac", "lindistflow", "dc"):
        flow = nf.power_flow(case33bw, np.zeros(33), np.zeros(33), method=method)
        np.testing.assert_array_equal(flow.vm_pu, 1.0)
        np.testing.assert_array_equal(flow.va_degree, 0.0)
        assert float(flow.loss_mw) == float(flow.slack_p_mw) == float(flow.residual_mva) == 0.0
        assert bool(flow.converged)


# ---- failure ----


def test_a_load_beyond_collapse_is_flagged_and_its_neighbours_are_not_touched(case33bw: nf.Feeder) -> None:
    scale = np.array([1.0, 4.0, 2.0, 50.0])[:, None]
    flow = nf.power_flow(case33bw, -scale * case33bw.load_p_mw, -scale * case33bw.load_q_mvar)
    np.testing.assert_array_equal(flow.converged, [True, False, True, False])
    for index in (0, 2):
        alone = nf.power_flow(case33bw, -scale[index] * case33bw.load_p_mw, -scale[index] * case33bw.load_q_mvar)
        np.testing.assert_allclose(flow.vm_pu[index], alone.vm_pu, atol=1e-12)
        np.testing.assert_allclose(flow.loss_mw[index], alone.loss_mw, atol=1e-12)


def test_too_few_sweeps_are_flagged_and_the_residual_says_how_far_off(case33bw: nf.Feeder) -> None:
    p, q = -case33bw.load_p_mw, -case33bw.load_q_mvar
    residuals = []
    for sweeps in (1, 4):
        flow = nf.power_flow(case33bw, p, q, ac_config=nf.AcConfig(max_iterations=sweeps))
        assert not bool(flow.converged)
        assert int(flow.iterations) == sweeps
        residuals.append(float(flow.residual_mva))
    assert residuals[0] > 100 * residuals[1] > 0


def test_the_residual_is_the_largest_bus_mismatch(case33bw: nf.Feeder) -> None:
    p, q = -case33bw.load_p_mw, -case33bw.load_q_mvar
    flow = nf.power_flow(case33bw, p, q, method="lindistflow")
    v = np.asarray(flow.vm_pu) * np.exp(1j * np.deg2rad(np.asarray(flow.va_degree)))
    topology, admittance = case33bw.topology, np.zeros((33, 33), complex)
    y = case33bw.vn_kv[0] ** 2 / (case33bw.r_ohm + 1j * case33bw.x_ohm)
    for a, b, y_branch, closed in zip(topology.from_bus, topology.to_bus, y, topology.in_service, strict=True):
        if closed:
            admittance[a, b] -= y_branch
            admittance[b, a] -= y_branch
            admittance[a, a] += y_branch
            admittance[b, b] += y_branch
    mismatch = np.abs(p + 1j * q - v * np.conj(admittance @ v))[1:]
    assert float(flow.residual_mva) == pytest.approx(mismatch.max(), rel=0.5)


def test_voltages_that_the_linear_model_cannot_have_are_flagged(case33bw: nf.Feeder) -> None:
    flow = nf.power_flow(case33bw, -20 * case33bw.load_p_mw, -20 * case33bw.load_q_mvar, method="lindistflow")
    assert not bool(flow.converged)


def test_impossible_stop_tests_are_refused() -> None:
    with pytest.raises(nf.InputError, match=r"tolerance_pu = 0.*between 0 and 1"):
        nf.AcConfig(tolerance_pu=0.0)
    with pytest.raises(nf.InputError, match=r"max_iterations = 0"):
        nf.AcConfig(max_iterations=0)


# ---- how far the linear methods are from AC ----

# load scale, largest voltage error in pu, relative error of the losses, plain sweeps to 1e-13 pu (independent sweep)
LINDISTFLOW_ERRORS = [
    (0.5, 6.2e-4, -0.06, 9),
    (1.0, 2.8e-3, -0.13, 12),
    (1.5, 7.4e-3, -0.20, 15),
    (2.0, 1.6e-2, -0.28, 18),
    (3.0, 5.9e-2, -0.46, 32),
]


@pytest.mark.parametrize(("scale", "voltage_error", "loss_error", "sweeps"), LINDISTFLOW_ERRORS)
def test_lindistflow_errs_by_the_published_amount_and_hides_under_voltage(
    case33bw: nf.Feeder, scale: float, voltage_error: float, loss_error: float, sweeps: int
) -> None:
    p, q = -scale * case33bw.load_p_mw, -scale * case33bw.load_q_mvar
    exact = nf.power_flow(case33bw, p, q, ac_config=nf.AcConfig(tolerance_pu=1e-13))
    linear = nf.power_flow(case33bw, p, q, method="lindistflow")
    error = np.asarray(linear.vm_pu - exact.vm_pu)
    assert error.min() >= -1e-12
    assert error.max() == pytest.approx(voltage_error, rel=0.03)
    assert float(linear.loss_mw / exact.loss_mw) - 1 == pytest.approx(loss_error, abs=0.006)
    assert int(exact.iterations) < sweeps


def test_lindistflow_becomes_exact_as_the_load_vanishes(case33bw: nf.Feeder) -> None:
    scale = np.array([0.1, 0.01, 0.001, 0.0001])[:, None]
    p, q = -scale * case33bw.load_p_mw, -scale * case33bw.load_q_mvar
    exact, linear = nf.power_flow(case33bw, p, q), nf.power_flow(case33bw, p, q, method="lindistflow")
    error = np.abs(np.asarray(linear.vm_pu - exact.vm_pu)).max(1)
    np.testing.assert_allclose(error[:-1] / error[1:], 100, rtol=0.05)  # second order
    assert (np.abs(np.asarray(linear.loss_mw / exact.loss_mw) - 1.0) < 0.15 * scale[:, 0]).all()
    assert (np.abs(np.asarray(linear.va_degree - exact.va_degree)).max(1) < 0.4 * scale[:, 0] ** 2).all()


def test_dc_angles_become_exact_as_the_load_vanishes(case33bw: nf.Feeder) -> None:
    scale = np.array([0.1, 0.01, 0.001, 0.0001])[:, None]
    p = -scale * case33bw.load_p_mw
    exact, dc = nf.power_flow(case33bw, p, 0 * p), nf.power_flow(case33bw, p, 0 * p, method="dc")
    error = np.abs(np.asarray(dc.va_degree - exact.va_degree)).max(1)
    np.testing.assert_allclose(error[:-1] / error[1:], 100, rtol=0.05)


@pytest.mark.parametrize("method", ["ac", "lindistflow"])
def test_what_is_at_the_slacks_bus_moves_its_import_alone(case33bw: nf.Feeder, method: str) -> None:
    p, q = -case33bw.load_p_mw, -case33bw.load_q_mvar
    at_slack = np.zeros(33)
    at_slack[0] = 0.5
    plain = nf.power_flow(case33bw, p, q, method=method)
    fed = nf.power_flow(case33bw, p + at_slack, q - at_slack, method=method)
    np.testing.assert_array_equal(fed.vm_pu, plain.vm_pu)
    assert float(fed.slack_p_mw) == pytest.approx(float(plain.slack_p_mw) - 0.5, abs=1e-6)
    assert float(fed.slack_q_mvar) == pytest.approx(float(plain.slack_q_mvar) + 0.5, abs=1e-6)


# ---- losses: of a radial grid from the buses' rises, with no branch flow ----


@pytest.mark.parametrize("network", ["dense", "tree", "sweep"])
@pytest.mark.parametrize("name", ["case33bw", "case69", "case141"])
def test_losses_of_a_radial_grid_are_those_of_its_branch_currents(name: str, network: str, float64: None) -> None:
    feeder = nf.load_feeder(name)
    factors = np.random.default_rng(0).uniform(-1.0, 1.5, (2, 20, feeder.n_bus))
    p, q = -factors[0] * feeder.load_p_mw, -factors[1] * feeder.load_q_mvar
    flow = nf.power_flow(feeder, p, q, method=bind(feeder, "ac", network=network))
    squared = 3.0 * np.asarray(flow.branch_i_ka) ** 2
    np.testing.assert_allclose(flow.loss_mw, squared @ feeder.r_ohm, rtol=1e-8)
    np.testing.assert_allclose(flow.slack_q_mvar + q.sum(1), squared @ feeder.x_ohm, rtol=1e-8)


@pytest.mark.parametrize("name", ["case33bw", "case141"])
@pytest.mark.parametrize("load", [0.01, 0.1, 1.0, 1.5])
def test_losses_keep_five_digits_in_single_precision(name: str, load: float) -> None:
    feeder = nf.load_feeder(name)
    factors = load * np.random.default_rng(0).uniform(0.0, 2.0, (2, 200, feeder.n_bus))
    p, q = -factors[0] * feeder.load_p_mw, -factors[1] * feeder.load_q_mvar
    double = nf.power_flow(feeder, p, q)
    assert bool(double.converged.all())
    with jax.enable_x64(False):
        single = np.asarray(nf.power_flow(feeder, p, q).loss_mw)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double.loss_mw, rtol=1e-5)
