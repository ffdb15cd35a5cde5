"""Figures at the size they are printed in: the width of one or of two columns of a page, with letters to be read there.

Widths are those of IEEE and Elsevier journals (88 to 90 mm and 180 to 190 mm).
"""

from __future__ import annotations

import textwrap

from neomflex_jax.errors import unknown_name
from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import Figure, Line2D, Text

SIZES = {"single": 3.46, "double": 7.2}  # inches
LEAST_LETTERS, MOST_LETTERS, OF_SCREEN = 6.0, 8.5, 0.8  # points
LINES_OF_SCREEN = 0.75
LETTERS_PER_INCH = 14  # of a title
LEAST_HEIGHT = 0.62  # of the height on screens
INCH_PER_ENTRY = 0.15
PRINTED_DPI = 300


def fit_to_print(figure: Figure, size: str) -> Figure:
    """Change a figure to the width of a column.

    Parameters
    ----------
    figure
        One of this package; drawn with another width it keeps what it shows.
    size
        ``single`` (88 mm) or ``double`` (183 mm): the columns of a page that it spans.

    Returns
    -------
    figure
        The same; its legend stands below it where it spans one column.

    Raises
    ------
    InputError
        If there is no such size, naming those there are.
    """
    if size not in SIZES:
        raise unknown_name("size", size, SIZES)
    width, height = figure.get_size_inches()
    new = SIZES[size]
    height *= max(new / width, LEAST_HEIGHT)
    for text in figure.findobj(Text):
        text.set_fontsize(min(max(OF_SCREEN * float(text.get_fontsize()), LEAST_LETTERS), MOST_LETTERS))
    for line in figure.findobj(Line2D):
        line.set_linewidth(LINES_OF_SCREEN * line.get_linewidth())
    for axes in figure.axes:
        axes.tick_params(labelsize=LEAST_LETTERS + 1.0)
        title = " ".join(axes.get_title(loc="left").split())
        if title:
            lines = textwrap.wrap(title, int(LETTERS_PER_INCH * new))
            axes.set_title("\n".join(lines), loc="left", fontsize=MOST_LETTERS, color=style.INK, parse_math=False)
    if size == "single":
        height += INCH_PER_ENTRY * _legends_below(figure)
    figure.set_size_inches(new, height)
    figure.set_dpi(PRINTED_DPI)
    return figure


def _legends_below(figure: Figure) -> int:
    """Move the legends below the panels, in two columns; returns how many rows they have."""
    rows = 0
    for beside in list(figure.legends):
        labels = [text.get_text() for text in beside.get_texts()]
        handles = [handle for handle in beside.legend_handles if handle is not None]
        beside.remove()
        below = figure.legend(
            handles, labels, loc="outside lower center", frameon=False, fontsize=LEAST_LETTERS + 0.5, ncols=2
        )
        for text in below.get_texts():
            text.set_parse_math(False)
        rows += -(-sum(label.count("\n") + 1 for label in labels) // 2)
    return rows
