"""Load shapes that state fewer values than their `npts`.

OpenDSS fills what is missing of a list with zeros, and reads on in memory that nobody wrote where a file of `qmult` or
`hour` is short or `npts` grows afterwards. In its answer a zero looks like one that was meant, as at night, so values
are counted command by command and held against `npts` at the end. Of more values OpenDSS takes the first `npts`, and
where a file of `mult` has fewer it makes `npts` as many, as its manual says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from neomflex_jax.errors import InputError
from neomflex_jax.grid.from_opendss.words import Argument, arguments_of

MULT, QMULT, HOUR = "mult", "qmult", "hour"
LISTS = {"mult": MULT, "pmult": MULT, "qmult": QMULT, "hour": HOUR}
WHOLE_FILES = {"csvfile": (MULT,), "sngfile": (MULT,), "dblfile": (MULT,), "pqcsvfile": (MULT, QMULT)}
NAME_OBJECTS, GO_ON, CLEAR = ("new", "edit"), ("more", "m", "~"), ("clear", "clearall")


@dataclass
class Lengths:
    """What one shape has after the last command that touched it."""

    npts: int = 0
    place: str = ""  # of that command
    lists: dict[str, int] = field(default_factory=dict)


@dataclass
class ShapeLengths:
    """How many values each load shape was given, by name."""

    _known: dict[str, Lengths] = field(default_factory=dict, init=False)

    def follow(self, engine: Any, command: str, place: str) -> None:
        """Count what a command that OpenDSS has just been told gives to a load shape."""
        verb, _, rest = command.partition(" ")
        if verb in CLEAR:
            self._known.clear()
        if verb not in (*NAME_OBJECTS, *GO_ON) or engine.ActiveClass.ActiveClassName().lower() != "loadshape":
            return
        name, npts = str(engine.LoadShape.Name()).lower(), int(engine.LoadShape.Npts())
        known = self._known.setdefault(name, Lengths())
        known.npts, known.place = npts, place
        arguments = arguments_of(rest)
        named = arguments.pop(0).value.partition(".")[2].lower() if verb in NAME_OBJECTS else name
        for property_name, value in _by_full_name(engine, arguments):
            if property_name == "like":  # after which OpenDSS has the other one at hand
                other = self._known.get(value.lower(), Lengths())
                self._known[named] = replace(other, lists=dict(other.lists))
            elif property_name in LISTS:
                what = LISTS[property_name]
                known.lists[what] = min(npts, _count(what, value, npts))
            else:
                known.lists.update(dict.fromkeys(WHOLE_FILES.get(property_name, ()), npts))

    def check(self) -> None:
        """Raise `InputError` if a shape has fewer values than its `npts` at the end, with file and line."""
        for name, known in self._known.items():
            for what, length in known.lists.items():
                if length < known.npts:
                    raise InputError(
                        f"{known.place}: load shape {name!r}: npts={known.npts}, and {what} has {length} values, which "
                        f"OpenDSS fills up in silence; give it the missing values, or npts={length}"
                    )


def _by_full_name(engine: Any, arguments: list[Argument]) -> Iterator[Argument]:
    """Walk through arguments by the full names of their properties, which short forms and positions stand for."""
    names = [str(name).lower() for name in engine.Element.AllPropertyNames()]
    for position, (name, value) in enumerate(arguments):
        if not name:
            yield Argument(names[position] if position < len(names) else "", value)
        else:
            short = (each for each in names if each.startswith(name))
            yield Argument(name if name in names else next(short, name), value)


def _count(what: str, value: str, npts: int) -> int:
    """Count the values of a list, or of the file that it names."""
    found = arguments_of(value)
    if not any(argument.name for argument in found):
        return len(found)
    return npts if what == MULT else _count_in_file(value, npts)


def _count_in_file(value: str, npts: int) -> int:
    """Count what OpenDSS finds in a file, up to `npts`, in a circuit of its own: of `mult` it makes that `npts`."""
    import opendssdirect

    quotes = next((pair for pair in ("()", "[]", "{}", '""', "''") if not set(pair) & set(value)), None)
    if quotes is None:
        return npts
    aside = opendssdirect.NewContext()
    aside.Basic.AllowForms(False)
    aside.Text.Command("new circuit.aside")
    aside.Text.Command(f"new loadshape.counted npts={npts} interval=1 mult={quotes[0]}{value}{quotes[1]}")
    return int(aside.LoadShape.Npts())
