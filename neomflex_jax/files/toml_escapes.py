r"""Windows paths between double quotes: TOML refuses ``"C:\Users"`` and misreads ``"C:\temp"``, for it sees escapes."""

from __future__ import annotations

import re

from neomflex_jax.errors import MOST_SHOWN, InputError

BACKSLASHED = re.compile(r'"(?:[^"\n])*\\')
ESCAPES = {"\b": r"\b", "\t": r"\t", "\n": r"\n", "\f": r"\f", "\r": r"\r", "\x1b": r"\e"}
ADVICE = (
    "between double quotes TOML takes a backslash for an escape; write a path in single quotes, 'C:\\folder\\file', or "
    'with forward slashes, "C:/folder/file"'
)


def hint_at_backslash(text: str, line: int | None) -> str:
    """Return advice for a line that TOML refuses because of a backslash between double quotes; "" for others."""
    lines = text.splitlines()
    if line is None or not 1 <= line <= len(lines) or not BACKSLASHED.search(lines[line - 1]):
        return ""
    return f"; {ADVICE}"


def refuse_misread_path(where: str, value: str) -> None:
    """Raise for a path with a tab or line break: nobody meant it, TOML made it of a backslash and a letter."""
    read_as = next((letter for letter in ESCAPES if letter in value), None)
    if read_as is not None:
        written = "".join(ESCAPES.get(letter, letter) for letter in value[:MOST_SHOWN])
        raise InputError(f'{where} = "{written}" was read with a control character for {ESCAPES[read_as]}; {ADVICE}')
