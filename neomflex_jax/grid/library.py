"""The feeders that come with the package."""

from pathlib import Path

from neomflex_jax.errors import unknown_name
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.from_csv import read_feeder

_FOLDER = Path(__file__).parent.parent / "feeders"


def feeder_names() -> tuple[str, ...]:
    """Names of the packaged feeders."""
    return tuple(sorted(folder.name for folder in _FOLDER.iterdir() if folder.is_dir()))


def load_feeder(name: str | Path) -> Feeder:
    """Load a packaged feeder by name, or a feeder folder by path.

    Raises
    ------
    InputError
        If `name` is neither, or the folder holds no valid feeder.
    """
    if str(name) in feeder_names():
        return read_feeder(_FOLDER / str(name))
    if Path(name).is_dir():
        return read_feeder(Path(name))
    raise unknown_name("feeder (and no such folder)", str(name), feeder_names())
