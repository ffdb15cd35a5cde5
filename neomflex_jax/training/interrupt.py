"""Ctrl-C between chunks instead of inside one, so that what was learned can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], None]]:
    """Hold back the first Ctrl-C until the given function is called, which then raises `KeyboardInterrupt`.

    A second Ctrl-C interrupts at once. Outside the main thread, where signals cannot be caught, nothing is held back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    held_back = False

    def remember(_: int, __: FrameType | None) -> None:
        nonlocal held_back
        held_back = True
        signal.signal(signal.SIGINT, before)

    def check() -> None:
        if held_back:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)
