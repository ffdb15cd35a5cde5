"""What a user may have told JAX that would stop a sound program: a check for NaN, a platform that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax

from neomflex_jax.errors import InputError

HELP = {
    "cuda": "install JAX for your driver with one of the extras, pip install '.[cuda12]' or pip install '.[cuda13]'",
    "rocm": "install JAX for AMD cards, pip install 'jax[rocm]'",
    "tpu": "install JAX for TPUs, pip install 'jax[tpu]'",
}


@contextmanager
def nan_is_a_value() -> Iterator[None]:
    """Compute without the check of ``JAX_DEBUG_NANS``, for here NaN stands for "not known" and "no answer".

    As a context or as a decorator. The check goes on outside, in the user's own programs.
    """
    config: Any = jax.config  # whose settings have no types
    if not (config.jax_debug_nans or config.jax_debug_infs):
        yield
        return
    with jax.debug_nans(False), jax.debug_infs(False):
        yield


@contextmanager
def platform_is_there() -> Iterator[None]:
    """Raise `InputError` where JAX fails because the platform that ``JAX_PLATFORMS`` names cannot start."""
    try:
        yield
    except (RuntimeError, AssertionError) as error:  # the latter, without a word, is JAX's answer to `cuda`
        why = missing_platform()
        if why is None:
            raise
        raise InputError(why) from error


def missing_platform() -> str | None:
    """Return which platform cannot start and what to do about it; None if all can."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError):
        wanted = _wanted_platforms()
        names = ["cuda" if name.strip() == "gpu" else name.strip() for name in wanted.split(",")]
        advice = next((HELP[name] for name in names if name in HELP), f"JAX knows cpu, {', '.join(HELP)}")
        return f"JAX cannot start the platform JAX_PLATFORMS={wanted}; {advice}; JAX_PLATFORMS=cpu runs without it"
    return None


def _wanted_platforms() -> str:
    config: Any = jax.config
    return str(config.jax_platforms or "")
