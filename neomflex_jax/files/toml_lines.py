"""TOML files with the line of every key: the parser of the standard library keeps none.

`find_lines` walks a text that `tomllib` has accepted, so it follows brackets and quotes and judges nothing. Lines are
counted as a text editor counts them. Grammar: TOML 1.0.0, <https://toml.io/en/v1.0.0>.
"""

from __future__ import annotations

import re
import tomllib
from functools import cached_property
from pathlib import Path

from neomflex_jax.errors import InputError
from neomflex_jax.fields import KeyPath
from neomflex_jax.files.json_values import TOO_DEEP, check_plain
from neomflex_jax.files.text import MIB, read_text
from neomflex_jax.files.toml_escapes import hint_at_backslash
from neomflex_jax.loose_types import JsonObject

MOST_BYTES = 16 * MIB
MOST_PARTS = 50  # of a dotted key

BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
SPACE = re.compile(r"[ \t]*")
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
STRING = re.compile(  # multi-line ones first; up to two quotes may stand before the closing three
    r'"""(?:[^\\]|\\.)*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'", re.DOTALL
)
KEY_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""  # taken whole or not at all: no second look
LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-])(?:{KEY_PART}[ \t]*+\.[ \t]*+){{{MOST_PARTS}}}")
PLAIN_VALUE = re.compile(r"[^,\]}#\n]*")  # numbers, booleans, dates


class TomlLines:
    """Finds the line on which a table, field or list entry of a TOML text begins; reads the text when first asked."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __call__(self, path: KeyPath) -> int | None:
        """Line of `path`, counted from 1; None if there is no such place, and for the file as a whole."""
        return self._lines.get(tuple(path))

    @cached_property
    def _lines(self) -> dict[KeyPath, int]:
        return find_lines(self._text)


def read_toml(path: Path) -> tuple[JsonObject, TomlLines]:
    """Read a TOML file, and return its values and their lines.

    Raises
    ------
    InputError
        If the file cannot be read, is no TOML, or nests deeper or holds larger integers than any of ours.
    """
    text = read_text(path, "TOML file", MOST_BYTES)
    if LONG_KEY.search(text):  # the parser takes the square of a key's parts
        raise InputError(f"{path}: not a TOML file of ours (a key of more than {MOST_PARTS} parts)")
    try:
        values = tomllib.loads(text)
    except RecursionError as error:
        raise InputError(f"{path}: {TOO_DEEP}") from error
    except ValueError as error:  # also that of an integer with thousands of digits
        line = re.search(r"line (\d+)", str(error))
        hint = hint_at_backslash(text, int(line[1]) if line else None)
        if "overwrite a value" in str(error):
            hint = "; its name stands there and above, say as `profiles = ...` and as `[profiles]`: keep one"
        raise InputError(f"{path}: not a TOML file ({str(error)[:200]}){hint}") from error
    check_plain(f"{path}", values)
    return values, TomlLines(text)


def find_lines(text: str) -> dict[KeyPath, int]:
    """Line of every table, field and list entry of a valid TOML text; none at all if the text cannot be followed."""
    walk = _Walk(text)
    try:
        walk.document()
    except (_LostError, RecursionError):
        return {}
    return walk.lines


class _LostError(Exception):
    """The text is none that this walk can follow."""


class _Walk:
    """One pass over a text; `at` is the position reached."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.lines: dict[KeyPath, int] = {}
        self.entries: dict[KeyPath, int] = {}  # how many [[headers]] an array of tables has had
        self._counted = (0, 1)  # a position, and its line

    def document(self) -> None:
        """Headers and the fields under them."""
        table: KeyPath = ()
        self.skip(BLANK)
        while self.at < len(self.text):
            if self.peek() == "[":
                table = self.header()
            else:
                self.field(table)
            self.skip(BLANK)

    def header(self) -> KeyPath:
        """Read ``[a.b]`` or ``[[a.b]]``, and return the path of the table that it opens."""
        start, is_entry = self.at, self.text.startswith("[[", self.at)
        self.at += 2 if is_entry else 1
        names = self.names()
        self.expect("]]" if is_entry else "]")
        path: KeyPath = ()
        for name in names[:-1]:
            path = self.newest_entry(self.mark((*path, name), start))
        path = (*path, names[-1])
        if not is_entry:
            return self.mark(path, start)
        self.mark(path, start)
        self.entries[path] = self.entries.get(path, 0) + 1
        return self.mark(self.newest_entry(path), start)

    def newest_entry(self, path: KeyPath) -> KeyPath:
        """Step into the last table of an array of tables."""
        return (*path, self.entries[path] - 1) if path in self.entries else path

    def field(self, table: KeyPath) -> None:
        """Read ``a.b = value``."""
        start = self.at
        for name in self.names():
            table = self.mark((*table, name), start)
        self.expect("=")
        self.skip(SPACE)
        self.value(table)

    def names(self) -> list[str]:
        """Read a dotted key."""
        names = []
        while True:
            self.skip(SPACE)
            quoted = self.peek() in ('"', "'")
            written = self.take(STRING if quoted else BARE_KEY)
            names.append(str(next(iter(tomllib.loads(f"{written} = 0")))) if quoted else written)
            self.skip(SPACE)
            if self.peek() != ".":
                return names
            self.at += 1

    def value(self, path: KeyPath) -> None:
        """Read whatever stands to the right of a field's ``=`` or in a list."""
        if self.peek() in ('"', "'"):
            self.take(STRING)
        elif self.peek() == "[":
            self.members("]", path)
        elif self.peek() == "{":
            self.members("}", path)
        else:
            self.take(PLAIN_VALUE)

    def members(self, closing: str, path: KeyPath) -> None:
        """Read the entries of a list or the fields of an inline table, commas between them."""
        self.at += 1
        count = 0
        self.skip(BLANK)
        while self.peek() != closing:
            if closing == "]":
                self.value(self.mark((*path, count), self.at))
            else:
                self.field(path)
            count += 1
            self.skip(BLANK)
            if self.peek() != closing:
                self.expect(",")
                self.skip(BLANK)
        self.at += 1

    def mark(self, path: KeyPath, position: int) -> KeyPath:
        """Note where `path` begins, if it has not been seen before, and return the path."""
        counted, line = self._counted
        if position < counted:
            counted, line = 0, 1
        self._counted = (position, line + self.text.count("\n", counted, position))
        self.lines.setdefault(path, self._counted[1])
        return path

    def peek(self) -> str:
        """Next character; empty at the end."""
        return self.text[self.at : self.at + 1]

    def skip(self, pattern: re.Pattern[str]) -> None:
        """Go past what `pattern` matches, if anything."""
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def take(self, pattern: re.Pattern[str]) -> str:
        """Go past what `pattern` matches; it must match something."""
        found = pattern.match(self.text, self.at)
        if not found or not found[0]:
            raise _LostError
        self.at = found.end()
        return found[0]

    def expect(self, mark: str) -> None:
        """Go past a bracket, comma or equals sign that must stand here."""
        if not self.text.startswith(mark, self.at):
            raise _LostError
        self.at += len(mark)
