"""Reading a command line; what is mistyped is answered in one sentence."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from difflib import get_close_matches
from typing import Protocol

import tyro

from neomflex_jax.agents.sac.config import AUTO
from neomflex_jax.commands.answering import AnswerOptions
from neomflex_jax.commands.next_steps import PROGRAM, end_of_help
from neomflex_jax.commands.optional_values import NOTHING, REGISTRY
from neomflex_jax.errors import InputError, unknown_name

FRAMES = re.compile(r"[\u2500-\u257f]+|^ *-{3,} *$", re.MULTILINE)  # box-drawing characters, and rules of hyphens
KINDS = {"INT": "a whole number", "FLOAT": "a number", "PATH": "a path", "STR": "a text"}


class Command(Protocol):
    """A command with its options, as `cli.py` runs it."""

    @property
    def answer(self) -> AnswerOptions:
        """How it answers."""
        ...

    def execute(self, started: float) -> int:
        """Run, and return the exit status; `started` is `time.monotonic()` at the program's start."""
        ...


OR_AUTO = ("--sac.n-copies", "--gradient.n-copies")
GROUPS = ("feeder", "scenario")  # commands with commands of their own


def read_arguments(
    arguments: Sequence[str], commands: Mapping[str, Callable[..., Command]], description: str
) -> Command:
    """Return the command that the arguments ask for; ends the program where they ask for help.

    Raises
    ------
    InputError
        If they are not understood, in one sentence.
    """
    arguments, said = _with_auto_as_number(arguments), io.StringIO()
    try:
        with redirect_stderr(said):
            return _parse(arguments, commands, description)
    except SystemExit as ended:
        if not ended.code:
            if {"-h", "--help"} & set(arguments):
                print(end_of_help(arguments))
            raise
    words = words_of(arguments, commands)
    help_text = io.StringIO()
    with redirect_stdout(help_text), redirect_stderr(help_text), suppress(SystemExit):
        _parse([*words, "--help"], commands, description)
    text, flags = (" ".join(FRAMES.sub(" ", stream.getvalue()).split()) for stream in (said, help_text))
    raise _mistake(list(arguments), text, flags, " ".join([PROGRAM, *words]))


def words_of(arguments: Sequence[str], commands: Iterable[str]) -> list[str]:
    """Return the words that name the command: none where the first names none, two of a group."""
    words = [arguments[0]] if arguments and arguments[0] in commands else []
    return words + (
        [] if words[:1] not in ([group] for group in GROUPS) else [w for w in arguments[1:2] if w[:1] != "-"]
    )


def _with_auto_as_number(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `auto` after an option that takes a number or that word as `AUTO`, the number it is."""
    words: list[str] = []
    for word in arguments:
        flag, equals, value = word.partition("=")
        if equals and value == "auto" and flag.replace("_", "-") in OR_AUTO:
            words.append(f"{flag}={AUTO}")
        elif word == "auto" and words and words[-1].replace("_", "-") in OR_AUTO:
            words.append(str(AUTO))
        else:
            words.append(word)
    return words


def _parse(arguments: Sequence[str], commands: Mapping[str, Callable[..., Command]], description: str) -> Command:
    return tyro.extras.subcommand_cli_from_dict(
        dict(commands),
        prog=PROGRAM,
        description=description,
        args=list(arguments),
        config=(tyro.conf.FlagCreatePairsOff,),
        registry=REGISTRY,
    )


def _mistake(arguments: list[str], said: str, help_text: str, command: str) -> InputError:
    """Return what the parser said at length as one sentence; `help_text` is the command's."""
    more = f"; {command} --help explains"
    if found := re.search(r"Unrecognized (?:or misplaced )?options: (\S+?),?(?: |$)", said):
        return _unrecognized(found[1], said, help_text, command)
    if found := re.search(r"Error parsing (--[\w.-]+)", said):
        given = _values(found[1], arguments)
        return InputError(f"{found[1]} takes {_kind(found[1], help_text)}, not {given!r}{more}")
    of_group = r"Error parsing __[\w-]+__\.([\w.-]+): (.*?)(?: For full helptext|$)"  # what a dataclass refused
    if found := re.search(of_group, said):
        return InputError(f"--{found[1]}: {found[2]}{more}")
    if found := re.search(r"Missing value for argument '(--[\w.-]+)'", said):
        return InputError(f"{found[1]} takes {_kind(found[1], help_text)}{more}")
    if found := re.search(r"invalid choice '(.*?)' for argument '(?:--)?(.*?)'\. Expected one of \((.*?)\)", said):
        choices = [choice for choice in re.findall(r"'([^']*)'", found[3]) if choice != NOTHING]
        return unknown_name(found[2], found[1], choices)
    if found := re.search(
        r"Missing from [^:]*: (--[\w.-]+(?: [A-Z]+)?|[A-Z]+\S*|\{[^}]+\}) (.*?)\.? ?\(required\)", said
    ):
        name = found[1] if found[1].startswith("--") else "an argument"
        what = ", ".join(re.split(r",\s*", found[1].strip("{}"))) if found[1].startswith("{") else found[2]
        return InputError(f"{name} is missing: {what}{more}")
    if found := re.search(r"Expected one of \{(.*?)\}", said):
        return InputError(f"{'give a command' if command == PROGRAM else command + ' needs one of'}: {found[1]}{more}")
    return InputError(said.partition(" For full helptext")[0] + more)


def _unrecognized(word: str, said: str, help_text: str, command: str) -> InputError:
    """Return a sentence that names the option or command that was meant, if one is near."""
    if word.startswith("-"):
        close = get_close_matches(word, sorted(set(re.findall(r"--[\w.-]+", help_text))), n=1)
        return InputError(
            f"unknown option {word}" + (f". Did you mean {close[0]}?" if close else f"; {command} --help lists them")
        )
    if found := re.search(r"Available subcommands: (.*?) (?:For full|Perhaps)", said):
        of = command.split()[1:2]
        return unknown_name("command" + "".join(f" of {group}" for group in of), word, found[1].split(", "))
    return InputError(f"{word!r} belongs to no option; {command} --help lists them")


def _kind(flag: str, help_text: str) -> str:
    """Return what a flag takes, in words, from the command's help."""
    found = re.search(rf"{re.escape(flag)} ([{{\[A-Z]\S+)", help_text)
    metavar = found[1] if found else ""
    several = metavar.startswith("[")
    if metavar[:1] == "{":
        return f"one of {metavar.strip('{}').replace(',', ', ')}"
    kind = next((text for name, text in KINDS.items() if name in metavar), "a value")
    return kind if not several else f"{kind}, or several"


def _values(flag: str, arguments: list[str]) -> str:
    """Return what was written after a flag."""
    words = [part for word in arguments for part in (word.split("=", 1) if word.startswith(f"{flag}=") else [word])]
    after = words[words.index(flag) + 1 :] if flag in words else []
    return " ".join(after[: next((at for at, word in enumerate(after) if word.startswith("--")), len(after))])
