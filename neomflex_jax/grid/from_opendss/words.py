"""A line of OpenDSS taken apart: words between blanks and commas, names before equals signs, five kinds of quotes."""

from __future__ import annotations

import re
from typing import NamedTuple

# a quote begins only where a word does, and ends at the first of its kind or with the line
QUOTED = r'"[^"]*"?|' + r"'[^']*'?|\([^)]*\)?|\[[^\]]*\]?|\{[^}]*\}?"
QUOTE = re.compile(QUOTED)
WORD = re.compile(rf"[ \t]*(?P<word>{QUOTED}|[^ \t,=]*)[ \t]*(?P<after>[,=]?)")


class Argument(NamedTuple):
    """A value, and its name in lower case, "" if it has none."""

    name: str
    value: str


def without_comment(line: str) -> str:
    """Return what stands before ``!`` or ``//`` outside quotes."""
    if "!" not in line and "//" not in line:  # nearly all lines
        return line.strip()
    found, position, start = [], 0, True
    while position < len(line):
        quoted = QUOTE.match(line, position) if start else None
        if quoted:
            found.append(quoted[0])
            position, start = quoted.end(), True
            continue
        if line[position] == "!" or line.startswith("//", position):
            break
        start = line[position] in " \t,="
        found.append(line[position])
        position += 1
    return "".join(found).strip()


def arguments_of(text: str) -> list[Argument]:
    """Take a command's arguments apart."""
    found: list[Argument] = []
    name, position = "", 0
    while position < len(text):
        match = WORD.match(text, position)
        assert match is not None  # it matches nothing at all, too
        if match.end() == position:
            break
        position = match.end()
        word = match["word"]
        plain = word.strip("\"'()[]{}") if word[:1] in "\"'([{" else word
        if match["after"] == "=":
            name = plain.strip().lower()
            continue
        if name or plain or match["after"] == ",":
            found.append(Argument(name, plain))
        name = ""
    return found
