"""Compiled programs, kept in the user's cache folder, so that a command's second start need not compile.

Only commands do this; the library leaves JAX's settings alone. ``NEOMFLEX_CACHE=off`` (or ``--no-cache``) switches it
off, another value is the folder to use, and a cache that JAX was given already (`JAX_COMPILATION_CACHE_DIR`) stays.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from neomflex_jax.folders.cache import cache_folder

QUIET_SINCE = (0, 10, 2)  # before, jaxlib warns at every program it reads back that the processor may not run it


def use_compilation_cache() -> Path | None:
    """Make JAX keep everything it compiles; returns the folder, None if there is none or it cannot be made."""
    import jax
    import jaxlib.version

    if jaxlib.version.__version_info__ < QUIET_SINCE:
        return None
    config: Any = jax.config
    try:
        folder = cache_folder(os.environ, Path.home(), sys.platform)
    except RuntimeError:  # no HOME, and a user that the system does not know
        return None
    if folder is None or config.jax_compilation_cache_dir is not None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return None  # a read-only home costs the cache, not the training
    if not os.access(folder, os.W_OK):
        return None  # JAX would warn of every program that it cannot keep
    config.update("jax_compilation_cache_dir", str(folder))
    config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder
