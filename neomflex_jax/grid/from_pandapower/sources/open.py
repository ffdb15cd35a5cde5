"""One way to open a pandapower net by what a user calls it."""

from __future__ import annotations

import copy
from pathlib import Path

from neomflex_jax.errors import InputError
from neomflex_jax.files.paths import is_folder
from neomflex_jax.files.whole_files import whole_file
from neomflex_jax.grid.from_pandapower.json_file import read_net
from neomflex_jax.grid.from_pandapower.sources import mapdn, matpower, pandapower_networks, simbench
from neomflex_jax.grid.from_pandapower.sources.source import NetSource
from neomflex_jax.loose_types import PandapowerNet

BY_PREFIX = {"simbench": simbench.open_net, "pandapower": pandapower_networks.open_net}


def is_net_source(text: str) -> bool:
    """Return True if a text means a net rather than a packaged feeder or a feeder folder."""
    if is_folder(Path(text)):
        return mapdn.is_mapdn(Path(text))
    return text.partition(":")[0] in BY_PREFIX or Path(text).suffix in (".json", *matpower.SUFFIXES)


def open_net(text: str) -> NetSource:
    """Open a net.

    Parameters
    ----------
    text
        ``simbench:CODE``, ``pandapower:FUNCTION(name=value, ...)``, a ``net.json``, a MATPOWER case (``.m``, ``.mat``),
        or a folder in MAPDN's layout.

    Raises
    ------
    InputError
        If there is no such net, it cannot be read, or what reads it is not installed.
    """
    prefix, _, rest = text.partition(":")
    if prefix in BY_PREFIX:
        return BY_PREFIX[prefix](rest)
    path = Path(text)
    if is_folder(path):
        return mapdn.open_net(path)
    if path.suffix in matpower.SUFFIXES:
        return matpower.open_net(path)
    if path.suffix == ".json":
        return NetSource(read_net(path), path.stem)
    kinds = "a net.json, a .m or .mat case, a folder with load_active.csv, simbench:CODE or pandapower:FUNCTION"
    raise InputError(f"{text}: no pandapower net; give {kinds}")


def save_net(net: PandapowerNet, path: Path) -> None:
    """Write a net as a ``net.json``, its tables alone."""
    import pandapower  # slow to import, and needed for nets alone

    bare = copy.copy(net)
    for name in [name for name in net if name in ("profiles", "loadcases") or name.startswith("_")]:
        bare.pop(name)
    with whole_file(path) as partial:
        pandapower.to_json(bare, str(partial))
