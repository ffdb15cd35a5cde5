"""Machine code has a way out: whatever is missing or wrong, one warning, and products give the same answers."""

import platform
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from threading import Barrier
from typing import Any

import jax
import jax.numpy as jnp
import llvmlite.binding as llvm
import numpy as np
import pytest

import neomflex_jax as nf
from neomflex_jax.native import xla_call
from neomflex_jax.native.code import Code, Vector
from neomflex_jax.powerflow import bind
from neomflex_jax.powerflow.sweeps import ac_sweep, branch_sweep, calibrated_sweep, setting_sweep, sum_sweep
from neomflex_jax.powerflow.sweeps import door as machine_code
from neomflex_jax.powerflow.sweeps.door import SWITCH, Door, Sweep

NUMBERS = count()
KERNELS = {
    Sweep.AC: (ac_sweep, "KERNEL"),
    Sweep.AC_SETTING: (setting_sweep, "KERNEL"),
    Sweep.CALIBRATED: (calibrated_sweep, "KERNEL"),
    Sweep.SUMS: (sum_sweep, "BY_QUANTITY"),
    Sweep.BRANCHES: (branch_sweep, "KERNEL"),
    Sweep.BRANCHES_SETTING: (branch_sweep, "WITH_PORTS"),
}
Answers = dict[str, np.ndarray]


def answers(feeder: nf.Feeder) -> Answers:
    """Voltages of twenty cases by both methods that sweep."""
    factors = np.random.default_rng(1).uniform(-1.0, 1.5, (2, 20, feeder.n_bus))
    p, q = -factors[0] * feeder.load_p_mw, -factors[1] * feeder.load_q_mvar
    fit = nf.calibrate(feeder, p, q)
    return {
        str(method): np.asarray(nf.power_flow(feeder, p, q, method=solver).vm_pu)
        for method, solver in (("ac", "ac"), ("calibrated", fit))
    }


@pytest.fixture(scope="module")
def by_sweeps(case33bw: nf.Feeder) -> Answers:
    return answers(case33bw)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A process that has not asked yet: kernels get names that XLA has not heard of."""
    monkeypatch.setattr(machine_code, "_door", Door())
    monkeypatch.setattr(xla_call, "_names", {})
    monkeypatch.delenv(SWITCH, raising=False)
    for module, name in (*KERNELS.values(), (sum_sweep, "BY_CASE"), (sum_sweep, "MAGNITUDES")):
        kernel = getattr(module, name)
        monkeypatch.setattr(module, name, replace(kernel, name=f"{kernel.name}_{next(NUMBERS)}"))
    yield monkeypatch


def failing(*_: Any, **__: Any) -> Any:
    raise RuntimeError("nothing of the kind here")


def another_version(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(xla_call, "API_VERSION", (0, 99))


def no_target(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(llvm, "initialize_native_target", failing)


def no_compilation(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(llvm, "parse_assembly", failing)


def old_llvmlite(patch: pytest.MonkeyPatch) -> None:
    patch.delattr(llvm, "create_pass_builder")


def no_ffi(patch: pytest.MonkeyPatch) -> None:
    patch.delattr(jax, "ffi")


def unknown_processor(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(platform, "machine", lambda: "riscv64")


def another_convention(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(platform, "system", lambda: "Windows")


def wrong_sums(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Vector, "__add__", Vector.__sub__)


def wrong_order(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Code, "transposed", lambda code, rows: list(rows))


FAULTS = {
    another_version: r"handler's API version \(0.99\) is incompatible",
    no_target: "nothing of the kind here",
    no_compilation: "nothing of the kind here",
    old_llvmlite: "create_pass_builder",
    no_ffi: "ffi",
    unknown_processor: "it is not made for Linux on riscv64",
    another_convention: "it is not made for Windows on",
    wrong_sums: "WrongAnswerError: the kernel's rise_r in float32 is off by",
    wrong_order: "WrongAnswerError: the kernel's rise_r in float32 is off by",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_fails_is_one_warning_and_the_same_answers(
    fault: Any, case33bw: nf.Feeder, by_sweeps: Answers, fresh: pytest.MonkeyPatch
) -> None:
    fault(fresh)
    with pytest.warns(RuntimeWarning, match=FAULTS[fault]) as caught:
        found = [answers(case33bw), answers(case33bw)]
    assert len(caught) == 1
    assert "the same answers, slower. NEOMFLEX_SWEEPS=off" in str(caught[0].message)
    for method, vm_pu in by_sweeps.items():
        np.testing.assert_array_equal(found[0][method], found[1][method])
        np.testing.assert_allclose(found[0][method], vm_pu, rtol=0, atol=2e-6)


@pytest.mark.parametrize("sweep", Sweep)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_kernel_is_tried(sweep: Sweep, dtype: str, fresh: pytest.MonkeyPatch) -> None:
    assert machine_code.fault(sweep, dtype) == ""
    module, name = KERNELS[sweep]
    fresh.setattr(module, name, replace(getattr(module, name), name=f"{getattr(module, name).name}_wrong"))
    fresh.setattr(Vector, "__mul__", Vector.__add__)
    assert "WrongAnswerError" in machine_code.fault(sweep, dtype)


def test_without_llvmlite_everything_goes_on_and_without_a_sweep_it_is_not_loaded() -> None:
    program = """
import sys, warnings
import jax, jax.numpy as jnp, numpy as np
import neomflex_jax as nf

class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "llvmlite":
            raise ImportError("libLLVM not found")

assert "llvmlite" not in sys.modules
sys.meta_path.insert(0, Gone())
f = nf.load_feeder("case33bw")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    nf.power_flow(f, -f.load_p_mw, -f.load_q_mvar, method="lindistflow")
    assert not caught
    flow = nf.power_flow(f, -f.load_p_mw, -f.load_q_mvar)
    slope = jax.jit(jax.grad(lambda k: nf.power_flow(f, -k * f.load_p_mw, -k * f.load_q_mvar).loss_mw))(1.0)
assert abs(float(flow.loss_mw) - 0.20268) < 1e-5 and abs(float(slope) - 0.437) < 1e-3, (flow.loss_mw, slope)
texts = [str(one.message) for one in caught]
assert len(texts) == 1 and "llvmlite does not load (libLLVM not found" in texts[0], texts
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("value", ["off", "OFF", " off "])
def test_products_can_be_chosen(value: str, case33bw: nf.Feeder, by_sweeps: Answers, fresh: pytest.MonkeyPatch) -> None:
    fresh.setenv(SWITCH, value)
    fresh.setattr(machine_code, "fault", failing)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method, vm_pu in answers(case33bw).items():
            np.testing.assert_allclose(vm_pu, by_sweeps[method], rtol=0, atol=2e-6)
    fresh.delenv(SWITCH)  # what was read first holds until the process ends
    assert "ffi_call" not in str(jax.make_jaxpr(bind(case33bw))(*jnp.zeros((2, 33))))


@pytest.mark.parametrize("value", ["0", "on", "products", "ofF!"])
def test_other_values_are_refused_by_name_until_mended(
    value: str, case33bw: nf.Feeder, fresh: pytest.MonkeyPatch
) -> None:
    fresh.setenv(SWITCH, value)
    for _ in range(2):
        with pytest.raises(nf.InputError, match=f"NEOMFLEX_SWEEPS = '{value}' must be 'off'.*or not set"):
            nf.power_flow(case33bw, -case33bw.load_p_mw, -case33bw.load_q_mvar)
    fresh.setenv(SWITCH, "")
    fresh.setattr(machine_code, "fault", lambda *_: "")
    assert machine_code._door.lets_pass(Sweep.AC, np.float32)


def test_a_keyword_chooses_products_and_asks_nothing(
    case33bw: nf.Feeder, by_sweeps: Answers, fresh: pytest.MonkeyPatch
) -> None:
    fresh.setenv(SWITCH, "nonsense")
    factors = np.random.default_rng(1).uniform(-1.0, 1.5, (2, 20, case33bw.n_bus))
    p, q = -factors[0] * case33bw.load_p_mw, -factors[1] * case33bw.load_q_mvar
    by_name = nf.power_flow(case33bw, p, q, sweeps=False)
    bound = nf.power_flow(case33bw, p, q, method=nf.bind(case33bw, sweeps=False))
    fitted = nf.power_flow(case33bw, p, q, method=nf.calibrate(case33bw, p, q, sweeps=False))
    np.testing.assert_array_equal(by_name.vm_pu, bound.vm_pu)
    np.testing.assert_allclose(by_name.vm_pu, by_sweeps["ac"], rtol=0, atol=2e-6)
    np.testing.assert_allclose(fitted.vm_pu, by_sweeps["calibrated"], rtol=0, atol=2e-6)
    assert machine_code._door.is_open is None
    fresh.delenv(SWITCH)
    sweeping = nf.power_flow(case33bw, p, q, method=nf.bind(case33bw), sweeps=False)  # the keyword of the call counts
    np.testing.assert_array_equal(by_name.vm_pu, sweeping.vm_pu)
    assert machine_code._door.is_open is None
    with pytest.raises(nf.InputError, match="network = 'sweep' asks for what sweeps = False forbids"):
        nf.bind(case33bw, network="sweep", sweeps=False)


def test_methods_that_never_sweep_read_nothing(case33bw: nf.Feeder, fresh: pytest.MonkeyPatch) -> None:
    fresh.setenv(SWITCH, "nonsense")
    for method in ("dc", "lindistflow", "newton"):
        jax.eval_shape(bind(case33bw, method), *jnp.zeros((2, 33)))
    with pytest.raises(nf.InputError, match="NEOMFLEX_SWEEPS = 'nonsense'"):
        jax.eval_shape(bind(case33bw, "ac"), *jnp.zeros((2, 33)))


def test_threads_that_ask_at_the_same_time_try_once_and_warn_once(fresh: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    all_here = Barrier(8, timeout=60)

    def fault(*_: str) -> str:
        asked.append("once")
        return "it was found out"

    fresh.setattr(machine_code, "fault", fault)
    door = machine_code._door

    def ask(_: int) -> bool:
        all_here.wait()
        return door.lets_pass(Sweep.AC, np.float32)

    with pytest.warns(RuntimeWarning, match="it was found out") as caught, ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(ask, range(8)))
    assert len(asked) == len(caught) == 1


def test_a_refusal_of_one_kernel_is_one_of_all(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(machine_code, "fault", lambda sweep, dtype: "no" if dtype == "float64" else "")
    door = machine_code._door
    assert door.lets_pass(Sweep.AC, np.float32)
    with pytest.warns(RuntimeWarning):
        assert not door.lets_pass(Sweep.AC, np.float64)
    assert not door.lets_pass(Sweep.AC, np.float32)


def test_a_warning_made_an_error_is_raised_once(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(machine_code, "fault", lambda *_: "no")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning):
            machine_code._door.lets_pass(Sweep.AC, np.float32)
        assert not machine_code._door.lets_pass(Sweep.AC, np.float32)


def test_the_first_question_may_be_asked_inside_any_trace(case33bw: nf.Feeder, fresh: pytest.MonkeyPatch) -> None:
    solver = bind(case33bw)

    def loss(factor: jax.Array) -> jax.Array:
        return solver(-factor * case33bw.load_p_mw, -factor * case33bw.load_q_mvar).loss_mw

    mesh = jax.sharding.Mesh(jax.devices()[:1], ("copy",))
    part = jax.sharding.PartitionSpec("copy")
    warnings.simplefilter("error")  # until the end of this test
    for way in (
        jax.jit(jax.vmap(loss)),
        jax.vmap(jax.grad(loss)),
        jax.jacfwd(jax.vmap(loss)),
        lambda factors: jax.lax.scan(lambda carry, factor: (carry, loss(factor)), 0.0, factors),
        lambda factors: jax.lax.map(jax.checkpoint(loss), factors),
        jax.shard_map(jax.vmap(loss), mesh=mesh, in_specs=part, out_specs=part, check_vma=False),
    ):
        fresh.setattr(machine_code, "_door", Door())
        assert "ffi_call[" in str(jax.make_jaxpr(way)(jnp.linspace(0.5, 1.5, 3)))
        assert machine_code._door.passed == {(Sweep.AC, "float32")}


def test_products_can_be_exported_and_machine_code_cannot(case33bw: nf.Feeder, fresh: pytest.MonkeyPatch) -> None:
    """JAX itself refuses: what another process would call is not there."""
    p, q = (jnp.asarray(-part) for part in (case33bw.load_p_mw, case33bw.load_q_mvar))
    solve = jax.jit(lambda p, q: bind(case33bw)(p, q).vm_pu)
    with pytest.raises(ValueError, match="custom calls"):
        jax.export.export(solve)(p, q)
    expected = solve(p, q)
    (name,) = set(re.findall(r"neomflex_sweep\w*", solve.lower(p, q).as_text()))
    own = jax.export.DisabledSafetyCheck.custom_call(name)  # which this process has
    both = jax.export.export(solve, platforms=["cpu", "cuda"], disabled_checks=[own])(p, q)
    np.testing.assert_array_equal(both.call(p, q), expected)
    fresh.setattr(machine_code, "_door", Door(is_open=False))
    exported = jax.export.export(jax.jit(lambda p, q: bind(case33bw)(p, q).vm_pu))(p, q)
    np.testing.assert_allclose(exported.call(p, q), expected, rtol=0, atol=2e-6)
