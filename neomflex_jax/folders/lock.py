"""One writer a folder: a lock of the operating system, which goes with its process, and a note that says whose it is.

Where the file system has no locks, the note alone stands for one: whoever finds the note of a process that lives, or of
another machine, stays away.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from neomflex_jax.errors import InputError, reason_of
from neomflex_jax.files.json_values import read_json_object

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = ".neomflex.lock"
UNLOCKABLE = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
NOTE_SECONDS = 1.0  # that a holder has for its note before it goes unnamed
FAR = 1 << 30  # the byte that is locked where locks keep others from reading: behind the note


@contextmanager
def alone_in(folder: Path, doing: str) -> Iterator[None]:
    """Hold a folder for one writer; it is made if need be, and goes again if nothing was written.

    Parameters
    ----------
    folder
        Where to write.
    doing
        Which command does, for others to read.

    Raises
    ------
    InputError
        If another process, or another thread of this one, holds it, or nothing can be written there.
    """
    try:
        made = _make(folder)
        held = _hold(folder / LOCK, doing)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to ({reason_of(error)}); give another path") from error
    try:
        yield
    finally:
        _let_go(held, folder / LOCK)
        for each in made:
            with suppress(OSError):  # something lies in it
                each.rmdir()


def _make(folder: Path) -> list[Path]:
    """Make a folder, and return those that were missing, the deepest first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _hold(path: Path, doing: str) -> tuple[int, Path]:
    """Lock a file, and return it open, with the path of its note."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            note = path if (locked := _lock(file)) else _hold_by_note(path)
            if not locked or os.path.samestat(os.fstat(file), path.stat()):
                break
        except FileNotFoundError:
            pass  # who held it took the file away as it let go
        except BlockingIOError:
            os.close(file)
            raise InputError(_taken(path, path)) from None
        except BaseException:
            os.close(file)
            raise
        os.close(file)
    about = {"pid": os.getpid(), "host": socket.gethostname(), "doing": doing}
    about["since"] = datetime.now().astimezone().isoformat(timespec="seconds")
    note.write_text(json.dumps(about) + "\n", encoding="utf-8")
    return file, note


def _lock(file: int) -> bool:
    """Lock an open file, at once or not at all (`BlockingIOError`); False if this file system has no locks."""
    try:
        if sys.platform == "win32":
            os.lseek(file, FAR, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in UNLOCKABLE:
            return False
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            raise BlockingIOError from error
        raise
    return True


def _hold_by_note(path: Path) -> Path:
    """Make the note that stands for a lock, unless there is one of a process that may live."""
    note = path.with_name(f"{path.name}.held")
    for _ in range(2):
        try:
            os.close(os.open(note, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            if _may_live(_read(note)):
                raise InputError(f"{_taken(path, note)}, or delete {note} if that process is gone") from None
            note.unlink(missing_ok=True)
        else:
            return note
    raise InputError(_taken(path, note))


def _may_live(about: dict[str, object]) -> bool:
    pid = about.get("pid")
    if about.get("host") != socket.gethostname() or not isinstance(pid, int) or sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is somebody else's
    return True


def _let_go(held: tuple[int, Path], path: Path) -> None:
    file, note = held
    with suppress(OSError):  # where open files cannot go, an unlocked one stays
        path.unlink()
    if note != path:
        note.unlink(missing_ok=True)
    os.close(file)


def _taken(path: Path, note: Path) -> str:
    """Return who holds a folder's lock; one that has just taken it gets a moment to write its note."""
    deadline = time.monotonic() + NOTE_SECONDS
    while not (about := _read(note)) and time.monotonic() < deadline:
        time.sleep(0.02)
    who = "another process"
    if about:
        who = f"process {about.get('pid')} on {about.get('host')} ({about.get('doing')}, since {about.get('since')})"
    return f"{path.parent}: {who} is writing here; wait until it has ended, end it, or give another --output"


def _read(note: Path) -> dict[str, object]:
    try:
        return read_json_object(note, "note of a lock")
    except InputError:
        return {}
