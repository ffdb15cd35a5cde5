"""Time as a training counts it: the seconds of all sittings of a run, compilation included."""

from __future__ import annotations

import time


class Clock:
    """Counts from the start of this sitting, on top of the seconds of those before it.

    Parameters
    ----------
    started
        `time.monotonic()` at the start of this sitting; None takes now.
    """

    def __init__(self, started: float | None = None) -> None:
        self._started = time.monotonic() if started is None else started
        self.earlier_seconds = 0.0  # of the sittings before this one

    def seconds(self) -> float:
        """Seconds of training so far."""
        return self.earlier_seconds + time.monotonic() - self._started
