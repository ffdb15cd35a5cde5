"""What is asked of a validation's runs, and reading them; everything unusable is refused before the first replay."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.evaluation.trajectory import Trajectory
from validation.closed_loop.acting import ActingPolicy
from validation.recompute.profile_check import check_profiles_file
from validation.recompute.record import Record, checked_record
from validation.sample import Sample
from validation.verdict.tolerances import Tolerances


@dataclass(frozen=True, eq=False)
class Asked:
    """What is asked of all runs of a validation; fields as `validate` takes them."""

    tolerances: Tolerances | None = None
    policies: Mapping[str, ActingPolicy] = field(default_factory=dict)
    references: Collection[str] = ()
    schedules: Collection[str] = ()
    policy_hashes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    profiles: str | Path | None = None
    sample: Sample | None = None

    def acts(self, record: Record) -> bool:
        """Return True if a run's policy acts once more, in closed loop."""
        run = record.trajectory.run
        judged = run in self.policies and run not in self.references
        unknown = record.without_twin or record.terms_without_twin or record.observations_without_twin
        return judged and self.sample is None and not unknown

    def n_power_flows(self, records: Sequence[Record]) -> int:
        """Count the power flows of all replays and closed loops."""
        n_days = records[0].n_days if self.sample is None else min(self.sample.n_days, records[0].n_days)
        stages = len(records) + sum(self.acts(record) for record in records)
        return stages * n_days * records[0].trajectory.scenario.steps_per_day


def checked_records(runs: Sequence[Trajectory | str | Path], asked: Asked) -> list[Record]:
    """Read runs and make sure that they can be validated together.

    Raises
    ------
    InputError
        As `validate`.
    """
    trajectories = [each if isinstance(each, Trajectory) else Trajectory.load(Path(each)) for each in runs]
    _check_names([trajectory.run for trajectory in trajectories], asked)
    records = [checked_record(trajectory) for trajectory in trajectories]
    for trajectory in trajectories:
        trajectory.check(f"trajectory {trajectory.run!r}")
    first = trajectories[0]
    for trajectory in trajectories[1:]:
        if not np.array_equal(trajectory.dataset_index, first.dataset_index):
            raise InputError(f"runs {first.run!r} and {trajectory.run!r} have other days; record both on the same")
    if asked.profiles is not None:
        for trajectory in trajectories:
            check_profiles_file(trajectory, Path(asked.profiles))
    return records


def _check_names(names: Sequence[str], asked: Asked) -> None:
    if not names:
        raise InputError("there is no run to validate; give at least one trajectory")
    if len(set(names)) < len(names):
        raise InputError(f"the runs need different names; they are {', '.join(names)}")
    for what, given in (("reference run", asked.references), ("run of a policy", asked.policies)):
        for name in given:
            if name not in names:
                raise unknown_name(what, name, names)
    if set(names) <= set(asked.references):
        raise InputError("every run is a reference; leave out of `references` what is to be judged")
