"""One writer a folder: refused by name, let go with its process, also where the file system has no locks."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neomflex_jax.errors import InputError
from neomflex_jax.folders import lock
from neomflex_jax.folders.lock import LOCK, alone_in

HOLD = """
import sys
from pathlib import Path
from neomflex_jax.folders import lock
if sys.argv[2] == "unlockable":
    lock._lock = lambda file: False
with lock.alone_in(Path(sys.argv[1]), "train"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path, kind: str = "lockable") -> Iterator[subprocess.Popen[str]]:
    """Have another process hold a folder."""
    command = [sys.executable, "-c", HOLD, str(folder), kind]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("kind", ["lockable", "unlockable"])
def test_a_second_writer_is_told_who_is_there_and_a_killed_one_holds_nothing(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "unlockable":
        monkeypatch.setattr(lock, "_lock", lambda file: False)
    with holder(tmp_path, kind) as process:
        said = rf"process {process.pid} on {socket.gethostname()} \(train, since \d{{4}}-.* is writing here"
        with pytest.raises(InputError, match=said), alone_in(tmp_path, "evaluate"):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (tmp_path / LOCK).exists()  # what it left, and nobody holds
        with alone_in(tmp_path, "evaluate"):
            pass
    assert not list(tmp_path.iterdir())


def test_another_machine_s_note_is_believed_where_there_are_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_lock", lambda file: False)
    note = tmp_path / f"{LOCK}.held"
    note.write_text(json.dumps({"pid": 1, "host": "elsewhere", "doing": "train", "since": "today"}))
    said = r"process 1 on elsewhere.*or delete .*held if that process is gone"
    with pytest.raises(InputError, match=said), alone_in(tmp_path, "train"):
        pass
    assert note.exists()


def test_another_thread_is_another_writer(tmp_path: Path) -> None:
    refused = []

    def intrude() -> None:
        try:
            with alone_in(tmp_path, "sweep"):
                pass
        except InputError as error:
            refused.append(str(error))

    with alone_in(tmp_path, "train"):
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()
    assert f"process {os.getpid()}" in refused[0]


def test_folders_made_for_nothing_go_again_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path / "mine" / "deep" / "er", "train"):
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]
    with alone_in(tmp_path / "mine" / "deep", "train"):
        (tmp_path / "mine" / "deep" / "x").write_text("x")
    assert (tmp_path / "mine" / "deep" / "x").exists() and not (tmp_path / "mine" / "deep" / LOCK).exists()


def test_a_lock_that_is_let_go_while_one_waits_for_its_file_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, tries = lock._lock, []

    def after_it_was_let_go(file: int) -> bool:
        tries.append(file)
        if len(tries) == 1:
            (tmp_path / LOCK).unlink()  # by the one before, between our opening and our locking it
        return plain(file)

    monkeypatch.setattr(lock, "_lock", after_it_was_let_go)
    with alone_in(tmp_path, "train"):
        assert len(tries) == 2 and json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("what", ["file", "link"])
def test_where_nothing_can_be_written_the_reason_is_given(tmp_path: Path, what: str) -> None:
    place = tmp_path / "place"
    if what == "file":
        place.write_text("x")
    else:
        place.mkdir()
        (place / LOCK).symlink_to(tmp_path / "victim")
    reason = r"cannot be written to \((?!None).+\); give another path"
    with pytest.raises(InputError, match=reason), alone_in(place, "train"):
        pass
    assert not (tmp_path / "victim").exists()
