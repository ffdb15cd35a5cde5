"""The options ``--json`` and ``--quiet``, which every command has: how it answers on standard output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True)
class AnswerOptions:
    """How to answer; `console` does it."""

    json: bool = False
    """Print one JSON object, with what was found and the paths of what was written, or with the error; nothing else."""
    quiet: bool = False
    """Print results and errors alone, not how far the command has come."""


@dataclass(frozen=True, kw_only=True)
class Answering:
    """What every command is made from."""

    answer: Annotated[AnswerOptions, tyro.conf.arg(name="")] = AnswerOptions()
