"""How far a command has come: a bar on a terminal, and elsewhere a line now and then, for a log or a patient reader."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from neomflex_jax.commands.console import console

EVERY_SECONDS = 5.0  # at most one line in these
AT_LEAST_EVERY_SECONDS = 30.0  # a line, also where nothing has changed
KERNEL = "JPY_PARENT_PID"  # set for a notebook's kernel, and so for what it starts
ROOM_FOR_BAR = 70  # columns of a terminal


class Stage:
    """The progress of something long; whoever does it reports here, and it is shown."""

    def __init__(self, what: str, show: Callable[[str, float | None, str], None]) -> None:
        self._what = what
        self._show = show
        show(what, None, "")

    def counted(self, done: int, total: int, unit: str, what: str | None = None) -> None:
        """Show the number done, of the number of all."""
        self.shared(done / max(total, 1), f"{done:,} of {total:,} {unit}", what)

    def shared(self, share: float, note: str, what: str | None = None) -> None:
        """Show the share of the whole that is done, and a note; `what` renames the stage."""
        self._what = what or self._what
        self._show(self._what, min(share, 1.0), note)


@contextmanager
def progress(what: str) -> Iterator[Stage]:
    """Show how far `what` has come, as long as the block runs; nothing where remarks are not wanted."""
    if not console.remarks:
        yield Stage(what, lambda what, share, note: None)
        return
    # Jupyter's FORCE_COLOR makes its pipe a terminal to Rich; its `!command` is one, and shows each state of a bar anew
    if KERNEL in os.environ or not (console.is_terminal and sys.stdout.isatty()):
        lines = Lines()
        with lines.every(EVERY_SECONDS):
            yield Stage(what, lines.show)
        return
    with _Bar(*_columns(), console=console) as bar:
        task = bar.add_task(what, total=None, note="")

        def update(what: str, share: float | None, note: str) -> None:
            total = None if share is None else 1.0
            bar.update(task, description=what, completed=share or 0.0, note=note, total=total)

        yield Stage(what, update)


class Lines:
    """Prints the first state at once, then at every tick what is new, or that nothing is for a while."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._state: tuple[str, float | None, str] | None = None
        self._printed: tuple[str, float | None, str] | None = None
        self._printed_at = self._began

    def show(self, what: str, share: float | None, note: str) -> None:
        """Set the state."""
        first = self._state is None
        self._state = (what, share, note)
        if first:
            self.tick()

    def tick(self) -> None:
        """Print the state, unless it was printed already, and not long ago."""
        now, state = self._clock(), self._state
        if state is None or (state == self._printed and now < self._printed_at + AT_LEAST_EVERY_SECONDS):
            return
        what, share, note = state
        parts = [note, "" if share is None else f"{share:.0%}", f"{now - self._began:.0f} s"]
        console.print(f"{what}: {', '.join(part for part in parts if part)}")
        self._printed, self._printed_at = state, now

    @contextmanager
    def every(self, seconds: float) -> Iterator[None]:
        """Tick, beside what runs, until it ends; then once more."""
        over = threading.Event()

        def tick_until_over() -> None:
            while not over.wait(seconds):
                self.tick()

        ticker = threading.Thread(target=tick_until_over, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            over.set()
            ticker.join()
            self.tick()


class _Bar(Progress):
    """A bar with its note on a line of its own: beside it a narrow terminal would cut the numbers."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """Return the bar, and the note."""
        yield from super().get_renderables()
        for task in self.tasks:
            if task.fields["note"]:
                yield Text(f"  {task.fields['note']}", overflow="fold")


def _columns() -> list[TextColumn | BarColumn | TaskProgressColumn | TimeElapsedColumn | TimeRemainingColumn]:
    name, share, elapsed = TextColumn("{task.description}"), TaskProgressColumn(), TimeElapsedColumn()
    if console.width < ROOM_FOR_BAR:
        return [name, share, elapsed]
    return [name, BarColumn(bar_width=16), share, elapsed, TimeRemainingColumn(compact=True)]
