"""What a run's page says, as plain values, and the page itself: one HTML file that loads nothing from elsewhere.

`SeedPage` holds the words, numbers and data of one training, in the order in which they stand;
`templates/run_page.html` says how they look, and `templates/*.js` draws the data. The template escapes every value,
data stand in the page as JSON in which nothing can end its element, and the page's own policy lets no other script run:
nothing in a run's files can become a part of the page's HTML.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from neomflex_jax.commands.page.agents import AgentFacts
from neomflex_jax.commands.page.days import WORST_HEADER, WorstDay
from neomflex_jax.commands.page.figures import Figures
from neomflex_jax.commands.page.packed import json_in_html
from neomflex_jax.commands.page.reproduce import Reproduce
from neomflex_jax.folders.marker import is_plain_file
from neomflex_jax.loose_types import JsonObject
from neomflex_jax.pages import Table, fill_template, template_text

if TYPE_CHECKING:
    from validation.verdict.headline import Line

TITLE = "neomflex: "
HEAD_BYTES = 4096  # of a page, in which its title stands
STYLE = "run_page.css"
SCRIPTS = ("page_numbers.js", "page_elements.js", "page_chart.js", "page_map.js", "page.js")


@dataclass(frozen=True)
class Evaluated:
    """An evaluation of the run's policies."""

    days: str
    summary: Table
    constraints: Table | None = None  # None: the training had none


@dataclass(frozen=True)
class Validated:
    """A run of the validation report; cells that read "fail" stand out."""

    heading: str
    errs: str  # where the record errs most
    criteria: Table
    tables: tuple[Table, ...]

    @property
    def summary(self) -> str:
        """How many criteria hold."""
        results = [row[-1] for row in self.criteria.rows]
        failed = len(results) - results.count("pass")
        return f"{len(results)} criteria, " + (f"{failed} not passed" if failed else "all passed")


@dataclass(frozen=True)
class SeedPage:
    """Everything of one training; a sentence takes the place of what there is none of."""

    label: str
    about: str
    headline: tuple[Line, ...]  # of the results: is the record pandapower's, and is the policy any good
    basis: str  # which report the headline rests on
    figures: Figures | None
    played: JsonObject | str  # the steps of the runs, see `page/played.py`
    day_costs: JsonObject | None
    worst: tuple[WorstDay, ...]
    agents: tuple[AgentFacts, ...]
    agents_note: str
    learning: JsonObject | str
    said: str  # by the training at its end, of its policies and of what is not settled
    evaluation: Evaluated | str
    validation: tuple[Validated, ...]
    errors: tuple[JsonObject, ...]  # charts, see `page/errors.py`
    reproduce: Reproduce
    settings: Table
    config_json: str

    worst_header = WORST_HEADER

    @cached_property
    def data(self) -> str:
        """What the script draws, as JSON that may stand in an element, marked as safe."""
        played = None if isinstance(self.played, str) else self.played
        learning = None if isinstance(self.learning, str) else self.learning
        return _safe(
            json_in_html({"play": played, "days": self.day_costs, "learning": learning, "errors": list(self.errors)})
        )


@dataclass(frozen=True)
class RunPage:
    """The page of a training: of one seed, or of several with a picker."""

    name: str
    seeds: tuple[SeedPage, ...]

    @property
    def title(self) -> str:
        """The page's title; `is_page` recognises pages by its beginning."""
        return TITLE + self.name

    @cached_property
    def style(self) -> str:
        """The style sheet."""
        return _safe(template_text("neomflex_jax.commands", STYLE))

    @cached_property
    def script(self) -> str:
        """The page's own script, nothing of a run in it."""
        together = "\n".join(template_text("neomflex_jax.commands", name) for name in SCRIPTS)
        return _safe(f'(() => {{ "use strict";\n{together}\n}})();\n')

    @property
    def policy(self) -> str:
        """What a browser may load and run: this script and this style, by their hashes, and nothing else."""
        return f"default-src 'none'; script-src {_hash(self.script)}; style-src {_hash(self.style)}"

    def html(self) -> str:
        """Return the page as a file's text."""
        return fill_template("neomflex_jax.commands", "run_page.html", page=self)


def is_page(path: Path) -> bool:
    """Return True for a file that is one of these pages."""
    if not is_plain_file(path):
        return False
    with path.open("rb") as file:
        return f"<title>{TITLE}".encode() in file.read(HEAD_BYTES)


def _hash(text: str) -> str:
    digest = hashlib.sha256(str(text).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _safe(text: str) -> str:
    from markupsafe import Markup

    return Markup(text)
