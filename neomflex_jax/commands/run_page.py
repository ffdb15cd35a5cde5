"""What a run's page says, as plain values, and the page itself: one HTML file that loads nothing from elsewhere.

`RunPage` holds the words, numbers and images in the order in which they stand; `templates/run_page.html` says how they
look. The template escapes every value, so that nothing in a run's files can become a part of the page's own HTML.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from neomflex_jax.folders.marker import is_plain_file
from neomflex_jax.pages import Table, fill_template

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from validation.verdict.headline import Line

PNG = b"\x89PNG\r\n\x1a\n"  # how every PNG file begins
TITLE = "neomflex: "
HEAD_BYTES = 4096  # of a page, in which its title stands


@dataclass(frozen=True)
class Image:
    """A PNG file's content, and what it shows."""

    png: bytes
    caption: str

    @property
    def source(self) -> str:
        """The image as a data URI."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode('ascii')}"


@dataclass(frozen=True)
class Evaluated:
    """An evaluation of the run's policies."""

    days: str
    summary: Table
    images: tuple[Image, ...]
    constraints: Table | None = None  # None: the training had none


@dataclass(frozen=True)
class Validated:
    """A run of the validation report."""

    heading: str
    tables: tuple[Table, ...]  # cells that read "fail" stand out
    images: tuple[Image, ...]


@dataclass(frozen=True)
class RunPage:
    """Everything on the page; a sentence takes the place of what there is none of."""

    name: str
    headline: tuple[Line, ...]  # of the results: is the record pandapower's, and is the policy any good
    basis: str  # which report the headline rests on
    settings: Table
    config_json: str
    learning: Image | str
    evaluation: Evaluated | str
    validation: tuple[Validated, ...]
    said: str = ""  # by the training at its end, of its policies and of what is not settled

    @property
    def title(self) -> str:
        """The page's title; `is_page` recognises pages by its beginning."""
        return TITLE + self.name

    def html(self) -> str:
        """Return the page as a file's text."""
        return fill_template("neomflex_jax.commands", "run_page.html", page=self)


def is_page(path: Path) -> bool:
    """Return True for a file that is one of these pages."""
    if not is_plain_file(path):
        return False
    with path.open("rb") as file:
        return f"<title>{TITLE}".encode() in file.read(HEAD_BYTES)


def drawn(figure: Figure, caption: str) -> Image:
    """Return a Matplotlib figure as an image."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return Image(buffer.getvalue(), caption)
