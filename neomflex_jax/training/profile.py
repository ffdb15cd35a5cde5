"""A trace of a few chunks by JAX's profiler: what ran when, on which device and thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax

from neomflex_jax.training.run_log import Progress

FIRST_CHUNK, N_CHUNKS = 1, 2  # the first chunk compiles; two more are long enough to see and short enough to open


class ChunkTrace:
    """Trace the chunks after the first; call it with each progress."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._chunks = 0
        self._running = False

    @property
    def written(self) -> bool:
        """True once there is a trace."""
        return self._chunks > FIRST_CHUNK and not self._running

    def __call__(self, progress: Progress) -> None:
        """Begin or end the trace after this chunk."""
        self._chunks += 1
        if self._chunks == FIRST_CHUNK:
            jax.profiler.start_trace(str(self._folder), create_perfetto_trace=True)
            self._running = True
        elif self._chunks == FIRST_CHUNK + N_CHUNKS:
            self.close()

    def close(self) -> None:
        """End the trace if training ended first."""
        if self._running:
            stop: Any = jax.profiler.stop_trace
            stop()
            self._running = False
