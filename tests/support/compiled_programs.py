"""What tests compile: quickly, kept for programs that tests start, and forgotten before there is no more room."""

import gc
import os
import tempfile
from pathlib import Path
from typing import Any

import jax

# Linux allows a process 65,530 memory mappings, and beyond them XLA crashes; each compiled program keeps some.
MAPPINGS = Path("/proc/self/maps")
MOST_MAPPINGS = 48_000
OBJECTS_TO_COLLECT = (50_000, 20, 20)  # Python looks for garbage at every 700th new object, and tracing makes millions
QUICK_FLAGS = ["--xla_cpu_parallel_codegen_split_count=1"]
if jax.__version_info__ < (0, 11):  # later versions end where a flag is not theirs
    QUICK_FLAGS.append("--xla_cpu_use_fusion_emitters=false")


def forget_if_many() -> None:
    """Forget compiled programs before there is no more room; `keep_in` has them on disk."""
    if MAPPINGS.exists() and len(MAPPINGS.read_bytes().splitlines()) > MOST_MAPPINGS:
        jax.clear_caches()
        gc.unfreeze()
        keep_what_is_alive()


def keep_what_is_alive() -> None:
    """Collect garbage, and look no more at what is left: traced programs are millions of objects that stay."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*OBJECTS_TO_COLLECT)


def folder_of_all() -> Path | None:
    """Return where the process that started this worker keeps programs; None if it cannot be shared."""
    kept = os.environ.get("JAX_COMPILATION_CACHE_DIR") if write_whole() else None
    return None if kept is None else Path(kept)


def write_whole() -> bool:
    """Have JAX write a program's file whole or not at all, so that nobody reads half; False if this JAX cannot."""
    try:
        from jax._src.lru_cache import _CACHE_SUFFIX, LRUCache
    except ImportError:
        return False

    def put(cache: Any, key: str, value: bytes) -> None:
        with tempfile.NamedTemporaryFile(dir=cache.path, delete=False) as file:
            file.write(value)
        os.replace(file.name, cache.path / f"{key}{_CACHE_SUFFIX}")

    LRUCache.put = put
    return True


def keep_in(folder: Path) -> None:
    """Have this process and those that it starts keep all programs in a folder, and read them there."""
    _set("jax_compilation_cache_dir", str(folder))
    _set("jax_persistent_cache_min_compile_time_secs", 0.0)
    _set("jax_persistent_cache_min_entry_size_bytes", -1)


def compile_quickly() -> None:
    """Have XLA leave most of its work out: tests run a program once, and compiling it takes an eighth of the time.

    It reads its flags when it compiles first.
    """
    _set("jax_disable_most_optimizations", True)
    os.environ["XLA_FLAGS"] = " ".join([*QUICK_FLAGS, os.environ.get("XLA_FLAGS", "")])


def _set(name: str, value: str | float) -> None:
    """Set one of JAX's options here and for processes that are started."""
    jax.config.update(name, value)
    os.environ[name.upper()] = str(value)
