"""Ctrl-C between chunks instead of inside one, so that what was learned can be saved."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.connection import wait
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A Ctrl-C that came through where it does no harm."""


@contextmanager
def deferred_interrupt(agree: Callable[[bool], bool] = bool) -> Iterator[Callable[[], None]]:
    """Hold back the first Ctrl-C until the given function is called, which then raises `Interrupted`.

    A second Ctrl-C interrupts at once. Outside the main thread, where signals cannot be caught, nothing is held back.
    `agree` may decide together with other processes, so that all of them stop in the same place.
    """
    held_back = False

    def remember(_: int, __: FrameType | None) -> None:
        nonlocal held_back
        held_back = True
        signal.signal(signal.SIGINT, before)

    def check() -> None:
        if agree(held_back):
            raise Interrupted

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    before = signal.signal(signal.SIGINT, remember)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


def end_with_parent() -> None:
    """End this worker process when its parent is gone, even killed: nobody else would."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
