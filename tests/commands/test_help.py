"""Help reads well at 80 columns, and what is mistyped gets one sentence."""

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest
from command_line import neomflex

COMMANDS = sorted((Path(__file__).parents[2] / "neomflex_jax" / "commands").glob("*.py"))


def texts(path: Path) -> list[tuple[str, str]]:
    """Docstrings of the classes that commands are made of, and of their fields, as the source has them."""
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and any("dataclass" in ast.dump(each) for each in node.decorator_list):
            for before, after in zip([None, *node.body], node.body, strict=False):
                is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                if is_text and (before is None or isinstance(before, ast.AnnAssign)):
                    name = node.name if before is None else f"{node.name}.{before.target.id}"
                    found.append((name, str(after.value.value)))
    return found


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_help_has_no_line_that_ends_in_the_middle_of_a_sentence(path: Path) -> None:
    """The library that prints it keeps a line break before anything but a letter, an indented line included."""
    for name, text in texts(path):
        lines = text.strip().split("\n")
        for before, line in pairwise(lines):
            seen = line if "." in name else line.strip()  # a class's docstring is seen without its indentation
            joined = seen[:1].isalpha() or not before.strip()
            assert joined or not seen or before.rstrip().endswith((".", ":")), f"{path.name}, {name}: {line}"


@pytest.mark.parametrize("command", ["train", "sweep", "evaluate", "plot"])
def test_help_shows_what_an_option_takes_and_not_that_it_may_be_left_out(command, capsys):
    assert neomflex(command, "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "{None}" not in text and "(default: None)" not in text and "(default: )" not in text
    assert {"train": "--seed INT", "sweep": "--gamma [FLOAT [FLOAT ...]]"}.get(command, "usage") in text


def test_none_may_still_be_written_where_an_option_may_be_left_out(capsys):
    nothing = ("--seed", "None", "--scenario", "None", "--total-steps", "0")
    assert neomflex("train", "--output", "x", *nothing) == 2
    assert "total_steps = 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("tran", "error: unknown command 'tran'; known: .* Did you mean 'train'?"),
        ("scenario shwo neom33", "error: unknown command of scenario 'shwo'; known: .* Did you mean 'show'?"),
        ("scenario shwo neom33 --json", "{.*error.*unknown command of scenario 'shwo'; known: .* Did you mean 'show'?"),
        ("train --outptu x", "error: unknown option --outptu. Did you mean --output?"),
        ("train --output x --sac.gama 0.9", "error: unknown option --sac.gama. Did you mean --sac.gamma?"),
        ("train", "error: --output PATH is missing: Folder for the run"),
        ("train --output x --seed abc", "error: --seed takes a whole number, not 'abc'"),
        ("train --output x --max-seconds soon", "error: --max-seconds takes a number, not 'soon'"),
        ("train --output x --devices=many", "error: --devices takes a whole number, not 'many'"),
        ("train --output x --seed", "error: --seed takes a whole number"),
        ("train --output", "error: --output takes a path"),
        (
            "train --output x --sac.actors byknd",
            "error: unknown sac.actors 'byknd'; known: by-kind, independent, shared. Did you mean 'by-kind'?",
        ),
        ("train --output x --sac.batch-size", "error: --sac.batch-size takes a whole number"),
        ("train --output x --sac.gamma 2", "error: --sac: gamma = 2.0 must .*; neomflex train --help explains$"),
        (
            "evaluate --output x --policy volt_vra",
            "error: unknown policy 'volt_vra'; .*Did you mean 'volt_var'?",
        ),
        ("plot", "error: an argument is missing: soc, voltage"),
        ("train --output x extra", "error: 'extra' belongs to no option"),
        ("feeder", "error: neomflex feeder needs one of: show, import, check"),
        ("", "error: give a command: train, sweep"),
    ],
)
def test_what_is_mistyped_gets_one_sentence(arguments: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert neomflex(*arguments.split()) == 2
    said = capsys.readouterr()
    lines = (said.out + said.err).splitlines()
    assert len(lines) == 1, lines
    assert re.match(sentence.replace("?", r"\?"), lines[0]), lines[0]
    assert "NoneType" not in lines[0] and "{None}" not in lines[0]
