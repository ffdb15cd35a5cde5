"""Tables as lines of text: whole rows where a program reads, and on a terminal nothing that is wider than it.

No number is ever cut or broken. A terminal's table first gets its headings over several lines, then cells broken
between words, and where that is too wide still, one block a row with a line for each column.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from rich.cells import cell_len

GAP = "  "
NUMBER = re.compile(r"[-+(]?[\d.,]+\S*|n/a|nan|-?inf|None|not available", re.IGNORECASE)
Row = Sequence[str]


def whole_rows(header: Row, rows: Sequence[Row]) -> list[str]:
    """Return the heading and one line a row, as wide as it takes."""
    lines = [_flat(header, " "), *(_flat(row, "; ") for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    return [_line(line, widths, _on_the_right(rows)) for line in lines]


def fitted(header: Row, rows: Sequence[Row], width: int) -> list[str]:
    """Return lines that fit a terminal of that width as far as words do; the first ones are the heading, and a rule."""
    cells = [list(row) for row in (header, *rows)]
    columns = list(zip(*cells, strict=True))
    wanted = [max(cell_len(line) for cell in column for line in cell.split("\n")) for column in columns]
    least = [max([cell_len(word) for cell in column for word in cell.split()], default=0) for column in columns]
    room = width - len(GAP) * (len(columns) - 1)
    if sum(least) > room:
        return _blocks(_flat(header, " "), rows, width)
    widths = list(wanted)
    while sum(widths) > room:
        widest = max((at for at in range(len(widths)) if widths[at] > least[at]), key=widths.__getitem__)
        widths[widest] -= 1
    right = _on_the_right(rows)
    heading = _wrapped(header, widths, right, at_the_foot=True)
    rule = GAP.join("-" * each for each in widths)
    return [*heading, rule, *(line for row in rows for line in _wrapped(row, widths, right))]


def _flat(row: Row, between: str) -> list[str]:
    return [between.join(cell.split("\n")) for cell in row]


def _on_the_right(rows: Sequence[Row]) -> list[bool]:
    """Return a flag a column, True if it is aligned to the right: every one but the first that holds numbers alone."""
    columns = list(zip(*rows, strict=True))
    return [bool(at) and all(NUMBER.fullmatch(cell) for cell in column if cell) for at, column in enumerate(columns)]


def _line(cells: Row, widths: Sequence[int], right: Sequence[bool]) -> str:
    # a table without rows has no columns to look at
    sides = [*right, *[False] * (len(cells) - len(right))]
    padded = []
    for cell, width, to_the_right in zip(cells, widths, sides, strict=True):
        space = " " * (width - cell_len(cell))
        padded.append(space + cell if to_the_right else cell + space)
    return GAP.join(padded).rstrip()


def _wrapped(row: Row, widths: Sequence[int], right: Sequence[bool], at_the_foot: bool = False) -> list[str]:
    """Return the lines of one row."""
    parts = [_words(cell, width) for cell, width in zip(row, widths, strict=True)]
    height = max(len(part) for part in parts)
    blanks = [[""] * (height - len(part)) for part in parts]
    full = [blank + part if at_the_foot else part + blank for part, blank in zip(parts, blanks, strict=True)]
    return [_line(cells, widths, right) for cells in zip(*full, strict=True)]


def _words(text: str, width: int) -> list[str]:
    """Break a text between words, and where it says so itself."""
    wrap = textwrap.TextWrapper(max(width, 1), break_long_words=False, break_on_hyphens=False)
    return [piece for line in text.split("\n") for piece in wrap.wrap(line) or [""]]


def _blocks(names: Row, rows: Sequence[Row], width: int) -> list[str]:
    """Return every row as a block: its first cell, then a line for each other column that has something."""
    alone = len(names) == 2  # the one other column needs no name
    longest = 0 if alone else max(cell_len(name) for name in names[1:])
    lines: list[str] = []
    for first, *others in rows:
        lines += _words(first if alone or not any(others) else f"{names[0]} {first}".strip(), width)
        for name, cell in zip(names[1:], others, strict=True):
            label = GAP if alone else GAP + name + " " * (longest - cell_len(name)) + GAP
            beside = cell_len(label) + max(map(cell_len, cell.split()), default=0) <= width
            indent = " " * cell_len(label) if beside else GAP + GAP
            pieces = [indent + piece for piece in _words(cell, width - len(indent))] if cell else []
            if beside and pieces:
                pieces[0] = label + pieces[0][len(indent) :]
            lines += pieces if beside or not cell else [label.rstrip(), *pieces]
    return lines
