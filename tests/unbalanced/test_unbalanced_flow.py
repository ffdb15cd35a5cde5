"""The power flow of feeders with phases against cases worked by hand, itself and difference quotients."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.grid.unbalanced import GROUND, Load, LoadModel
from neomflex_jax.grid.unbalanced.load_model import OPENDSS
from neomflex_jax.powerflow.unbalanced import bind_unbalanced
from neomflex_jax.powerflow.unbalanced.admittance import follows_of
from neomflex_jax.powerflow.unbalanced.unbalance import vuf_percent

LIMITED = LoadModel(*OPENDSS[1], v_min_pu=0.95, v_max_pu=1.05, v_low_pu=0.5, v_line_pu=0.5)


@pytest.fixture(scope="module")
def ieee13() -> nf.UnbalancedFeeder:
    return nf.load_feeder("ieee13")


@pytest.fixture(scope="module")
def cases(ieee13: nf.UnbalancedFeeder) -> tuple[nf.UnbalancedPowerFlow, np.ndarray, np.ndarray]:
    """A bound feeder and five random states."""
    factors = np.random.default_rng(0).uniform(0.3, 1.3, (5, ieee13.n_load))
    return nf.bind(ieee13), factors * ieee13.load_p_mw, factors * ieee13.load_q_mvar


@pytest.mark.slow
def test_single_precision_is_near_double(cases: tuple[nf.UnbalancedPowerFlow, np.ndarray, np.ndarray]) -> None:
    solver, p, q = cases
    flow = solver.solve(p, q)
    assert flow.vm_pu.dtype == jnp.float32 and flow.converged.all()
    assert flow.vm_pu.shape == (5, 41) and flow.vuf_percent.shape == (5, 11)
    with jax.enable_x64(True):
        exact = nf.bind(nf.load_feeder("ieee13")).solve(p, q)
    np.testing.assert_allclose(flow.vm_pu, exact.vm_pu, atol=2e-6)
    np.testing.assert_allclose(flow.loss_mw, exact.loss_mw, atol=2e-5)


@pytest.mark.slow
def test_a_batch_has_the_answers_of_its_cases_and_keeps_its_axes(
    cases: tuple[nf.UnbalancedPowerFlow, np.ndarray, np.ndarray],
) -> None:
    solver, p, q = cases
    together = solver.solve(p.reshape(5, 1, -1), q.reshape(5, 1, -1), ("vm_pu", "converged"))
    assert together.vm_pu.shape == (5, 1, 41) and together.va_degree is None
    alone = solver.solve(p[3], q[3])
    np.testing.assert_allclose(together.vm_pu[3, 0], alone.vm_pu, atol=1e-6)


def test_derivatives_are_difference_quotients(ieee13: nf.UnbalancedFeeder) -> None:
    with jax.enable_x64(True):
        solver, p, q = nf.bind(ieee13), jnp.asarray(ieee13.load_p_mw), jnp.asarray(ieee13.load_q_mvar)

        @jax.jit
        def lowest(p: jax.Array) -> jax.Array:
            return jnp.sum(solver(p, q).vm_pu[20:] ** 2)

        slope = jax.jit(jax.grad(lowest))(p)
        for load in (0, 4, 9):
            step = 1e-5 * jnp.eye(len(p))[load]
            expected = (lowest(p + step) - lowest(p - step)) / 2e-5
            np.testing.assert_allclose(slope[load], expected, rtol=1e-5, atol=1e-9)


def test_random_states_of_a_feeder_settle_in_four_evaluations() -> None:
    feeder = nf.load_feeder("ieee123")
    factors = np.random.default_rng(0).uniform(0.3, 1.3, (256, feeder.n_load))
    solver = nf.bind(feeder, ac_config=nf.AcConfig(tolerance_pu=1e-5))
    flow = solver.solve(factors * feeder.load_p_mw, factors * feeder.load_q_mvar, ("converged", "iterations"))
    assert flow.converged.all() and flow.iterations.max() == 4  # five without the slopes at nominal load


@pytest.mark.parametrize(("kind", "share"), [(1, 0.0), (5, 0.5), (2, 1.0)])  # constant power, current, impedance
def test_loads_of_one_model_follow_a_rise_by_its_share(ieee13: nf.UnbalancedFeeder, kind: int, share: float) -> None:
    loads = tuple(replace(load, model=LoadModel(*OPENDSS[kind])) for load in ieee13.loads)
    np.testing.assert_allclose(nf.bind(replace(ieee13, loads=loads)).network.own_slope, share, atol=1e-5)


def test_what_does_not_converge_says_so(ieee13: nf.UnbalancedFeeder) -> None:
    """Constant powers at any voltage: below their vminpu those of IEEE 13 become impedances, and have an answer."""
    loads = tuple(replace(load, model=LoadModel()) for load in ieee13.loads)
    p, q = (np.array([[1.0], [60.0]]) * load for load in (ieee13.load_p_mw, ieee13.load_q_mvar))
    flow = nf.bind(replace(ieee13, loads=loads)).solve(p, q)
    assert flow.converged.tolist() == [True, False]


def test_loads_near_the_most_that_a_feeder_carries_settle_with_their_derivatives() -> None:
    """Where the plain iteration contracts no more: at 3 times the load, all of it constant power."""
    feeder = nf.load_feeder("ieee123")
    feeder = replace(feeder, loads=tuple(replace(load, model=LoadModel()) for load in feeder.loads))
    with jax.enable_x64(True):
        solver, p, q = nf.bind(feeder), jnp.asarray(feeder.load_p_mw), jnp.asarray(feeder.load_q_mvar)
        scale = jnp.array([[1.0], [3.0], [3.1], [6.0]])
        flow = solver.solve(scale * p, scale * q)
        assert flow.converged.tolist() == [True, True, True, False]
        assert flow.iterations[0] < 20 < 100 < flow.iterations[1]  # the first is not touched
        assert flow.residual_mva[:3].max() < 1e-9 and 0.5 < flow.vm_pu[2].min() < flow.vm_pu[1].min() < 0.7

        @jax.jit
        def lowest(times: jax.Array) -> jax.Array:
            return jnp.sum(solver(times * p, times * q).vm_pu)

        expected = (lowest(3.0 + 1e-6) - lowest(3.0 - 1e-6)) / 2e-6
        for derivative in (jax.grad(lowest), jax.jacfwd(lowest)):
            np.testing.assert_allclose(derivative(jnp.asarray(3.0)), expected, rtol=1e-5)


def test_each_case_with_taps_of_its_own_goes_on_too() -> None:
    feeder = nf.load_feeder("ieee13")
    feeder = replace(feeder, loads=tuple(replace(load, model=LoadModel()) for load in feeder.loads))
    tap = ("transformer.reg1", 2)
    solver = nf.bind(feeder, taps=[tap])
    p, q = (np.tile(2.4 * load, (2, 1)) for load in (feeder.load_p_mw, feeder.load_q_mvar))
    flow = solver.solve(p, q, setting=nf.Setting(tap_ratio=np.array([[1.0], [1.05]])))
    assert flow.converged.all()
    for row, ratio in enumerate((1.0, 1.05)):
        alone = nf.bind(feeder.with_taps({tap: ratio})).solve(p[0], q[0])
        np.testing.assert_allclose(flow.vm_pu[row], alone.vm_pu, atol=2e-5)


@pytest.mark.slow
def test_power_that_is_fed_in_is_drawn_lost_or_returned(ieee13: nf.UnbalancedFeeder) -> None:
    """At nodes, by constant powers: what the source gives beyond them is lost."""
    p = np.zeros(ieee13.n_node)
    p[30:33] = -0.05
    flow = nf.power_flow(ieee13, p, np.zeros_like(p))
    assert flow.converged
    np.testing.assert_allclose(flow.slack_p_mw - 0.15, flow.loss_mw, atol=1e-5)
    with pytest.raises(nf.InputError, match="n_load = 41"):
        nf.power_flow(ieee13, p[:-1], p[:-1])
    with pytest.raises(nf.InputError, match="of balanced feeders alone"):
        nf.bind(ieee13, "newton")


def test_loads_that_ask_for_nothing_leave_the_voltages_without_load(ieee13: nf.UnbalancedFeeder) -> None:
    idle = replace(ieee13, loads=tuple(replace(load, p_mw=0.0, q_mvar=0.0) for load in ieee13.loads))
    flow = nf.nominal_power_flow(idle)
    v = np.linalg.solve(
        idle.admittance().toarray(), sum(dense_currents(source, idle.n_node) for source in idle.sources)
    )
    np.testing.assert_allclose(flow.vm_pu, np.abs(v) / (1000 * idle.v_base_kv), atol=1e-6)


def dense_currents(source: object, n_node: int) -> np.ndarray:
    """A source's currents at the nodes."""
    total = np.zeros(n_node + 1, complex)
    np.add.at(total, np.array(source.element.nodes), source.i_ampere)
    return total[:-1]


@pytest.mark.parametrize(
    ("model", "m", "k_p", "k_q"),
    [
        (LoadModel(), 0.8, 1 / 0.64, 1 / 0.64),
        (LIMITED, 1.1, 1 / 1.05**2, 1 / 1.05**2),
        # halfway from 0.5 to 0.95 pu the current is the mean of 0.5 and 1 / 0.95
        (LIMITED, 0.725, (0.5 + 1 / 0.95) / 2 / 0.725, (0.5 + 1 / 0.95) / 2 / 0.725),
        (LIMITED, 0.4, 1.0, 1.0),
        (LoadModel(*OPENDSS[3], v_min_pu=0.95, v_max_pu=1.05), 1.02, 1 / 1.02**2, 1.0),
        (LoadModel(p_exponent=0.8, q_exponent=3.0, v_min_pu=0.9, v_max_pu=1.1), 0.95, 0.95**-1.2, 0.95),
        (
            LoadModel((0.2, 0.3, 0.5), (0.0, 1.0, 0.0), v_min_pu=0.9, v_max_pu=1.1),
            0.95,
            0.2 + 0.3 / 0.95 + 0.5 / 0.9025,
            1 / 0.95,
        ),
    ],
)
def test_loads_follow_the_voltage_as_their_model_says(model: LoadModel, m: float, k_p: float, k_q: float) -> None:
    found = follows_of([model])(jnp.array([m**2]))
    np.testing.assert_allclose([part[0] for part in found], [k_p, k_q], rtol=1e-5)


def test_the_unbalance_factor_of_known_sequences() -> None:
    """One per unit of positive sequence, 0.03 of negative, 0.2 of zero: 3 %; and none where there is no voltage."""
    turn = np.exp(2j * np.pi / 3)
    v = 0.2 + np.array([1, turn**2, turn]) + 0.03 * np.exp(0.4j) * np.array([1, turn, turn**2])
    both = jnp.asarray(np.concatenate([v, np.zeros(3)]))
    found = vuf_percent(both.real, both.imag, np.array([[0, 1, 2], [3, 4, 5]]))
    np.testing.assert_allclose(found, [3, 0], atol=1e-5)


def test_what_devices_feed_in_at_nodes_is_a_load_of_negative_constant_power(ieee13: nf.UnbalancedFeeder) -> None:
    nodes, p_mw, q_mvar = ("611.3", "671.1", "680.2"), np.array([0.2, -0.3, 0.1]), np.array([0.05, 0.0, -0.1])
    places = [ieee13.node_labels.index(node) for node in nodes]
    beside = tuple(
        Load(f"load.{node}", (place, GROUND), 1, "wye", 2.4, -p, -q)
        for node, place, p, q in zip(nodes, places, p_mw, q_mvar, strict=True)
    )
    with jax.enable_x64(True):
        solver = bind_unbalanced(ieee13, device_nodes=nodes)
        flow = solver.solve(ieee13.load_p_mw, ieee13.load_q_mvar, p_injection_mw=p_mw, q_injection_mvar=q_mvar)
        same = nf.nominal_power_flow(replace(ieee13, loads=(*ieee13.loads, *beside)))
        without = solver.solve(ieee13.load_p_mw, ieee13.load_q_mvar)
        nominal = nf.nominal_power_flow(ieee13)
    np.testing.assert_allclose(flow.vm_pu, same.vm_pu, atol=1e-9)
    np.testing.assert_allclose(flow.loss_mw, same.loss_mw, atol=1e-9)
    np.testing.assert_allclose(without.vm_pu, nominal.vm_pu, atol=1e-9)
    assert np.abs(flow.vm_pu - without.vm_pu).max() > 0.005
    # 611.3 has a load whose branch takes the injection along
    assert len(solver.branches.load) == len(nf.bind(ieee13).branches.load) + 2


def test_injections_that_do_not_fit_are_refused(ieee13: nf.UnbalancedFeeder) -> None:
    with pytest.raises(nf.InputError, match=r"671\.5"):
        bind_unbalanced(ieee13, device_nodes=("671.5",))
    solver = bind_unbalanced(ieee13, device_nodes=("671.1",))
    with pytest.raises(nf.InputError, match="q_injection_mvar is missing"):
        solver.solve(ieee13.load_p_mw, ieee13.load_q_mvar, p_injection_mw=[0.1])
    with pytest.raises(nf.InputError, match=r"p_injection_mw has shape \(2,\); expected \(1,\)"):
        solver.solve(ieee13.load_p_mw, ieee13.load_q_mvar, p_injection_mw=[0.1, 0.2], q_injection_mvar=[0.0, 0.0])
