"""Room for compiled programs: Linux allows a process 65,530 memory mappings, and beyond them XLA crashes."""

import gc
from pathlib import Path

import jax

MAPPINGS = Path("/proc/self/maps")
MOST_MAPPINGS = 20_000


def forget_if_many() -> None:
    """Forget compiled programs, each of which keeps some mappings, before there is no more room."""
    if MAPPINGS.exists() and len(MAPPINGS.read_bytes().splitlines()) > MOST_MAPPINGS:
        jax.clear_caches()
        gc.collect()
