"""What commands write to: a terminal, or whoever reads instead; what cannot be shown is written as an escape."""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper

from rich.console import Console

from neomflex_jax.commands.grid_of_text import fitted, whole_rows
from neomflex_jax.files.json_values import plain_values

HANDLER = "neomflex-console"
LOOKALIKES = {"\u2022": "*", "\u2026": "..."}  # of the libraries that write help and tables


def write_what_cannot_be_encoded() -> None:
    """Make standard output and error write characters that their encoding lacks as escapes.

    A console may be of any code page, and a file name may hold bytes that are no text at all; neither is a reason to
    end, with a traceback, a command that has done its work.
    """
    codecs.register_error(HANDLER, _escape)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller, as by ``>&-``
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError) and error.object[error.start] in LOOKALIKES:
        return LOOKALIKES[error.object[error.start]], error.start + 1
    return codecs.backslashreplace_errors(error)


class _Output(Console):
    """Standard output that nobody may be reading any more, for a person, or with ``--json`` for a machine.

    What a person reads goes through `print` and `remark`; what a machine gets is gathered by `found` and printed by
    `end` as one object.
    """

    remarks = True  # printed: what is no result, and how far a command has come
    _found: dict[str, object] | None = None  # for the machine; None: a person reads
    _muted = False

    def begin(self, *, as_json: bool, quiet: bool) -> None:
        """Forget what another command said, and take up how this one answers."""
        self._found, self._muted = {} if as_json else None, False
        self.remarks, self.quiet = not (as_json or quiet), as_json

    def mute(self) -> None:
        """Say nothing more but errors, for another process answers."""
        self.quiet = self._muted = True

    def remark(self, text: str, style: str | None = None) -> None:
        """Print what is no result: what is going on, or what may be done next."""
        if self.remarks:
            self.print(text, style=style)

    def found(self, **values: object) -> None:
        """Add to what a machine gets; a person has read it already."""
        if self._found is not None:
            self._found |= values

    def taken(self) -> dict[str, object]:
        """Return what a part of a command found, and begin anew."""
        found, self._found = self._found, None if self._found is None else {}
        return found or {}

    @contextmanager
    def part(self) -> Iterator[None]:
        """Say what a part of a command says only where remarks are wanted: it is no result of the whole."""
        before, self.quiet = self.quiet, self.quiet or not self.remarks
        try:
            yield
        finally:
            self.quiet = before

    def warn(self, text: str) -> None:
        """Print a warning; a machine gets all of them as a list."""
        self.print(f"warning: {text}", style="yellow")
        if self._found is not None:
            self._found["warnings"] = [*self._found.get("warnings", ()), text]  # type: ignore[misc]

    def fail(self, text: str, *, word: str = "error: ") -> None:
        """Say why a command ends; of several processes, each says what it stumbled over."""
        if self._found is not None:
            self._found["error"] = text
            return
        self.quiet = False
        try:
            self.print(f"{word}{text}", style="red" if word else None)
        except OSError:  # standard output itself cannot be written, as on a full disk
            discard_output()
            sys.stderr.write(f"{word}{text}\n")

    def end(self, command: str, status: int) -> None:
        """Print what the machine gets."""
        if self._found is None or (self._muted and "error" not in self._found):
            return
        answer = plain_values({"command": command, "status": status} | self._found)
        try:
            with reader_may_leave():
                sys.stdout.write(json.dumps(answer, allow_nan=False) + "\n")
        except OSError as error:
            discard_output()
            sys.stderr.write(f"error: the answer cannot be written to standard output: {error.strerror}\n")
            sys.exit(2)

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
