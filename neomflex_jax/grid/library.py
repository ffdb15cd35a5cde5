"""The feeders that come with the package, and one way to open any feeder by what the user calls it."""

from pathlib import Path

from neomflex_jax.errors import unknown_name
from neomflex_jax.files.paths import is_file, is_folder
from neomflex_jax.grid.feeder import Feeder

_FOLDER = Path(__file__).parent.parent / "feeders"


def feeder_names() -> tuple[str, ...]:
    """Names of the packaged feeders."""
    return tuple(sorted(folder.name for folder in _FOLDER.iterdir() if folder.is_dir()))


def load_feeder(name: str | Path) -> Feeder:
    """Load a feeder by what the user calls it.

    Parameters
    ----------
    name
        A packaged feeder's name, a feeder folder, or a pandapower ``net.json``, which is read as `runpp` reads it:
        `Feeder.from_pandapower` with ``strict=False``.

    Returns
    -------
    Feeder
        In physical units: ohm, MW, Mvar, kV, kA.

    Raises
    ------
    InputError
        If `name` is none of these, or what is there is no valid feeder.
    """
    if str(name) in feeder_names():
        return Feeder.from_csv(_FOLDER / str(name))
    if is_folder(Path(name)):
        return Feeder.from_csv(Path(name))
    if is_file(Path(name)) or Path(name).suffix == ".json":
        return Feeder.from_pandapower(Path(name), strict=False)
    raise unknown_name("feeder (and no such folder or file)", str(name), feeder_names())
