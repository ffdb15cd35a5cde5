"""What a file of OpenDSS may tell it: the commands that make a circuit, one after the other.

A file comes from anyone, and OpenDSS would do whatever it says: write to any path (`export`, `save`), and load a
library (`usermodel`), which runs its code. So OpenDSS never opens such a file. It is told, command by command, what
`Script` has read, with `redirect` and `compile` followed here; what only shows or writes is passed over, and the rest
is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from neomflex_jax.errors import InputError, short_path
from neomflex_jax.files.paths import is_file
from neomflex_jax.grid.from_opendss.words import Argument, arguments_of, without_comment

TAKEN = frozenset(
    {"new", "edit", "more", "m", "~", "select", "solve", "enable", "disable", "set", "open", "close", "reset", "sample"}
    | {"calcvoltagebases", "setkvbase", "buildy", "init", "allocateloads", "buscoords", "latlongcoords", "setbusxy"}
    | {"makebuslist", "reprocessbuses", "setloadandgenkv", "batchedit", "clear", "clearall", "interpolate", "reduce"}
    | {"makeposseq", "remove", "relcalc", "updatestorage", "addbusmarker", "clearbusmarkers"}
)
FOLLOWED = frozenset({"redirect", "compile"})
PASSED_OVER = frozenset(
    {
        "show",
        "export",
        "plot",
        "save",
        "dump",
        "fileedit",
        "formedit",
        "help",
        "comhelp",
        "about",
        "panel",
        "quit",
        "cd",
    }
    | {"visualize", "di_plot", "comparecases", "top", "yearlycurves", "closedi", "cvrtloadshapes", "alignfile", "uuids"}
    | {"exportoverloads", "exportvviolations", "summary", "get", "?", "voltages", "currents", "powers", "seqvoltages"}
    | {"seqcurrents", "seqpowers", "losses", "phaselosses", "cktlosses", "totals", "capacity", "classes", "userclasses"}
    | {"zsc", "zsc10", "zsc012", "zscrefresh", "ysc", "puvoltages", "varvalues", "varnames", "vdiff", "nodediff"}
    | {"nodelist", "totalpowers", "pstcalc"}
)
MAKE_OBJECTS, GO_ON, HAVE_OPTIONS = ("new", "edit", "batchedit"), ("more", "m", "~"), ("set", "solve")
LIBRARIES = ("usermodel", "userdata", "shaftmodel", "shaftdata", "dynadll", "dynadata")  # code that is loaded
WRITTEN_SHAPES = "action"  # of shapes: files of theirs
HARMLESS = "d"  # a property of its own, and no short form of one above
FILES = ("datapath", "casename", "editor", "demandinterval", "diverbose", "overloadreport", "voltexceptionreport")
TOOLS = ("log", "recorder", "querylog", "tracecontrol", "dssvisualizationtool", "registryupdate")
WITH_LIBRARIES = ("generator", "storage", "pvsystem", "capcontrol", "windgen", "generic5", "indmach012")
SHAPES = ("loadshape", "tshape", "priceshape")
FIRST_FEW = 5  # properties by position: none of these classes has a dangerous one among them
MOST_FILES, DEEPEST, MOST_BYTES = 5000, 50, 256 * 1024 * 1024


class Told(NamedTuple):
    """One command for OpenDSS, the folder in which it looks for data, and where it stands."""

    command: str
    folder: Path
    place: str


@dataclass
class Script:
    """Reads a file and those that it redirects to."""

    names: tuple[str, ...]  # OpenDSS's commands, in its order: a short form means the first that begins with it
    _files: int = 0
    _full_names: dict[str, str] = field(default_factory=dict, init=False)
    _kind: str = field(default="", init=False)  # class of the object that `more` goes on with, "" unknown

    def commands(self, path: Path, depth: int = 0) -> Iterator[Told]:
        """Yield what OpenDSS is to be told.

        Raises
        ------
        InputError
            If a file is missing or unreadable, or a command is none of those that make a circuit.
        """
        self._files += 1
        if self._files > MOST_FILES or depth > DEEPEST:
            raise InputError(f"{short_path(path)}: files redirect to each other without end; take a `redirect` out")
        commented = False
        for number, line in enumerate(re.split(r"\r\n|\n|\r", _text(path)), 1):
            place = f"{short_path(path)}, line {number}"
            begins = line.lstrip(" \t").startswith("/*")
            if commented or begins:
                commented = "*/" not in line
                continue
            try:
                command = self._checked(without_comment(line))
                if command is None:
                    continue
                name, rest = command
                if name in FOLLOWED:
                    yield from self.commands(_redirected(path, rest), depth + 1)
                else:
                    yield Told(f"{name} {rest}".strip(), path.parent, place)
            except InputError as error:
                raise error if ", line " in str(error) else InputError(f"{place}: {error}") from None

    def _checked(self, line: str) -> tuple[str, str] | None:
        """Return a command's full name and what follows it; None if there is nothing to be told."""
        word, rest = _first_word(line)
        if not word:
            return None
        if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", line):
            raise InputError("has a control character; save it as plain text")
        if "." in word:  # line.a.length=3
            self._check_values(word.partition(".")[0].lower(), arguments_of(line))
            return "edit", _as_edit(line)
        if rest.startswith("="):
            raise InputError(f"{word!r} is no command; write class.name.{word}=value")
        name = self._full_name(word)
        if name in PASSED_OVER:
            return None
        if name not in TAKEN | FOLLOWED:
            raise InputError(f"command {word!r} makes no circuit and is not read; leave it out")
        found = arguments_of(rest)
        if name in MAKE_OBJECTS:
            if not found or found[0].name not in ("", "object"):
                raise InputError(f"{word!r} names no object; write {word} class.name")
            kind, dot, _ = found[0].value.lower().partition(".")
            self._kind = kind if dot else ""
            if self._kind == "circuit" and re.search(r"[/\\]", found[0].value):
                raise InputError(f"a circuit's name is no path: {found[0].value}; take another")
            self._check_values(self._kind, found[1:])
        elif name in GO_ON:
            self._check_values(self._kind, found)
        elif name in HAVE_OPTIONS:
            _check_options(found)
        if name in ("select", "set", "clear", "clearall", "open", "close", "enable", "disable"):
            self._kind = ""
        return name, rest

    def _full_name(self, word: str) -> str:
        word = word.lower()
        if word not in self._full_names:
            names = [name.lower() for name in self.names]
            first = next((name for name in names if name.startswith(word)), word)
            self._full_names[word] = word if word in names else first
        return self._full_names[word]

    @staticmethod
    def _check_values(kind: str, found: list[Argument]) -> None:
        """Refuse what loads code or writes files, by name, by a name's beginning and by position."""
        # classes, too, may be given by how they begin
        loads = not kind.isalnum() or any(each.startswith(kind) for each in WITH_LIBRARIES)
        writes = not kind.isalnum() or any(each.startswith(kind) for each in SHAPES)
        for argument in found:
            name = argument.name.rpartition(".")[2]
            short = bool(name) and name != HARMLESS and any(each.startswith(name) for each in LIBRARIES)
            if name in LIBRARIES or (loads and short):
                raise InputError(f"{name!r} has OpenDSS load a library, whose code would run; take it out")
            if writes and name and WRITTEN_SHAPES.startswith(name):
                raise InputError(f"{name!r} has OpenDSS write a shape to a file; take it out")
            if "@" in name:
                raise InputError(f"{name!r} is a variable, and none is read; write out what it stands for")
        if loads or writes:
            _check_positions(found)


def _check_positions(found: list[Argument]) -> None:
    """Refuse values without a name but at the beginning, where it is plain which they are."""
    for position, argument in enumerate(found):
        if not argument.name and (position >= FIRST_FEW or any(each.name for each in found[:position])):
            raise InputError(f"value {argument.value!r} has no name; write name=value")


def _check_options(found: list[Argument]) -> None:
    """Refuse options of `set` and `solve` by which OpenDSS would write elsewhere or start something."""
    _check_positions(found)
    for argument in found:
        refused = [each for each in (*FILES, *TOOLS) if argument.name == each]
        short = [each for each in FILES if len(argument.name) > 1 and each.startswith(argument.name)]
        if refused or short:
            raise InputError(f"sets {(refused or short)[0]}, by which OpenDSS writes files; take it out")


def _first_word(line: str) -> tuple[str, str]:
    """Return the first word of a line, and the rest."""
    found = re.match(r"[ \t,]*(//|[^ \t,=]*)[ \t,]*(.*)", line, re.DOTALL)
    return ("", "") if found is None else (found[1].strip("\"'()[]{}"), found[2])


def _as_edit(line: str) -> str:
    """Return ``class.name.property=value`` as OpenDSS's `edit` has it, which asks for less of its parser."""
    word, rest = _first_word(line)
    owner, _, name = word.rpartition(".")
    if owner.count(".") < 1 or not rest.startswith("="):
        raise InputError(f"{word!r} is no command; write class.name.property=value")
    return f"{owner} {name}{rest}"


def _redirected(path: Path, rest: str) -> Path:
    """Return the file that a file goes on in."""
    found = arguments_of(rest)
    name = found[0].value.strip() if found else ""
    for written in (name, name.replace("\\", "/")):
        for ending in ("", ".dss"):
            if name and (found_there := _whatever_its_case(path.parent / (written + ending))) is not None:
                return found_there.resolve()
    raise InputError(f"goes on in {name!r}, and there is no such file; give it a path from {short_path(path.parent)}")


def _whatever_its_case(path: Path) -> Path | None:
    """Return the file of this path, or the one that differs from it in capital letters alone, as on Windows."""
    if is_file(path):
        return path
    folder = path.parent
    if not folder.is_dir():
        above = folder.parent
        same = [each for each in _listed(above) if each.name.lower() == folder.name.lower() and each.is_dir()]
        if len(same) != 1:
            return None
        folder = same[0]
    files = [each for each in _listed(folder) if each.name.lower() == path.name.lower() and is_file(each)]
    return files[0] if len(files) == 1 else None


def _listed(folder: Path) -> list[Path]:
    """Return what lies in a folder, nothing if there is none."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    """Return a file's text: UTF-8, or else Windows' western letters, as many circuits have them in comments."""
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InputError(f"{short_path(path)}: is larger than {MOST_BYTES >> 20} MiB, too large for a circuit")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")
