"""What of a run's folder a run has made, by name and place; whatever else lies there is somebody else's, and stays."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from neomflex_jax.agents.policy_files import FORMAT
from neomflex_jax.errors import InputError
from neomflex_jax.folders.marker import is_plain_file, is_there

FILES = ("config.json", "result.json", "metrics.csv")  # in the order in which they are removed
FOLDERS = ("policies", "checkpoints", "checkpoints_broken", "events", "trace")
PARTS = (*FILES, *FOLDERS)
UNFINISHED = re.compile(r"\.(config\.json|result\.json|metrics\.csv|\.neomflex\.json)\.\d+\.partial")
POLICY = re.compile(r"policies/([^/]+)\.safetensors")
UNSAVED = r"(\.orbax-checkpoint-tmp[^/]*)?"  # what Orbax adds to a name until all is written
STEP = rf"(checkpoints/\d+{UNSAVED}|checkpoints_broken/\d+(\.\d+)?)"
IN_A_STEP = re.compile(rf"{STEP}/.+")
MADE = re.compile(
    rf"{STEP}/(_CHECKPOINT_METADATA|commit_success\.txt|(arrays|note){UNSAVED}/.+)"  # Orbax names what lies in these
    r"|policies/\.[^/]+\.safetensors\.\d+\.partial|policies/\.new/[^/]+"
    r"|events/events\.out\.tfevents\.[^/]+|trace/plugins/profile/[^/]+/[^/]+"
)


def check_removable(root: Path) -> None:
    """Check that a run can be removed, before anything is.

    Raises
    ------
    InputError
        If one of its parts is a link, its checkpoints hold somebody else's files, or a folder is not ours to change.
    """
    for name in PARTS:
        path = root / name
        if path.is_symlink() or (is_there(path) and path.is_dir() != (name in FOLDERS)):
            raise InputError(f"{path}: is a link, or not what a run has there; move it away, or give another --output")
    for path in _inside(root):
        where = path.relative_to(root).as_posix()
        if IN_A_STEP.fullmatch(where) and not _is_made(path, root):
            raise InputError(f"{path}: no checkpoint holds such a file; move it away, or give another --output")
    for folder in {path.parent for path in made_files(root)}:
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(f"{folder}: may not be changed (its permissions); give another --output")


def made_files(root: Path) -> list[Path]:
    """List the run's own files, those first without which it is no run."""
    files = [root / name for name in FILES]
    files += [path for path in sorted(root.iterdir()) if UNFINISHED.fullmatch(path.name)] if root.is_dir() else []
    return [*filter(is_plain_file, files), *(path for path in _inside(root) if _is_made(path, root))]


def remove_made(root: Path) -> list[Path]:
    """Remove the run's own files, and folders that are empty then; returns what is left in its folders."""
    for path in made_files(root):
        path.unlink()
    for name in FOLDERS:
        for folder, _, _ in os.walk(root / name, topdown=False):
            if not any(Path(folder).iterdir()):
                Path(folder).rmdir()
    return list(_inside(root))


def _inside(root: Path) -> Iterator[Path]:
    """Yield the files, and links of any kind, in a run's folders; links are not followed."""
    for name in FOLDERS:
        if (root / name).is_symlink():
            yield root / name
            continue
        for folder, folders, files in os.walk(root / name):
            yield from (Path(folder, each) for each in sorted(files))
            yield from (path for each in sorted(folders) if (path := Path(folder, each)).is_symlink())


def _is_made(path: Path, root: Path) -> bool:
    where = path.relative_to(root).as_posix()
    if path.is_symlink():
        return False
    policy = POLICY.fullmatch(where)
    return _is_policy_of(path, policy[1]) if policy else MADE.fullmatch(where) is not None


def _is_policy_of(path: Path, agent: str) -> bool:
    """Return True for a policy file whose header names the agent that it is named after."""
    try:
        with safe_open(str(path), framework="np") as file:
            header = file.metadata() or {}
    except (SafetensorError, OSError, ValueError):
        return False
    return (header.get("format"), header.get("agent")) == (FORMAT, agent)
