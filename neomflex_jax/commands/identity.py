"""Which policies, scenario and profiles results come from (``evaluation.json``), and where a report of them may lie."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from neomflex_jax.commands.played_runs import PlayedRuns
from neomflex_jax.commands.result_kinds import TABLES
from neomflex_jax.errors import InputError
from neomflex_jax.fields import build
from neomflex_jax.files.json_values import read_json_object
from neomflex_jax.files.whole_files import write_whole
from neomflex_jax.folders.results import changed_since, sha256_of

if TYPE_CHECKING:
    from neomflex_jax.scenario import Scenario
    from validation.report.status import Identity

FILE, FORMAT = "evaluation.json", 3
WITHOUT_HASHES = 2  # the format that did not say which tables it was of
HASHES = "files_sha256"
MAX_DAYS = 1_000_000


def identity_of(played: PlayedRuns) -> Identity:
    """Return the names and hashes of what was just played."""
    trajectory = played.trajectories[0]
    scenario, sha256, steps = trajectory.scenario, trajectory.profiles_sha256, trajectory.scenario.steps_per_day
    days = {"first_day": int(trajectory.dataset_index[0]) // steps, "n_days": trajectory.n_steps // steps}
    return make_identity(played.policy_hashes, scenario, sha256, **days)


def make_identity(
    policies_sha256: Mapping[str, str], scenario: Scenario, profiles_sha256: str, *, first_day: int, n_days: int
) -> Identity:
    """Return names and hashes: of these policies, of a scenario, and of the days of the profiles."""
    from neomflex_jax.grid import load_feeder
    from neomflex_jax.grid.fingerprint import feeder_hash
    from validation.report.status import Identity

    feeder = feeder_hash(load_feeder(scenario.feeder))
    return Identity(dict(policies_sha256), scenario.hash(), feeder, profiles_sha256, first_day, n_days)


def write_identity(identity: Identity, folder: Path) -> None:
    """Write `evaluation.json`, with the SHA-256 of every file in the folder."""
    hashes = {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.name != FILE}
    write_whole(folder / FILE, json.dumps({"format": FORMAT, **vars(identity), HASHES: hashes}, indent=1) + "\n")


def read_identity(folder: Path) -> Identity:
    """Read what `write_identity` wrote.

    Raises
    ------
    InputError
        If the file is missing or not usable.
    """
    from validation.report.status import Identity

    path = folder / FILE
    content = read_json_object(path)
    if content.pop("format", None) not in (FORMAT, WITHOUT_HASHES):
        raise InputError(f"{path}: not of format {FORMAT}; evaluate again")
    content.pop(HASHES, None)
    identity = build(Identity, content, f"{path}")
    if not 0 <= identity.first_day <= MAX_DAYS or not 1 <= identity.n_days <= MAX_DAYS:
        raise InputError(f"{path}: first_day and n_days must lie in 0..{MAX_DAYS}; evaluate again")
    return identity


def doubt(folder: Path) -> str:
    """Return why the files beside an `evaluation.json` may not be the ones it names, in words; empty if they are."""
    path = folder / FILE
    hashes = read_json_object(path).get(HASHES)
    if not isinstance(hashes, dict) or not hashes.keys() >= {*TABLES}:
        return f"{path} does not say which tables it is of; evaluate again"
    changed = changed_since(folder, {str(name): str(digest) for name, digest in hashes.items()})
    if not changed:
        return ""
    what = "is no longer there" if not (folder / changed[0]).exists() else f"is not the one that {FILE} is of"
    return f"{folder / changed[0]} {what}; evaluate again"


def places_of_reports(run: Path, evaluation: Path | None = None) -> tuple[Path, ...]:
    """Folders in which a report of a run's policies may lie."""
    places = [run / "validation", run.parent / "validation"]
    if evaluation is not None:
        places += [evaluation, evaluation.parent / "validation"]
    return tuple(places)
