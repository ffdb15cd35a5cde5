"""Every command's help ends with an example that is understood, and with what to do next."""

import re

import pytest
from command_line import neomflex

from neomflex_jax.cli import COMMANDS, DESCRIPTION
from neomflex_jax.commands.arguments import FRAMES, GROUPS, read_arguments
from neomflex_jax.commands.next_steps import NEXT_STEPS, end_of_help
from neomflex_jax.plots import FIGURES
from neomflex_jax.powerflow.methods.register import METHODS


def test_every_command_and_no_other_has_a_next_step(capsys):
    assert {words[0] for words in NEXT_STEPS if words} == set(COMMANDS)
    for group in GROUPS:
        assert neomflex(group, "--help") == 0
        usage = capsys.readouterr().out.splitlines()[0]
        inner = set(re.findall(r"(?<=[{,])(\w+)(?=[,}])", usage))
        assert inner and {words[1] for words in NEXT_STEPS if words[0:1] == (group,) and words[1:]} == inner


@pytest.mark.parametrize("words", NEXT_STEPS, ids=lambda words: "-".join(words) or "neomflex")
def test_examples_are_understood_and_lines_fit_the_page(words: tuple[str, ...]) -> None:
    step = NEXT_STEPS[words]
    for example in step.examples:
        command = read_arguments(example.split(), COMMANDS, DESCRIPTION)
        assert callable(command.execute)
        assert tuple(example.split()[: len(words)]) == words
    assert all(len(f"  neomflex {example}") <= 80 for example in step.examples)
    assert all(len(line) <= 80 for line in end_of_help(words).splitlines())
    named = re.findall(r"`neomflex (\S+)[^`]*`", step.then)
    assert set(named) <= {*COMMANDS, "COMMAND"}


@pytest.mark.parametrize("arguments", ["export --help", "feeder -h", "feeder import --help", "--help"])
def test_help_ends_with_what_to_do_next(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert neomflex(*arguments.split()) == 0
    *_, example, then = capsys.readouterr().out.rstrip().split("\n\n")
    words = tuple(word for word in arguments.split() if word[0] != "-")
    assert NEXT_STEPS[words].examples[-1] in example
    assert then.startswith("What to do next:") and NEXT_STEPS[words].then.split()[-1] in then


@pytest.mark.parametrize("words", [words for words in NEXT_STEPS if words], ids="-".join)
def test_every_option_is_explained_and_none_may_be_given_as_a_choice(words: tuple[str, ...], monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "400")  # an option and its explanation on a line
    assert neomflex(*words, "--help") == 0
    text = FRAMES.sub(" ", capsys.readouterr().out)
    assert "None" not in text
    options = re.split(r"\n *(?=--?\w)", text.split("\nExample")[0])[1:]
    assert options
    for option in options:
        explained = re.sub(r"\((default|optional|required|repeatable)\b.*?\)", "", option)
        assert len(re.split(r"\s{2,}", explained, maxsplit=1)[1].split()) >= 2, option


def test_choices_that_are_listed_are_those_that_there_are(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "400")
    listed = {}
    for command in ("train", "sweep", "evaluate", "validate", "plot"):
        assert neomflex(command, "--help") == 0
        listed[command] = FRAMES.sub(" ", capsys.readouterr().out)
        flow = re.search(r"--power-flow \{(.*?)\}", listed[command])
        assert command == "plot" or (flow and set(flow[1].split(",")) == set(METHODS))
    (figures,) = re.findall(r"\{(.*?)\}\s+What to draw", listed["plot"])
    assert figures.split(",") == [*FIGURES, "map", "distance", "curves"]
    assert all("--algorithm {sac,gradient}" in listed[command] for command in ("train", "sweep"))
    assert neomflex("train", "--output", "x", "--algorithm") == 2
    assert "--algorithm takes one of sac, gradient" in capsys.readouterr().out
