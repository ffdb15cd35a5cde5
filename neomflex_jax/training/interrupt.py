"""Ctrl-C between rounds of learning instead of inside one, so that what was learned can be saved."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import wait
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A Ctrl-C that came through where it does no harm."""


@dataclass
class Deferred:
    """A Ctrl-C that is held back; `agree` may decide together with other processes, so that all stop in one place."""

    agree: Callable[[bool], bool]
    held_back: bool = False

    def came(self) -> bool:
        """Return True once there was one."""
        return self.agree(self.held_back)

    def let_through(self) -> None:
        """Raise `Interrupted` if there was one."""
        if self.came():
            raise Interrupted


@contextmanager
def deferred_interrupt(agree: Callable[[bool], bool] = bool) -> Iterator[Deferred]:
    """Hold back the first Ctrl-C until it is let through.

    A second Ctrl-C interrupts at once. Outside the main thread, where signals cannot be caught, nothing is held back.
    """
    deferred = Deferred(agree)

    def remember(_: int, __: FrameType | None) -> None:
        deferred.held_back = True
        signal.signal(signal.SIGINT, before)

    if threading.current_thread() is not threading.main_thread():
        yield deferred
        return
    before = signal.signal(signal.SIGINT, remember)
    try:
        yield deferred
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
