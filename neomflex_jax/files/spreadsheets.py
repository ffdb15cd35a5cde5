"""Users' text in CSV files that a spreadsheet may open: none of it may begin as a formula does there.

An apostrophe goes before such text, which spreadsheets take for "this is text" and do not show; reading takes it away
again. See OWASP, "CSV Injection".
"""

import re

FORMULA = re.compile(r"'*[=+\-@\t\r]")  # how a cell begins that is computed, or that was guarded before


def guarded(text: str) -> str:
    """Return text for a cell: with an apostrophe before it where a spreadsheet would compute it."""
    return f"'{text}" if FORMULA.match(text) else text


def unguarded(cell: str) -> str:
    """Return the text that `guarded` made a cell of."""
    return cell[1:] if cell[:1] == "'" and FORMULA.match(cell) else cell
