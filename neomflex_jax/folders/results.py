"""Results of several files that belong together: made beside their place, swapped in as a whole, never over others'.

One or more of the files are headlines: they say what the others are, or what came of them. While files are exchanged no
headline is there, so that whoever looks, or finds what a killed process left, sees the old results, the new ones, or
files that nothing stands over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neomflex_jax.errors import InputError
from neomflex_jax.folders.marker import MARKER, is_plain_file, is_there, made_in, mark, unmark

NEW = ".neomflex-new"  # in the folder itself, so that files move within one file system


@dataclass(frozen=True)
class ResultKind:
    """What results of a kind consist of."""

    name: str
    headlines: tuple[str, ...]  # removed first, written last
    files: tuple[str, ...]  # always made, headlines included; runs may add others
    before_markers: Callable[[Path], Collection[str]]  # names that are ours in a folder from before there were markers


@dataclass(frozen=True)
class ResultFolder:
    """A folder that holds results of a kind, perhaps with other things."""

    root: Path
    kind: ResultKind

    def made(self) -> frozenset[str]:
        """Names of the results' files here that are ours."""
        marked = made_in(self.root, self.kind.name)
        return frozenset(self.kind.before_markers(self.root)) if marked is None else marked

    def unfinished(self) -> bool:
        """Return True if there are files of such results but a headline is missing."""
        names = {*self.kind.files, *self.made()}
        present = {name for name in names if is_there(self.root / name)}
        return bool(present) and not set(self.kind.headlines) <= present

    def check(self, *, overwrite: bool, more: Iterable[str] = (), others: Iterable[str] = ()) -> None:
        """Make sure that results may be written here; changes nothing.

        Parameters
        ----------
        overwrite
            Whether results of ours may be replaced.
        more
            Names that will be written beside the kind's own.
        others
            Names that will not, and must not be there without `overwrite` all the same.

        Raises
        ------
        InputError
            If there are results and `overwrite` is false, or files of these names that are not ours.
        """
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"{self.root}: is a file; give an output folder")
        ours = self.made()
        names = (*self.kind.files, *more)
        present = [name for name in (*names, *sorted(ours), *others) if is_there(self.root / name)]
        if present and not overwrite:
            raise InputError(f"{self.root}: already holds {present[0]}; give --overwrite or another --output")
        self._refuse_foreign(names, ours)

    @contextmanager
    def replaced(self) -> Iterator[Path]:
        """Yield a folder for new results, all plain files; they replace the old ones if the block succeeds.

        Only for who holds the folder (`alone_in`) and has called `check`.
        """
        with beside(self.root) as new:
            yield new
            self._swap(new)

    def withdraw(self) -> None:
        """Remove the results, headlines first."""
        made = self.made()
        for name in (*self.kind.headlines, *sorted(made - {*self.kind.headlines})):
            if name in made:
                (self.root / name).unlink(missing_ok=True)
        unmark(self.root, self.kind.name)

    def _swap(self, new: Path) -> None:
        old, names = self.made(), frozenset(path.name for path in new.iterdir())
        self._refuse_foreign(names, old)
        mark(self.root, self.kind.name, old | names)
        swap_in(new, self.root, self.kind.headlines, old)
        mark(self.root, self.kind.name, names)

    def _refuse_foreign(self, names: Iterable[str], ours: Collection[str]) -> None:
        for name in sorted({*names, *ours}):
            path = self.root / name
            if is_there(path) and not is_plain_file(path):
                raise InputError(f"{path}: is a link or no file; move it away, or give another --output")
            if is_there(path) and name not in ours:
                raise InputError(
                    f"{self.root}: holds {name}, and no {MARKER} says that this program wrote it; nothing was changed: "
                    "move it away, or give another --output"
                )


@contextmanager
def beside(root: Path) -> Iterator[Path]:
    """Yield an empty folder in `root` for plain files; what is still in it at the end is removed."""
    new = root / NEW
    _clear(new)
    new.mkdir()
    try:
        yield new
    finally:
        _clear(new)


def swap_in(new: Path, root: Path, headlines: Sequence[str], old: Collection[str]) -> None:
    """Move all files of a folder into `root`, in place of old ones; no headline is there meanwhile.

    Parameters
    ----------
    new
        As from `beside`.
    root
        Where to.
    headlines
        Names that go first and come last, the first of them as the last.
    old
        Names of what is ours in `root`: those that do not come again go.
    """
    names = {path.name for path in new.iterdir()}
    for name in (*headlines, *sorted({*old} - names - {*headlines})):
        if name in old:
            (root / name).unlink(missing_ok=True)
    for name in (*sorted(names - {*headlines}), *(name for name in reversed(headlines) if name in names)):
        (new / name).replace(root / name)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def changed_since(folder: Path, hashes: Mapping[str, str]) -> list[str]:
    """Names of files that are no longer there, or are others than when the hashes were taken."""
    return [name for name, digest in sorted(hashes.items()) if not _is(folder / name, digest)]


def _is(path: Path, digest: str) -> bool:
    try:
        return path.is_file() and sha256_of(path) == digest
    except OSError:
        return False


def _clear(new: Path) -> None:
    """Remove what was not finished: plain files, as nothing else is ever made there."""
    if new.is_symlink() or (new.exists() and not new.is_dir()):
        raise InputError(f"{new}: must be a folder of ours; move it away")
    if new.is_dir():
        for path in new.iterdir():
            if not is_plain_file(path):
                raise InputError(f"{path}: is nothing of ours; move it away")
            path.unlink()
        new.rmdir()
