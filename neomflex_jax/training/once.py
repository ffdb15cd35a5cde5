"""Programs that run once, for a tenth of a second: compiling them well takes longer than it saves.

On CPUs XLA makes machine code of fused operations in one of two ways; the older one is slower to run by a sixth, and
compiles in half the time. An XLA that has it no more takes the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import jax
import jax.numpy as jnp

from neomflex_jax.loose_types import Keywords

PLAIN: Keywords = {"xla_backend_optimization_level": 0}
SHORT: Keywords = PLAIN | {"xla_cpu_use_fusion_emitters": False}


@dataclass(frozen=True, eq=False)
class Once:
    """A function, jitted for one run when it is first asked for: only then is it known for what."""

    function: Callable[..., Any]
    how: Keywords = field(default_factory=dict)  # of `jax.jit`

    @cached_property
    def program(self) -> Any:
        """The jitted function."""
        return jax.jit(self.function, compiler_options=_options(), **self.how)

    def __call__(self, *arguments: Any) -> Any:
        """Call it."""
        return self.program(*arguments)

    def lower(self, *arguments: Any) -> Any:
        """Trace and lower it, as `jax.jit`'s."""
        return self.program.lower(*arguments)


def once(**how: Any) -> Callable[[Callable[..., Any]], Once]:
    """Decorate a function as `jax.jit` would, with its arguments."""
    return lambda function: Once(function, how)


@lru_cache(maxsize=1)
def _options() -> Keywords:
    """Return the options that this XLA has."""
    if jax.default_backend() != "cpu":
        return PLAIN
    try:
        jax.jit(jnp.negative, compiler_options=SHORT).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return PLAIN
    return SHORT
