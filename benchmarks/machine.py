"""What the machine is and can do: its name, its rate of matrix products, the memory that a call takes."""

from __future__ import annotations

import ctypes
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import Array

Answer = TypeVar("Answer")
PACKAGES = (
    "neomflex-jax",
    "jax",
    "jaxlib",
    "numpy",
    "scipy",
    "power-grid-model",
    "lightsim2grid",
    "pandapower",
    "numba",
)


def describe_machine() -> dict[str, object]:
    """Processor, cores that this process may use, JAX device, Python."""
    return {
        "cpu_model": _cpu_model(),
        "cores": available_cores(),
        "jax_device": jax.devices()[0].device_kind,
        "python": platform.python_version(),
    }


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def package_versions() -> dict[str, str | None]:
    """Versions of all packages that take part; None for those that are not installed."""
    versions: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return versions


def matrix_product_gflops(rows: int, size: int, seconds: float = 0.3) -> float:
    """Best float32 rate of ``(rows, size) @ (size, size)`` on the JAX device, in 1e9 operations a second.

    Small products are chained in one call, so that the cost of calling does not hide their rate.
    """
    flops = 2.0 * rows * size * size
    chained = int(min(1000, max(2, 1e8 / flops)))

    @jax.jit
    def products(a: Array, b: Array) -> Array:
        return jax.lax.fori_loop(0, chained, lambda _, a: jnp.matmul(a, b, precision="highest"), a)

    a, b = jnp.ones((rows, size), jnp.float32), jnp.full((size, size), 1.0 / size, jnp.float32)
    products(a, b).block_until_ready()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        before = time.perf_counter()
        products(a, b).block_until_ready()
        best = min(best, time.perf_counter() - before)
    return 1e-9 * chained * flops / best


def call_with_memory(call: Callable[[], Answer]) -> tuple[Answer, float | None]:
    """Make a call; also say how much host memory the process held at most beyond what it held before, in MiB.

    None where the system does not tell (it is read from Linux's /proc).
    """
    status = Path("/proc/self/status")
    try:
        ctypes.CDLL(None).malloc_trim(0)  # give back what was freed, or its second use would go unseen
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak, VmHWM, restarts at the present size
    except (OSError, AttributeError):
        return call(), None
    before = _status_mib(status, "VmRSS")
    answer = call()
    return answer, max(0.0, _status_mib(status, "VmHWM") - before)


def _status_mib(status: Path, field: str) -> float:
    for line in status.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024.0
    return float("nan")
