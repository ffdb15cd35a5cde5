"""From a function's intermediate representation to something that `jax.ffi.ffi_call` calls by name on CPUs.

XLA hands a handler one record, the call frame; where its parts lie is fixed by the C interface (xla/ffi/api/c_api.h,
which JAX ships: `jax.ffi.include_dir()`). XLA promises to serve old versions of it for a year: when a handler is
registered, XLA calls it once with a metadata extension, and it must answer with the version that it was written for.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

import jax
import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

API_VERSION = (0, 3)  # of the interface whose offsets, in bytes, follow
EXTENSION, STAGE, OPERANDS, RESULTS = 8, 32, 72, 112  # in a call frame
EXTENSION_TYPE, METADATA = 8, 24  # in an extension
MAJOR, MINOR, TRAITS, STATE_TYPE = 24, 28, 32, 40  # in the metadata
DATA, DIMS = 24, 40  # in a buffer
IS_METADATA = 1  # a type of extension
EXECUTE = 3  # a stage

BYTE, INT32, INT64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
POINTER = BYTE.as_pointer()


@dataclass(frozen=True)
class Kernel:
    """How to write a kernel for a precision, and which of its operands tell it the lengths."""

    name: str
    write: Callable[[np.dtype[np.floating]], ir.Function]
    operands: tuple[str, ...]
    sizes: tuple[tuple[str, int], ...]  # (operand, axis)


_names: dict[tuple[Kernel, np.dtype[np.floating]], str] = {}
_one_at_a_time = Lock()


def registered(kernel: Kernel, dtype: np.dtype[np.floating]) -> str:
    """Compile and register a kernel of one precision when it is first asked for; returns its name in XLA."""
    with _one_at_a_time:  # threads trace at the same time
        if (kernel, dtype) not in _names:
            name, sizes = (
                f"{kernel.name}_{dtype.name}",
                [(kernel.operands.index(of), axis) for of, axis in kernel.sizes],
            )
            register(name, kernel.write(dtype), len(kernel.operands), sizes)
            _names[kernel, dtype] = name
        return _names[kernel, dtype]


def register(name: str, kernel: ir.Function, n_operands: int, sizes: Sequence[tuple[int, int]]) -> None:
    """Compile a kernel's module and register it with XLA under a name, which must be new in this process.

    The kernel takes the operands' data, then the results' data, then the lengths named by `sizes`: (operand, axis)
    pairs, as 64-bit integers.
    """
    handler = _write_handler(kernel, n_operands, sizes)
    address = _machine_code(kernel.module).get_function_address(handler)
    capsule = jax.ffi.pycapsule(ctypes.CFUNCTYPE(None)(address))  # type: ignore[no-untyped-call]
    jax.ffi.register_ffi_target(name, capsule, platform="cpu")


def _write_handler(kernel: ir.Function, n_operands: int, sizes: Sequence[tuple[int, int]]) -> str:
    """Write the function that XLA calls; it returns null, for no error."""
    handler = ir.Function(kernel.module, ir.FunctionType(POINTER, [POINTER]), "handler")
    build, frame = ir.IRBuilder(handler.append_basic_block()), handler.args[0]
    null = ir.Constant(POINTER, None)

    def read(record: ir.Value, offset: int, kind: ir.Type) -> ir.Value:
        return build.load(build.bitcast(build.gep(record, [INT64(offset)]), kind.as_pointer()))

    def write(value: ir.Value, record: ir.Value, offset: int) -> None:
        build.store(value, build.bitcast(build.gep(record, [INT64(offset)]), value.type.as_pointer()))

    def buffer(list_offset: int, index: int) -> ir.Value:
        return read(read(frame, list_offset, POINTER), 8 * index, POINTER)

    extension = read(frame, EXTENSION, POINTER)
    with (
        build.if_then(build.icmp_unsigned("!=", extension, null)),
        build.if_then(build.icmp_signed("==", read(extension, EXTENSION_TYPE, INT32), INT32(IS_METADATA))),
    ):
        metadata = read(extension, METADATA, POINTER)
        for value, offset in ((INT32(API_VERSION[0]), MAJOR), (INT32(API_VERSION[1]), MINOR), (INT32(0), TRAITS)):
            write(value, metadata, offset)
        write(INT64(0), metadata, STATE_TYPE)
        build.ret(null)
    with build.if_then(build.icmp_signed("==", read(frame, STAGE, INT32), INT32(EXECUTE))):
        data = [
            read(buffer(OPERANDS, index) if index < n_operands else buffer(RESULTS, index - n_operands), DATA, POINTER)
            for index in range(len(kernel.args) - len(sizes))
        ]
        lengths = [read(read(buffer(OPERANDS, index), DIMS, POINTER), 8 * axis, INT64) for index, axis in sizes]
        typed = [build.bitcast(pointer, argument.type) for pointer, argument in zip(data, kernel.args, strict=False)]
        build.call(kernel, [*typed, *lengths])
    build.ret(null)
    return str(handler.name)


_kept: list[
    llvm.ExecutionEngine
] = []  # machine code lives as long as its engine, and XLA may call it until the process ends


def _machine_code(module: ir.Module) -> llvm.ExecutionEngine:
    """Compile for this machine's processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2, jit=True
    )
    parsed = llvm.parse_assembly(str(module))
    parsed.triple, parsed.data_layout = target.triple, str(target.target_data)
    parsed.verify()
    passes = llvm.create_pass_builder(target, llvm.create_pipeline_tuning_options(speed_level=2))
    passes.getModulePassManager().run(parsed, passes)
    engine = llvm.create_mcjit_compiler(parsed, target)
    engine.finalize_object()
    _kept.append(engine)
    return engine
