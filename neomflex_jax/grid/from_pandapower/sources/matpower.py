"""MATPOWER cases, through pandapower's converter."""

from __future__ import annotations

import re
from pathlib import Path

from neomflex_jax.errors import InputError, reason_of
from neomflex_jax.files.paths import is_file
from neomflex_jax.files.text import read_text
from neomflex_jax.grid.from_pandapower.sources.source import NetSource
from neomflex_jax.matplotlib_import import load_matplotlib

SUFFIXES = (".m", ".mat")
MAX_BYTES = 50_000_000
COMPUTED = re.compile(r"^\s*mpc\.\w+\s*\([^=\n]*\)\s*=", re.MULTILINE)  # a part of a matrix, written anew


def open_net(path: Path) -> NetSource:
    """Convert a case.

    Raises
    ------
    InputError
        On a file that is not there or no case, one that computes its data, or a ``.m`` without its reader.
    """
    if not is_file(path):
        raise InputError(f"{path}: no such file; give a MATPOWER case, .m or .mat")
    if path.suffix == ".m":
        computed = COMPUTED.search(read_text(path, "MATPOWER case", MAX_BYTES))
        if computed:
            why = f"computes its data ({computed.group().strip()} ...), and only its tables would be read"
            advice = f"in MATLAB or Octave, mpc = loadcase('{path.stem}'); save('-v7', '{path.stem}.mat', 'mpc')"
            raise InputError(f"{path}: {why}; {advice} makes a file of them")
    load_matplotlib()  # which pandapower imports
    from pandapower.converter.matpower import from_mpc  # slow to import, and needed for cases alone

    try:
        return NetSource(from_mpc(str(path)), path.stem)
    except NotImplementedError as error:  # what pandapower raises without the package
        raise InputError(f"{path}: a .m file is read by matpowercaseframes; pip install matpowercaseframes") from error
    except Exception as error:  # its reader raises whatever the content makes pandas raise
        raise InputError(f"{path}: pandapower cannot convert this case ({reason_of(error)})") from error
