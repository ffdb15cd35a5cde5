"""What commands write to: a terminal, or whoever reads instead; what cannot be shown is written as an escape."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper

from rich.console import Console

from neomflex_jax.commands.grid_of_text import fitted, whole_rows

HANDLER = "neomflex-console"
LOOKALIKES = {"\u2022": "*", "\u2026": "..."}  # of the libraries that write help and tables


def write_what_cannot_be_encoded() -> None:
    """Make standard output and error write characters that their encoding lacks as escapes.

    A console may be of any code page, and a file name may hold bytes that are no text at all; neither is a reason to
    end, with a traceback, a command that has done its work.
    """
    codecs.register_error(HANDLER, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError) and error.object[error.start] in LOOKALIKES:
        return LOOKALIKES[error.object[error.start]], error.start + 1
    return codecs.backslashreplace_errors(error)


class _Output(Console):
    """Standard output that nobody may be reading any more."""

    def on_broken_pipe(self) -> None:
        """Print nothing more, as after ``| head``; the command goes on computing and writing files."""
        self.quiet = True
        discard_output()


def discard_output() -> None:
    """Discard what is still to be printed: its reader has gone, and Python would complain at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """End quietly where something else than `console` prints, and nobody reads it any more."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
        sys.exit(0)


console = _Output(highlight=False, soft_wrap=True, markup=False)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: cut to a terminal's width between words, and in a pipe or a file with every row on a line."""
    console.print(title, style="bold")
    lines = fitted(header, rows, console.width) if console.is_terminal else whole_rows(header, rows)
    for line in lines:
        console.print(line)


def short(value: float | None) -> str:
    """Return a number with four significant digits, without an exponent where possible, and a zero without a sign."""
    if value is None or value != value:  # NaN
        return "n/a"
    return f"{value:z.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
