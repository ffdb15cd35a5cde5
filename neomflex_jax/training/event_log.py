"""TensorBoard event files of a run's progress; the package that writes them, tensorboardX, is loaded when asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neomflex_jax.errors import InputError
from neomflex_jax.training.run_log import Progress


class EventLog:
    """Write a chunk's metrics, means over seeds and agents, against environment steps; call it with each progress.

    The folder is made with the first chunk.

    Raises
    ------
    InputError
        If tensorboardX is missing.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import tensorboardX
        except ImportError as error:
            raise InputError('--tensorboard needs tensorboardX: pip install "neomflex-jax[tensorboard]"') from error
        self._library = tensorboardX
        self._folder = folder
        self._writer: Any = None

    def __call__(self, progress: Progress) -> None:
        """Write one chunk."""
        if self._writer is None:
            self._writer = self._library.SummaryWriter(str(self._folder))
        self._writer.add_scalar("steps_per_second", progress.steps_per_second, progress.steps)
        for name, value in progress.metrics.items():
            self._writer.add_scalar(name, value, progress.steps)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
