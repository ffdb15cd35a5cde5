"""The one error users are meant to read: something they gave us is wrong, and the message says how to put it right."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """A file, field, flag or argument from the user is not usable.

    The message names what is wrong, where, what is allowed and what to do. The command line prints it without a
    traceback and exits with status 2.
    """


def unknown_name(what: str, name: object, known: Iterable[str]) -> InputError:
    """Build the error for a name that is none of the known ones, suggesting the nearest."""
    names = sorted(known)
    close = get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return InputError(f"unknown {what} {name!r}; known: {', '.join(names)}.{hint}")
