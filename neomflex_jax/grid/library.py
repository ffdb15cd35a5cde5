"""The feeders that come with the package, and one way to open any feeder by what the user calls it."""

from pathlib import Path

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.files.paths import is_file, is_folder
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.grid.unbalanced.feeder import UnbalancedFeeder
from neomflex_jax.grid.unbalanced.folder import NODES
from neomflex_jax.grid.unbalanced.read_folder import read_unbalanced_feeder

_FOLDER = Path(__file__).parent.parent / "feeders"


def feeder_names() -> tuple[str, ...]:
    """Names of the packaged balanced feeders."""
    return tuple(sorted(folder.name for folder in _FOLDER.iterdir() if folder.is_dir() and not has_phases(folder)))


def unbalanced_feeder_names() -> tuple[str, ...]:
    """Names of the packaged feeders with phases."""
    return tuple(sorted(folder.name for folder in _FOLDER.iterdir() if folder.is_dir() and has_phases(folder)))


def has_phases(folder: Path) -> bool:
    """True if a folder is one of an unbalanced feeder."""
    return is_file(folder / NODES)


def load_feeder(name: str | Path) -> Feeder | UnbalancedFeeder:
    """Load a feeder by what the user calls it.

    Parameters
    ----------
    name
        A packaged feeder's name, a feeder folder, an OpenDSS file (``.dss``), or a pandapower ``net.json``. The latter
        two are read as OpenDSS, `runpp` and `runpp_3ph` read them: `Feeder.from_opendss` and `Feeder.from_pandapower`
        with ``strict=False``.

    Returns
    -------
    Feeder or UnbalancedFeeder
        In physical units: ohm, MW, Mvar, kV, kA.

    Raises
    ------
    InputError
        If `name` is none of these, or what is there is no valid feeder.
    """
    return _load(name, phases=None)


def _load(name: str | Path, phases: bool | None) -> Feeder | UnbalancedFeeder:
    """Load a feeder; `phases` as in `Feeder.from_pandapower`."""
    packaged = str(name) in (*feeder_names(), *unbalanced_feeder_names())
    path = _FOLDER / str(name) if packaged else Path(name)
    if packaged or is_folder(path):
        return read_unbalanced_feeder(path) if has_phases(path) else Feeder.from_csv(path)
    if path.suffix.lower() == ".dss":
        return Feeder.from_opendss(path, strict=False)
    if is_file(path) or path.suffix == ".json":
        return Feeder.from_pandapower(path, strict=False, phases=phases)
    raise unknown_name("feeder (and no such folder or file)", str(name), (*feeder_names(), *unbalanced_feeder_names()))


def shows_phases(name: str | Path) -> bool:
    """True if a feeder's name shows that it has phases; reads no feeder, so a ``net.json`` may have some after all."""
    packaged = _FOLDER / str(name) if str(name) in unbalanced_feeder_names() else Path(name)
    return has_phases(packaged) or packaged.suffix.lower() == ".dss"


def load_balanced_feeder(name: str | Path, what: str = "what is asked for") -> Feeder:
    """Load a feeder for `what` knows no phases; raises `InputError` as `load_feeder` does, and where it has phases."""
    return balanced(_load(name, phases=False), what, str(name))


def balanced(feeder: Feeder | UnbalancedFeeder, what: str, name: str | None = None) -> Feeder:
    """Return a feeder for `what` knows no phases; raises `InputError` where it has some, under the name it goes by."""
    if isinstance(feeder, UnbalancedFeeder):
        raise InputError(
            f"feeder {(name or feeder.name)!r} has phases, and {what} is of balanced feeders alone, as "
            f"{', '.join(feeder_names()[:3])} or a folder of one's own"
        )
    return feeder
