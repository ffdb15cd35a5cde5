"""Blocks of code, and commands, of README and documentation."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
IN_SENTENCE = re.compile(r"(?<!`)`neomflex ([a-z]+ [^`]+)`(?!`)")
LEFT_OPEN = re.compile(r"\.\.\.|[A-Z]{3,}|<|--help|\||\*")  # what a sentence leaves for the reader to fill in


class Block(NamedTuple):
    """A block of code between two fences."""

    language: str
    text: str


@cache
def pages() -> tuple[str, ...]:
    """All pages, by their place in the repository."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "data/README.md", ROOT / "benchmarks/README.md"]
    return tuple(sorted(path.relative_to(ROOT).as_posix() for path in found))


@cache
def blocks_of(page: str) -> tuple[Block, ...]:
    """Blocks of a page in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return tuple(Block(found["language"], found["text"]) for found in BLOCK.finditer(text))


def commands_of(page: str) -> Iterator[tuple[str, ...]]:
    """What follows `neomflex` in the lines of a page's blocks."""
    for block in blocks_of(page):
        if block.language == "bash":
            yield from command_lines(block.text)


def command_lines(text: str) -> Iterator[tuple[str, ...]]:
    """What follows `neomflex` in the lines of a shell's text."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["neomflex"]:
            yield tuple(words[1:])


def inline_commands(page: str) -> Iterator[tuple[str, ...]]:
    """What follows `neomflex` in code within sentences and tables, where nothing is left open."""
    text = BLOCK.sub("", (ROOT / page).read_text(encoding="utf-8"))
    for line in IN_SENTENCE.findall(text):
        words = tuple(shlex.split(line))
        if len(words) > 1 and not LEFT_OPEN.search(line):
            yield words
