"""The recorded runs of an evaluation that a page plays: the policy's, and no control's or another beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from neomflex_jax.commands.page.played import played
from neomflex_jax.commands.result_kinds import NO_CONTROL_RUNS, trajectory_file
from neomflex_jax.errors import InputError
from neomflex_jax.evaluation import Trajectory
from neomflex_jax.grid import AnyFeeder, load_feeder
from neomflex_jax.loose_types import JsonObject

FIRST = ("controlled",)


@dataclass(frozen=True, eq=False)
class Recorded:
    """At most two runs, the policy's first, and their feeder; without, a sentence says why."""

    runs: tuple[Trajectory, ...]
    feeder: AnyFeeder | None
    missing: str = ""

    @property
    def policy(self) -> Trajectory | None:
        """The policy's run."""
        return self.runs[0] if self.runs else None

    @property
    def beside(self) -> Trajectory | None:
        """The run beside it."""
        return self.runs[1] if len(self.runs) > 1 else None

    def carried(self, most_bytes: int) -> JsonObject | str:
        """Return what a page plays in about so many bytes, or the sentence."""
        if not self.runs or self.feeder is None:
            return self.missing
        carried = played(self.runs, self.feeder, most_bytes).plain()
        if len(self.runs) == 1:
            carried["notes"].append("`neomflex evaluate --baseline` records no control, to be shown beside the policy.")
        return carried


def recorded_runs(evaluation: Path, names: Iterable[str]) -> Recorded:
    """Read the runs that a page plays.

    Parameters
    ----------
    evaluation
        Folder with the trajectories.
    names
        Of the runs in its tables.
    """
    known = list(dict.fromkeys(map(str, names)))
    wanted = [*(name for name in (*FIRST, *NO_CONTROL_RUNS) if name in known)]
    wanted = list(dict.fromkeys([*wanted[:1], *wanted[1:], *known]))[:2]
    try:
        runs = [Trajectory.load(evaluation / trajectory_file(name)) for name in wanted]
        feeder = load_feeder(runs[0].scenario.feeder)
    except InputError as error:
        return Recorded((), None, f"The steps cannot be shown: {error}.")
    first = runs[0]
    if feeder.node_labels != first.nodes.labels:
        return Recorded((), None, f"The steps cannot be shown: feeder {feeder.name} has other buses than the record.")
    alike = [run for run in runs if run.scenario == first.scenario and run.n_steps == first.n_steps]
    return Recorded(tuple(alike), feeder)
