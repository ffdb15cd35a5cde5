"""One MLIR context for many programs: JAX makes one for each, which takes longer than compiling a small program."""

import threading
from typing import Any

from jax._src.interpreters import mlir

PROGRAMS = 100  # of one context, which keeps their constants and locations until it goes


def share_contexts() -> None:
    """Have JAX lower a thread's programs in one context, where its version makes contexts by this name."""
    make = getattr(mlir, "make_ir_context", None)
    if make is None:
        return
    own = threading.local()

    def context() -> Any:
        if getattr(own, "left", 0) == 0:
            own.context, own.left = make(), PROGRAMS
            own.context.enable_multithreading(True)  # another thread may compile what was lowered in it
        own.left -= 1
        return own.context

    mlir.make_ir_context = context
