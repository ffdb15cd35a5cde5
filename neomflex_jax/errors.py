"""The one error users are meant to read: something they gave us is wrong, and the message says how to put it right."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from reprlib import Repr

MOST_SHOWN = 100  # characters of a value, and names in a list
MOST_TEXT = 400  # characters of a list or table
MOST_LISTED, NEAREST = 12, 5  # known names: more are listed elsewhere, and only the nearest are named
_brief = Repr()
_brief.maxlevel, _brief.maxstring, _brief.maxother, _brief.maxlong = 4, MOST_SHOWN, MOST_SHOWN, 40
_brief.maxlist = _brief.maxtuple = _brief.maxdict = _brief.maxset = _brief.maxfrozenset = 20


class InputError(ValueError):
    """A file, field, flag or argument from the user is not usable.

    The message names what is wrong, where, what is allowed and what to do. The command line prints it without a
    traceback and exits with status 2.
    """


def shown(value: object) -> str:
    """Write a value as Python would, cut where it would fill a page."""
    try:
        text = _brief.repr(value)
        return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 3]}..."
    except ValueError:  # Python writes no integers of thousands of digits
        return f"a value of type {type(value).__name__} too long to write"


def shown_list(names: Iterable[object]) -> str:
    """Write names with commas between them, cut likewise."""
    every = [str(name) for name in names]
    texts = [name if len(name) <= MOST_SHOWN else f"{name[: MOST_SHOWN - 3]}..." for name in every[:MOST_SHOWN]]
    return ", ".join(texts) + (f", ... ({len(every)} in all)" if len(every) > MOST_SHOWN else "")


def short_path(path: Path) -> str:
    """Write a path, cut likewise."""
    text = str(path)
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}... ({len(text)} characters)"


def unknown_name(what: str, name: object, known: Iterable[str], *, listed_by: str = "") -> InputError:
    """Build the error for a name that is none of the known ones, suggesting the nearest.

    Parameters
    ----------
    listed_by
        Where to see all known names, if anywhere: of many, only the nearest are then named here.
    """
    names = sorted(known)
    nearest = _nearest(name, names, 0.3)
    if listed_by and len(names) > MOST_LISTED:
        listed = f"{shown_list(nearest or names[:NEAREST])}, ... ({len(names)} in all, see {listed_by})"
    else:
        listed = shown_list(names)
    close = _nearest(name, nearest, 0.6)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return InputError(f"unknown {what} {shown(name)}; known: {listed}.{hint}")


def _nearest(name: object, names: Iterable[str], least: float) -> list[str]:
    """Return the nearest names first, those alone that are as similar as `least`, 0..1."""
    if not isinstance(name, str) or len(name) > MOST_SHOWN:  # looking for them takes the square of the length
        return []
    return get_close_matches(name, [one for one in names if len(one) <= MOST_SHOWN], n=NEAREST, cutoff=least)


def reason_of(error: BaseException) -> str:
    """Return an error's reason in one line, never empty: an `OSError` need not have a text, nor others a message."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def place_and_reason(error: OSError) -> str:
    """Return the path that an error of the system names, if any, and its text."""
    return reason_of(error) if error.filename is None else f"{error.filename}: {reason_of(error)}"
