"""Statements written for vector units do what NumPy does, and XLA finds what was registered."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from llvmlite import ir

from neomflex_jax.native import xla_call
from neomflex_jax.native.code import INDEX, INT32, Code, lanes_of
from neomflex_jax.native.xla_call import register

Write = Callable[[Code, Any, Any, Any], None]  # the code; where the input, the output and the length are


def run(name: str, dtype: Any, write: Write, values: np.ndarray) -> np.ndarray:
    """Write a kernel of one input and one output of equal shape, register and call it."""
    dtype = np.dtype(dtype)
    number = (ir.FloatType() if dtype == np.float32 else ir.DoubleType()).as_pointer()
    kernel = ir.Function(ir.Module(name), ir.FunctionType(ir.VoidType(), [number, number, INDEX]), name)
    code = Code(kernel, dtype)
    write(code, *kernel.args)
    code.build.ret_void()
    register(f"test_{name}_{dtype.name}", kernel, 1, [(0, 0)])
    with jax.enable_x64(True):
        call = jax.ffi.ffi_call(f"test_{name}_{dtype.name}", jax.ShapeDtypeStruct(values.shape, dtype))
        return np.asarray(jax.jit(call)(values.astype(dtype)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_square_is_transposed(dtype: Any) -> None:
    lanes = lanes_of(np.dtype(dtype))

    def write(code: Code, source: Any, target: Any, length: Any) -> None:
        rows = [code.load(source, INDEX(row * lanes)) for row in range(lanes)]
        for row, vector in enumerate(code.transposed(rows)):
            code.store(vector, target, INDEX(row * lanes))

    square = np.random.default_rng(0).normal(size=(lanes, lanes)).astype(dtype)
    np.testing.assert_array_equal(run("transpose", dtype, write, square), square.T)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arithmetic_is_that_of_numpy_and_nan_passes_through(dtype: Any) -> None:
    lanes = lanes_of(np.dtype(dtype))

    def write(code: Code, source: Any, target: Any, length: Any) -> None:
        with code.count(INDEX(0), length, lanes) as at:
            x, three = code.load(source, at), code.constant(3.0)
            first = code.everywhere(code.element(source, INDEX(0)))
            code.store(code.largest((x * x - first) / three + x, first), target, at)

    values = np.random.default_rng(1).normal(size=3 * lanes).astype(dtype)
    values[lanes + 1] = np.nan
    expected = np.maximum((values * values - values[0]) / 3 + values, values[0])
    accurate = 4 * np.finfo(dtype).eps
    np.testing.assert_allclose(run("arithmetic", dtype, write, values), expected, rtol=accurate, atol=accurate)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_roots_are_those_of_numpy_and_nan_below_zero(dtype: Any) -> None:
    def write(code: Code, source: Any, target: Any, length: Any) -> None:
        with code.count(INDEX(0), length, code.lanes) as at:
            code.store(code.root(code.load(source, at)), target, at)

    values = np.random.default_rng(2).normal(size=2 * lanes_of(np.dtype(dtype))).astype(dtype)
    values[:3] = 0.0, np.inf, np.nan
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(run("root", dtype, write, values), np.sqrt(values), rtol=np.finfo(dtype).eps)


def test_loops_count_down_too_and_end_when_told() -> None:
    def write(code: Code, source: Any, target: Any, length: Any) -> None:
        with code.count(code.build.sub(length, INDEX(1)), INDEX(-1), -1) as at:
            code.build.store(code.build.sitofp(at, code.number), code.build.gep(target, [at]))
        turn, going = code.variable(INT32(0)), code.variable(ir.Constant(ir.IntType(1), True))
        with code.while_true(going):
            code.build.store(code.build.add(code.build.load(turn), INT32(1)), turn)
            code.build.store(code.build.icmp_signed("<", code.build.load(turn), INT32(5)), going)
        code.build.store(code.build.sitofp(code.build.load(turn), code.number), code.build.gep(target, [INDEX(0)]))

    np.testing.assert_array_equal(run("loops", np.float64, write, np.zeros(4)), [5.0, 1.0, 2.0, 3.0])


def layout(header: str, record: str) -> dict[str, tuple[int, int, int]]:
    """Where each field of one of the interface's records begins, its size and alignment, in bytes; "" is the whole."""
    body = re.search(rf"struct {record} \{{(.*?)\n\}}", header, re.DOTALL)
    assert body is not None, record
    fields, end, widest = {}, 0, 1
    for kind, name in re.findall(r"([^;]*?)(\w+);", re.sub(r"//.*", "", body[1])):
        if f"struct {kind.strip()} {{" in header:
            _, size, alignment = layout(header, kind.strip())[""]
        else:  # an enumeration is an int
            size = alignment = 8 if "*" in kind or kind.strip() in ("size_t", "int64_t") else 4
        start = -(-end // alignment) * alignment
        fields[name], end, widest = (start, size, alignment), start + size, max(widest, alignment)
    return fields | {"": (0, -(-end // widest) * widest, widest)}


def test_the_offsets_are_those_of_the_interface_that_jax_ships() -> None:
    header = (Path(jax.ffi.include_dir()) / "xla" / "ffi" / "api" / "c_api.h").read_text(encoding="utf-8")
    version = [int(number) for number in re.findall(r"#define XLA_FFI_API_M(?:AJOR|INOR) (\d+)", header)]
    assert version[0] == xla_call.API_VERSION[0]
    assert version[1] >= xla_call.API_VERSION[1]  # newer ones serve older handlers

    def at(record: str, *names: str) -> int:
        return sum(layout(header, f"XLA_FFI_{part}")[name][0] for part, name in zip(record.split(), names, strict=True))

    base = next(name for name in ("InternalExtension", "Extension_Base") if f"struct XLA_FFI_{name} {{" in header)
    for found, expected in (
        (at("CallFrame", "extension_start"), xla_call.EXTENSION),
        (at("CallFrame", "stage"), xla_call.STAGE),
        (at("CallFrame Args", "args", "args"), xla_call.OPERANDS),
        (at("CallFrame Rets", "rets", "rets"), xla_call.RESULTS),
        (at(base, "type"), xla_call.EXTENSION_TYPE),
        (at("Metadata_Extension", "metadata"), xla_call.METADATA),
        (at("Metadata Api_Version", "api_version", "major_version"), xla_call.MAJOR),
        (at("Metadata Api_Version", "api_version", "minor_version"), xla_call.MINOR),
        (at("Metadata", "traits"), xla_call.TRAITS),
        (at("Metadata", "state_type_id"), xla_call.STATE_TYPE),
        (at("Buffer", "data"), xla_call.DATA),
        (at("Buffer", "dims"), xla_call.DIMS),
    ):
        assert found == expected


def test_only_single_and_double_precision_have_code() -> None:
    kernel = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), []), "nothing")
    with pytest.raises(KeyError):
        Code(kernel, np.dtype(np.float16))
