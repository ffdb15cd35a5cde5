"""The terminal: progress, tables, and numbers short enough to read; what it cannot show is written as an escape."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

console = Console(highlight=False, soft_wrap=True, markup=False)
HANDLER = "neomflex-console"
LOOKALIKES = {"\u2022": "*", "\u2026": "..."}  # of the libraries that write help and tables


def write_what_cannot_be_encoded() -> None:
    """Have standard output and error write a character that their encoding lacks as an escape, by its number.

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


@contextmanager
def working(on_what: str) -> Iterator[None]:
    """Show that something is being done."""
    with console.status(on_what, spinner="line" if console.options.ascii_only else "dots"):
        yield


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar with description, share, elapsed and remaining time."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bar:
        yield bar


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, first column to the left, the others to the right."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def short(value: float | None) -> str:
    """Write a number with four significant digits, no exponent where it can be helped, and no sign before a zero."""
    if value is None or value != value:  # NaN
        return "n/a"
    return f"{value:z.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
