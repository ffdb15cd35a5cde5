"""Batches of any length: chunks and threads change nothing, and what is not asked for is left out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from result_fields import FIELDS

import neomflex_jax as nf
from neomflex_jax.grid.build import build_feeder
from neomflex_jax.powerflow import PowerFlow, batch, bind, piece_sizes

CHUNK = 64
SIZES = (1, 7, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5)
MIXED = 1e-12  # cases iterate together, so one may have gone a step farther than it had to


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of `CHUNK` cases of six buses, so that small batches span several, on two threads at least."""
    monkeypatch.setattr(piece_sizes, "CHUNK_VALUES", 6 * CHUNK)
    monkeypatch.setattr(piece_sizes, "PIECE_VALUES", 6 * CHUNK)
    monkeypatch.setattr(piece_sizes, "SWEPT_CASES", CHUNK)
    monkeypatch.setattr(piece_sizes, "TREE_CASES", (CHUNK, CHUNK))
    monkeypatch.setattr(batch, "_cores", lambda: 2)


@pytest.fixture(scope="module")
def feeder() -> nf.Feeder:
    """Six buses: a line with a lateral and an open tie."""
    return build_feeder(
        name="six",
        bus_labels=[1, 2, 3, 4, 5, 6],
        vn_kv=[10.0] * 6,
        load_p_mw=[0.0, 0.4, 0.3, 0.5, 0.2, 0.4],
        load_q_mvar=[0.0, 0.1, 0.2, 0.1, -0.1, 0.2],
        branches=[(1, 2), (2, 3), (3, 4), (2, 5), (5, 6), (4, 6)],
        r_ohm=[0.8, 0.9, 1.1, 0.7, 1.0, 1.0],
        x_ohm=[0.5, 0.6, 0.5, 0.4, 0.6, 1.0],
        in_service=[True] * 5 + [False],
        max_i_ka=[0.2] * 6,
    )


def injections(feeder: nf.Feeder, n_cases: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw loads of -1 to 2 times nominal; the first cases of a longer draw are those of a shorter one."""
    factors = np.random.default_rng(7).uniform(-1.0, 2.0, (n_cases, 2, feeder.n_bus))
    return -factors[:, 0] * feeder.load_p_mw, -factors[:, 1] * feeder.load_q_mvar


def one_by_one(solver: PowerFlow, p: np.ndarray, q: np.ndarray) -> nf.PowerFlowResult:
    """Solve every case on its own, without `batch.py`."""
    solve = jax.jit(lambda solver, p, q: solver(p, q))
    flows = [solve(solver, *case) for case in zip(p, q, strict=True)]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *flows)


def assert_same(found: nf.PowerFlowResult, expected: nf.PowerFlowResult, n_cases: int) -> None:
    for name in FIELDS:
        own, other = np.asarray(getattr(found, name)), np.asarray(getattr(expected, name))[:n_cases]
        assert own.shape == other.shape, name
        assert own.dtype == other.dtype, name
        # a bus mismatch that small is rounding; so are the currents of open branches next to nothing else
        np.testing.assert_allclose(own, other, rtol=1e-9, atol=1e3 * MIXED, err_msg=name)


@pytest.fixture(scope="module")
def solved(feeder: nf.Feeder) -> tuple[PowerFlow, nf.PowerFlowResult]:
    """`ac` and its answers to the longest batch, one by one."""
    with jax.enable_x64(True):
        solver = bind(feeder, "ac")
        return solver, one_by_one(solver, *injections(feeder, max(SIZES)))


@pytest.mark.parametrize("name", ["case33bw", "case69", "case141"])
def test_a_chunk_is_a_power_of_two_and_fills_the_cache(feeder: nf.Feeder, name: str) -> None:
    assert bind(feeder).piece_sizes().chunk_cases == CHUNK
    published = nf.load_feeder(name)
    n_bus = published.n_bus
    forms = ("dense", "tree", "sweep")
    cases, of_tree, swept = (bind(published, network=form).piece_sizes().chunk_cases for form in forms)
    assert cases & (cases - 1) == of_tree & (of_tree - 1) == swept & (swept - 1) == 0
    assert swept == piece_sizes.SWEPT_CASES or swept * n_bus <= piece_sizes.PIECE_VALUES < 2 * swept * n_bus
    assert cases == piece_sizes.FEWEST_CASES or cases * n_bus <= piece_sizes.CHUNK_VALUES < 2 * cases * n_bus
    assert of_tree in piece_sizes.TREE_CASES or of_tree * n_bus <= piece_sizes.TREE_CHUNK_VALUES < 2 * of_tree * n_bus


@pytest.mark.parametrize("n_cases", SIZES)
def test_a_batch_of_any_length_is_the_same_as_one_by_one(
    feeder: nf.Feeder, solved: tuple[PowerFlow, nf.PowerFlowResult], n_cases: int, float64: None
) -> None:
    solver, expected = solved
    assert_same(nf.power_flow(feeder, *injections(feeder, n_cases), method=solver), expected, n_cases)


@pytest.mark.parametrize(("method", "network"), [("ac", "tree"), ("newton", "dense"), ("lindistflow", "dense")])
def test_other_methods_take_long_batches_too(feeder: nf.Feeder, method: str, network: str, float64: None) -> None:
    solver = bind(feeder, method, network=network)
    p, q = injections(feeder, 3 * CHUNK + 5)
    assert_same(nf.power_flow(feeder, p, q, method=solver), one_by_one(solver, p, q), len(p))


@pytest.mark.parametrize("n_cases", [CHUNK + 1, 3 * CHUNK + 5])
def test_a_batch_inside_jit_is_the_same(
    feeder: nf.Feeder, solved: tuple[PowerFlow, nf.PowerFlowResult], n_cases: int, float64: None
) -> None:
    solver, expected = solved
    inside = jax.jit(lambda p, q: nf.power_flow(feeder, p, q, method=solver))
    assert_same(inside(*injections(feeder, n_cases)), expected, n_cases)


def test_one_traced_injection_is_enough_to_stay_off_the_threads(
    feeder: nf.Feeder, solved: tuple[PowerFlow, nf.PowerFlowResult], float64: None
) -> None:
    solver, expected = solved
    p, q = injections(feeder, CHUNK + 1)
    assert_same(jax.jit(lambda q: nf.power_flow(feeder, p, q, method=solver))(q), expected, CHUNK + 1)


@pytest.mark.parametrize("shape", [(2, 3), (3, 1, CHUNK - 2), ()], ids=str)
def test_leading_axes_come_back(feeder: nf.Feeder, shape: tuple[int, ...], float64: None) -> None:
    n_cases = int(np.prod(shape))
    p, q = injections(feeder, n_cases)
    flow = nf.power_flow(feeder, p.reshape(*shape, 6), q.reshape(*shape, 6))
    assert flow.vm_pu.shape == flow.va_degree.shape == flow.branch_i_ka.shape == (*shape, 6)
    for name in ("loss_mw", "slack_p_mw", "slack_q_mvar", "converged", "residual_mva", "iterations"):
        assert getattr(flow, name).shape == shape, name
    flat = nf.power_flow(feeder, p, q)
    for name in FIELDS:
        expected = np.asarray(getattr(flat, name))
        np.testing.assert_array_equal(getattr(flow, name), expected.reshape(getattr(flow, name).shape), err_msg=name)


def test_a_case_alone_is_not_asked_how_a_batch_would_be_cut(feeder: nf.Feeder, monkeypatch: pytest.MonkeyPatch) -> None:
    solver = bind(feeder, "ac")
    monkeypatch.delattr(PowerFlow, "piece_sizes")  # working them out takes a tenth of such a call
    assert bool(nf.power_flow(feeder, *injections(feeder, 1), method=solver).converged.all())
    with pytest.raises(AttributeError, match="piece_sizes"):
        nf.power_flow(feeder, *injections(feeder, 2), method=solver)


def test_a_batch_in_pieces_gives_the_same_bits_every_time(feeder: nf.Feeder, float64: None) -> None:
    p, q = injections(feeder, 3 * CHUNK + 5)
    first, *others = (nf.power_flow(feeder, p, q).vm_pu for _ in range(5))
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_a_piece_that_fails_is_reported_and_the_next_call_works(
    feeder: nf.Feeder, monkeypatch: pytest.MonkeyPatch
) -> None:
    p, q = injections(feeder, 3 * CHUNK + 5)
    solve = batch._solve_piece

    def failing(*arguments: object) -> object:
        if arguments[2] == CHUNK:
            raise MemoryError("no room")
        return solve(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(batch, "_solve_piece", failing)
        with pytest.raises(MemoryError, match="no room"):
            nf.power_flow(feeder, p, q)
    assert bool(nf.power_flow(feeder, p, q).converged.all())


@pytest.mark.parametrize("method", ["ac", "newton", "lindistflow"])
def test_a_batch_without_any_case_has_an_answer_without_any(feeder: nf.Feeder, method: str, float64: None) -> None:
    for shape in ((0,), (5, 0)):
        flow = nf.power_flow(feeder, np.zeros((*shape, 6)), np.zeros((*shape, 6)), method=method)
        assert flow.vm_pu.shape == (*shape, 6)
        assert flow.converged.shape == shape


# ---- precision ----


@pytest.mark.parametrize("double", [True, False])
def test_the_threads_answer_in_the_callers_precision(feeder: nf.Feeder, double: bool) -> None:
    with jax.enable_x64(double):
        flow = nf.power_flow(feeder, *injections(feeder, 3 * CHUNK + 5), method=bind(feeder, "ac"))
        for name in ("vm_pu", "va_degree", "loss_mw", "slack_p_mw", "branch_i_ka", "residual_mva"):
            assert getattr(flow, name).dtype == (np.float64 if double else np.float32), name
        assert flow.iterations.dtype == np.int32
        assert bool(flow.converged.all())
        assert float(flow.residual_mva.max()) < (1e-9 if double else 1e-4)


# ---- failure ----


@pytest.mark.parametrize("method", ["ac", "newton"])
@pytest.mark.parametrize("inside_jit", [False, True], ids=["threads", "jit"])
def test_cases_that_diverge_harm_no_other_in_any_chunk(
    feeder: nf.Feeder, method: str, inside_jit: bool, float64: None
) -> None:
    n_cases = 3 * CHUNK + 5
    p, q = injections(feeder, n_cases)
    hopeless = np.array([0, CHUNK - 1, CHUNK + 5, 3 * CHUNK, n_cases - 1])
    fine = np.setdiff1d(np.arange(n_cases), hopeless)
    broken = p.copy()
    broken[hopeless] = -1000.0
    solver = bind(feeder, method)

    def solve(p: np.ndarray, q: np.ndarray) -> nf.PowerFlowResult:
        return nf.power_flow(feeder, p, q, method=solver)

    run = jax.jit(solve) if inside_jit else solve
    expected, found = run(p, q), run(broken, q)
    assert bool(expected.converged.all())
    np.testing.assert_array_equal(np.flatnonzero(~np.asarray(found.converged)), hopeless)
    for name in FIELDS:
        own, other = np.asarray(getattr(found, name))[fine], np.asarray(getattr(expected, name))[fine]
        np.testing.assert_allclose(own, other, rtol=1e-9, atol=1e3 * MIXED, err_msg=name)


# ---- fields ----


@pytest.mark.parametrize("n_cases", [3, 2 * CHUNK + 1])
def test_only_the_fields_asked_for_come_back(feeder: nf.Feeder, n_cases: int, float64: None) -> None:
    p, q = injections(feeder, n_cases)
    everything = nf.power_flow(feeder, p, q)
    flow = nf.power_flow(feeder, p, q, fields=("vm_pu", "converged"))
    for name in FIELDS:
        if name in ("vm_pu", "converged"):
            np.testing.assert_allclose(getattr(flow, name), getattr(everything, name), rtol=0, atol=MIXED)
        else:
            assert getattr(flow, name) is None, name


def test_no_fields_at_all_is_an_empty_answer(feeder: nf.Feeder) -> None:
    flow = nf.power_flow(feeder, *injections(feeder, 3), fields=())
    assert all(getattr(flow, name) is None for name in FIELDS)


def test_fields_keep_the_leading_axes(feeder: nf.Feeder) -> None:
    p, q = injections(feeder, 6)
    flow = nf.power_flow(feeder, p.reshape(2, 3, 6), q.reshape(2, 3, 6), fields=["loss_mw"])
    assert flow.loss_mw.shape == (2, 3)


@pytest.mark.parametrize("fields", [("vm_pu", "vm"), ["voltage"], ("",)])
def test_an_unknown_field_lists_the_known_ones(feeder: nf.Feeder, fields: tuple[str, ...]) -> None:
    with pytest.raises(nf.InputError, match=r"field of the result '\w*'.*known: .*") as error:
        nf.power_flow(feeder, np.zeros(6), np.zeros(6), fields=fields)
    assert all(name in str(error.value) for name in FIELDS)


# ---- compilation ----


@pytest.mark.parametrize(("n_cases", "jitted"), [(5, "_solve_at_once"), (2 * CHUNK, "_solve_piece")])
def test_other_values_of_the_same_shape_compile_nothing_new(feeder: nf.Feeder, n_cases: int, jitted: str) -> None:
    p, q = injections(feeder, n_cases)
    nf.power_flow(feeder, p, q)
    compiled = getattr(batch, jitted)
    before = compiled._cache_size()
    assert before > 0
    nf.power_flow(feeder, 0.5 * p, -q)
    nf.power_flow(feeder, jnp.zeros((n_cases, 6)), q, method=bind(feeder, "ac"))
    assert compiled._cache_size() == before
