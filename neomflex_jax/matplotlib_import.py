"""Matplotlib whatever ``MPLBACKEND`` says: a notebook hands the name of its backend to every process it starts."""

from __future__ import annotations

import os
import sys

VARIABLE = "MPLBACKEND"


def load_matplotlib() -> None:
    """Import Matplotlib, without the backend that the environment names where Matplotlib does not know it.

    Our figures have canvases of their own, so that no backend has to be there; pandapower imports Matplotlib too.
    """
    if "matplotlib" in sys.modules:
        return
    try:
        import matplotlib
    except ValueError:  # an unknown backend, and an import that stopped half-way
        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            del sys.modules[name]
        unknown = os.environ.pop(VARIABLE, "")
        try:
            import matplotlib  # noqa: F401
        finally:
            os.environ[VARIABLE] = unknown
