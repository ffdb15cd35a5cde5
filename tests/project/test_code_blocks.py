"""Every block of code on every page: Python compiles, TOML loads, and the command line's own parser takes the commands.

What `test_documentation.py` has is executed, too; that takes longer and belongs to `make docs`.
"""

import ast
import tomllib
from pathlib import Path

import pytest
from code_blocks import ROOT, blocks_of, commands_of, inline_commands, pages

from neomflex_jax.cli import COMMANDS, DESCRIPTION
from neomflex_jax.commands.arguments import read_arguments
from neomflex_jax.errors import InputError

LANGUAGES = {"bash", "python", "toml", "csv", "text"}
PAGES = pages()
COMMAND_LINES = sorted({line for page in PAGES for line in commands_of(page)})
IN_SENTENCES = sorted({line for page in PAGES for line in inline_commands(page)})
OTHER_PROGRAMS = ("make ", "pip install ", "python ", "python3 ", ".venv/bin/", "bash ", "cd ", "git ")


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_its_language(page: str) -> None:
    assert {block.language for block in blocks_of(page)} <= LANGUAGES


def test_there_are_blocks_of_every_kind() -> None:
    found = [block.language for page in PAGES for block in blocks_of(page)]
    assert all(found.count(language) >= 1 for language in LANGUAGES)
    assert len(COMMAND_LINES) >= 20
    assert len(IN_SENTENCES) >= 10


@pytest.mark.parametrize("page", PAGES)
def test_python_compiles_and_toml_loads(page: str) -> None:
    for block in blocks_of(page):
        if block.language == "python":
            ast.parse(block.text)
        if block.language == "toml":
            assert tomllib.loads(block.text)


@pytest.mark.parametrize("line", COMMAND_LINES, ids=lambda line: " ".join(line)[:60])
def test_the_parser_takes_every_command(line: tuple[str, ...]) -> None:
    read_arguments(line, COMMANDS, DESCRIPTION)


@pytest.mark.parametrize("line", IN_SENTENCES, ids=lambda line: " ".join(line)[:60])
def test_the_parser_takes_commands_in_sentences_but_for_what_they_leave_out(line: tuple[str, ...]) -> None:
    try:
        read_arguments(line, COMMANDS, DESCRIPTION)
    except InputError as error:
        assert " is missing" in str(error)


@pytest.mark.parametrize("page", PAGES)
def test_other_programs_are_there(page: str) -> None:
    for block in blocks_of(page):
        for line in block.text.splitlines() if block.language == "bash" else ():
            bare = line.split(" #")[0].strip()
            assert not bare or bare.startswith(("#", "neomflex ", *OTHER_PROGRAMS)), f"{page}: {line}"
            for word in bare.split():
                if word.endswith(".py") and not bare.startswith("neomflex"):
                    assert (ROOT / word).exists(), f"{page}: {word}"


def test_scripts_that_pages_name_are_there() -> None:
    named = {
        word
        for page in PAGES
        for word in Path(ROOT / page).read_text("utf-8").split()
        if word.startswith("`benchmarks/")
    }
    assert all((ROOT / word.strip("`.,;:)")).exists() for word in named)
