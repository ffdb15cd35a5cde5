"""The kernels for accelerators, in Pallas's interpret mode on a CPU: the answers of products, and where they go."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.grid.library import feeder_names
from neomflex_jax.grid.topology import Topology
from neomflex_jax.powerflow.methods import ac as ac_method
from neomflex_jax.powerflow.methods import calibrated as calibrated_method
from neomflex_jax.powerflow.sweeps import accelerator, fused_ac, fused_calibrated, fused_rows, trials
from neomflex_jax.powerflow.sweeps.door import Sweep

AC = partial(fused_ac.solve_fused, interpret=True)
CALIBRATED = partial(fused_calibrated.solve_fused, interpret=True)
TRIALS = {"ac": (trials.try_ac, AC), "calibrated": (trials.try_calibrated, CALIBRATED)}
TRITON = "__gpu$xla.gpu.triton"


@pytest.mark.parametrize("method", TRIALS)
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_flows_that_follow_from_the_equations_alone_come_back(method: str, dtype: str) -> None:
    trial, solve = TRIALS[method]
    trial(np.dtype(dtype), solve)


@pytest.mark.parametrize("method", TRIALS)
def test_the_trial_sees_a_wrong_sum(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = fused_rows.backward

    def forgets_forks(tree: Any, sums: Any, visit: Callable[..., Any]) -> Any:
        return right(tree, sums, lambda row, below: visit(row, tuple(jnp.where(row == 3, 0.0, part) for part in below)))

    for module in (fused_ac, fused_calibrated):
        monkeypatch.setattr(module, "backward", forgets_forks)
    trial, solve = TRIALS[method]
    with pytest.raises(trials.WrongAnswerError):
        trial(np.dtype(np.float32), solve)


def all_feeders() -> nf.Feeder:
    """All packaged radial feeders on one slack, where their flows do not meet: a single compilation; per unit."""
    ends, impedances, loads, n_bus = [], [], [np.zeros((1, 2))], 1
    for name in feeder_names():
        feeder = nf.load_feeder(name)
        grid, slack = nf.bind(feeder).grid, feeder.topology.slack
        assert grid.topology.is_radial
        place = np.insert(n_bus + np.arange(feeder.n_bus - 1), slack, 0)
        closed = np.array(grid.topology.in_service)
        ends.append(place[np.stack([grid.topology.from_bus, grid.topology.to_bus])[:, closed]])
        impedances.append(np.stack([grid.r, grid.x])[:, closed])
        load = np.stack([feeder.load_p_mw, feeder.load_q_mvar], axis=1)
        loads.append(np.delete(load, slack, axis=0) / feeder.s_base_mva)
        n_bus += feeder.n_bus - 1
    (start, end), (r, x) = np.hstack(ends).tolist(), np.hstack(impedances).astype(float)
    p, q = np.vstack(loads).T
    return nf.Feeder(
        r_ohm=r,
        x_ohm=x,
        max_i_ka=np.ones(n_bus - 1),
        load_p_mw=p,
        load_q_mvar=q,
        vn_kv=np.ones(n_bus),
        slack_vm_pu=np.array(1.0),
        topology=Topology(n_bus, 0, tuple(start), tuple(end), (True,) * (n_bus - 1)),
        bus_labels=tuple(range(n_bus)),
        name="all feeders",
    )


@pytest.fixture
def by_kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take the kernels, interpreted, where a CPU takes machine code."""

    def ac(grid: Any, own: None, p: jax.Array, q: jax.Array, tolerance: float, max_iterations: int) -> Any:
        assert own is None
        return AC(grid, p, q, tolerance, max_iterations)

    monkeypatch.setattr(ac_method, "ac_by_sweeps", ac)
    monkeypatch.setattr(calibrated_method, "calibrated_by_sweeps", CALIBRATED)
    yield


def cases(feeder: nf.Feeder, n_cases: int) -> tuple[jax.Array, jax.Array]:
    factors = np.random.default_rng(1).uniform(-1.0, 1.5, (2, n_cases, feeder.n_bus))
    return jnp.asarray(-factors[0] * feeder.load_p_mw, float), jnp.asarray(-factors[1] * feeder.load_q_mvar, float)


def solve(feeder: nf.Feeder, p: jax.Array, q: jax.Array, sweeps: bool, **keywords: Any) -> nf.PowerFlowResult:
    network = "auto" if sweeps else "dense"
    return jax.jit(jax.vmap(nf.bind(feeder, network=network, sweeps=sweeps, **keywords)))(p, q)


@pytest.mark.usefixtures("by_kernel")
def test_every_packaged_radial_feeder_has_the_voltages_of_products() -> None:
    feeder = all_feeders()
    assert feeder.n_bus == 1 + sum(nf.load_feeder(name).n_bus - 1 for name in feeder_names())
    p, q = cases(feeder, 3)
    fused, products = (solve(feeder, p, q, sweeps) for sweeps in (True, False))
    assert bool(fused.converged.all() & products.converged.all())
    np.testing.assert_array_equal(fused.iterations, products.iterations)
    np.testing.assert_allclose(fused.vm_pu, products.vm_pu, rtol=0, atol=2e-7)


@pytest.mark.usefixtures("by_kernel")
@pytest.mark.parametrize("name", ["case85", pytest.param("all feeders", marks=pytest.mark.slow)])
def test_double_precision_is_double(name: str, float64: None) -> None:
    feeder = all_feeders() if name == "all feeders" else nf.load_feeder(name)
    p, q = cases(feeder, 3)
    config = nf.AcConfig(tolerance_pu=1e-13)  # at which both stop nearer to the answer than they shall be to each other
    fused, products = (solve(feeder, p, q, sweeps, ac_config=config) for sweeps in (True, False))
    np.testing.assert_allclose(fused.vm_pu, products.vm_pu, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("by_kernel")
@pytest.mark.parametrize("n_cases", [1, pytest.param(33, marks=pytest.mark.slow), 4097])
def test_a_case_without_a_solution_changes_no_other(n_cases: int, case33bw: nf.Feeder) -> None:
    p, q = cases(case33bw, n_cases)
    if n_cases > 1:
        p, q = p.at[7].multiply(50.0), q.at[7].multiply(50.0)
    config = nf.AcConfig(max_iterations=20)
    fused, products = (solve(case33bw, p, q, sweeps, ac_config=config) for sweeps in (True, False))
    np.testing.assert_array_equal(fused.converged, products.converged)
    assert int(jnp.sum(~fused.converged)) == int(n_cases > 1)
    good = np.asarray(fused.converged)
    np.testing.assert_allclose(fused.vm_pu[good], products.vm_pu[good], rtol=0, atol=3e-7)
    np.testing.assert_array_equal(fused.iterations, products.iterations)


@pytest.fixture(scope="module")
def flows(case33bw: nf.Feeder) -> dict[str, nf.PowerFlow]:
    """Both methods that sweep, on case33bw."""
    return {method: nf.bind(case33bw, method) for method in TRIALS}


@pytest.mark.usefixtures("by_kernel")
@pytest.mark.parametrize("method", TRIALS)
def test_values_and_derivatives_of_a_single_case_are_those_of_products(
    method: str, flows: dict[str, nf.PowerFlow], case33bw: nf.Feeder
) -> None:
    p, q = (each[0] for each in cases(case33bw, 1))

    def value_and_slope(flow: nf.PowerFlow) -> tuple[jax.Array, jax.Array]:
        return jax.jit(jax.value_and_grad(lambda p: flow(p, q).vm_pu[17] + flow(p, q).loss_mw))(p)

    (found, slope), (expected, known) = (value_and_slope(each) for each in (flows[method], flows[method].by_products()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-7)
    assert float(jnp.abs(known).max()) > 1e-3
    np.testing.assert_allclose(slope, known, rtol=0, atol=1e-6)


def lowered(flow: nf.PowerFlow, platform: str) -> str:
    zeros = jnp.zeros((3, flow.n_node))
    return jax.jit(jax.vmap(flow)).trace(zeros, zeros).lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize("method", TRIALS)
def test_what_is_compiled_for_cuda_has_the_kernel_and_nothing_else_has(
    method: str, flows: dict[str, nf.PowerFlow]
) -> None:
    assert TRITON in lowered(flows[method], "cuda")
    assert TRITON not in lowered(flows[method].by_products(), "cuda")
    assert TRITON not in lowered(flows[method], "tpu")
    assert TRITON not in lowered(flows[method], "cpu")


def test_ratios_of_each_cases_own_take_products(flows: dict[str, nf.PowerFlow]) -> None:
    flow, zeros = flows["ac"], jnp.zeros((3, 33))
    program = jax.jit(jax.vmap(lambda p, q: flow(p, q, nf.powerflow.Setting(shunt_mvar=q))))
    assert TRITON not in program.trace(zeros, zeros).lower(lowering_platforms=("cuda",)).as_text()


def test_a_kernel_that_cannot_be_made_is_one_warning_and_products(
    flows: dict[str, nf.PowerFlow], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise NotImplementedError("no such operation in Triton\nand more")

    monkeypatch.setattr(accelerator, "_found", {})
    monkeypatch.setattr(fused_ac, "fused_call", failing)
    with pytest.warns(
        RuntimeWarning, match="no kernel of ac for the accelerator: NotImplementedError: no such"
    ) as told:
        texts = [lowered(flows["ac"], "cuda"), lowered(flows["ac"], "cuda")]
    assert len(told) == 1
    assert all(TRITON not in text for text in texts)
    assert not accelerator.can_fuse(Sweep.AC, "float32")
    monkeypatch.setattr(accelerator, "_found", {})
    monkeypatch.setenv("NEOMFLEX_SWEEPS", "off")
    assert not accelerator.can_fuse(Sweep.CALIBRATED, "float32")
    assert accelerator._found == {}  # nothing was tried


def test_the_kernel_can_be_exported_by_who_says_so_and_is_left_out_otherwise(flows: dict[str, nf.PowerFlow]) -> None:
    grid, zeros, more = flows["ac"].grid, jnp.zeros((3, 32)), jnp.zeros((3, 33))
    own = jax.export.DisabledSafetyCheck.custom_call(TRITON)
    program = jax.jit(lambda p, q: fused_ac.solve_fused(grid, p, q, 1e-6, 100))
    assert TRITON in jax.export.export(program, platforms=["cuda"], disabled_checks=[own])(zeros, zeros).mlir_module()
    program = jax.jit(jax.vmap(flows["ac"]))
    assert TRITON not in jax.export.export(program, platforms=["cuda", "tpu"])(more, more).mlir_module()


@pytest.mark.device
@pytest.mark.parametrize("method", TRIALS)
def test_this_device_has_the_voltages_of_products(
    method: str, flows: dict[str, nf.PowerFlow], case33bw: nf.Feeder
) -> None:
    p, q = cases(case33bw, 100)
    found, expected = (jax.jit(jax.vmap(each))(p, q) for each in (flows[method], flows[method].by_products()))
    assert bool(found.converged.all())
    np.testing.assert_allclose(found.vm_pu, expected.vm_pu, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.loss_mw, expected.loss_mw, rtol=1e-4)


@pytest.mark.device
@pytest.mark.parametrize("sweep", [Sweep.AC, Sweep.CALIBRATED])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_kernel_passes_its_trial_on_the_card(sweep: Sweep, dtype: str) -> None:
    if jax.default_backend() == "cpu":
        pytest.skip("there is no card")
    assert accelerator.fault(sweep, dtype) == ""
