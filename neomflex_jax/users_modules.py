"""Modules that users write: what they register exists once they are imported, and files name them.

Nothing is ever imported because a file names it: importing runs a module, and files come from anywhere. Who reads a
file that needs one is told which, and imports it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from neomflex_jax.errors import InputError, shown

MAIN = "__main__"  # what Python calls a script that is run, and a notebook


def module_of(thing: object) -> str:
    """Name under which the module of a class or function can be imported; of a script that is run, its file's."""
    name = str(getattr(thing, "__module__", None) or MAIN)
    if name != MAIN:
        return name
    main = sys.modules[MAIN]
    if main.__spec__ is not None:  # python -m name
        return main.__spec__.name
    file = getattr(main, "__file__", None)  # a notebook has none
    return MAIN if file is None else Path(file).stem


def advice_to_import(module: str) -> str:
    """What to do about something that this module registers and that is not known here."""
    if module == MAIN:
        return "run the cells or the script that register it first"
    return f"import {shown(module)}, which registers it (on the command line: --import {module}, or its file)"


def import_named(named: str) -> None:
    """Import a user's module.

    Parameters
    ----------
    named
        Its name, or its file. A file's folder is searched for modules from then on, by worker processes too.

    Raises
    ------
    InputError
        If there is no such module or file, it needs one that is not there, or its name is another module's.
    """
    where, path = f"--import {named}", Path(named)
    is_file = path.suffix == ".py"
    if is_file and not path.is_file():
        raise InputError(f"{where}: there is no such file")
    name = path.stem if is_file else named
    if not all(part.isidentifier() for part in name.split(".")):
        raise InputError(f"{where}: is no module's name; give one, or a file that ends in .py")
    if is_file:
        sys.path.insert(0, str(path.resolve().parent))
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise InputError(f"{where}: it imports {shown(error.name)}, which is not there; install it") from error
        raise InputError(f"{where}: no module of this name is found; give its file, as in folder/{name}.py") from None
    found = getattr(module, "__file__", None)
    if is_file and (found is None or not path.samefile(found)):
        raise InputError(f"{where}: another module is called {name!r} ({found or 'built in'}); rename the file")
