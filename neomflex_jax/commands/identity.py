"""Which policies, scenario and profiles results come from (``evaluation.json``), and where a report of them may lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from neomflex_jax.commands.played_runs import PlayedRuns
from neomflex_jax.errors import InputError

if TYPE_CHECKING:
    from validation.status import Identity

FILE, FORMAT = "evaluation.json", 1


def identity_of(played: PlayedRuns) -> Identity:
    """Identify what was just played."""
    from validation.status import Identity

    trajectory = played.trajectories[0]
    return Identity(dict(played.policy_hashes), trajectory.scenario.hash(), trajectory.profiles_sha256)


def write_identity(identity: Identity, folder: Path) -> None:
    """Write `evaluation.json`, whole or not at all."""
    partial = folder / f".{FILE}.partial"
    partial.write_text(json.dumps({"format": FORMAT, **vars(identity)}, indent=1) + "\n", encoding="utf-8")
    partial.replace(folder / FILE)


def read_identity(folder: Path) -> Identity:
    """Read what `write_identity` wrote.

    Raises
    ------
    InputError
        If the file is missing or not usable.
    """
    from validation.status import Identity

    path = folder / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise InputError(f"{path}: not of format {FORMAT}; evaluate again")
        identity = Identity(**content)
        texts = [identity.scenario_hash, identity.profiles_sha256, *dict(identity.policies_sha256).values()]
    except (OSError, ValueError, RecursionError, KeyError, AttributeError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not usable ({str(error)[:80]}); evaluate again") from error
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"{path}: hashes must be texts; evaluate again")
    return identity


def places_of_reports(run: Path, evaluation: Path | None = None) -> tuple[Path, ...]:
    """Folders in which a report of a run's policies may lie."""
    places = [run / "validation", run.parent / "validation"]
    if evaluation is not None:
        places += [evaluation, evaluation.parent / "validation"]
    return tuple(places)
