"""Programs that are needed later, compiled while the host goes on: XLA leaves Python alone, and the other cores.

Tracing is Python's and takes its turn in the thread that asks; compiling is a thread's of its own. JAX keeps what is
compiled by function, shapes and places, so that the call that comes later takes it, or waits until it is there. What
goes wrong here goes wrong there once more, and is said there.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import jax


def compile_ahead(program: Any, *arguments: Any) -> None:
    """Have another thread compile a jitted function; several processes compile when they call, in one order.

    Parameters
    ----------
    program
        Made by `jax.jit`.
    arguments
        As of the call to come, or their shapes with the places where they will lie: none for what JAX may move.
    """
    if jax.process_count() == 1:
        _compilers().submit(program.lower(*arguments).compile)


@lru_cache(maxsize=1)
def _compilers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, thread_name_prefix="compiler")
