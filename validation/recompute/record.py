"""One run as everything in this package takes it: the recorded trajectory, its feeder, and what follows from both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from neomflex_jax.evaluation.trajectory import Trajectory
from neomflex_jax.grid import AnyFeeder, Feeder, load_feeder
from neomflex_jax.one_line import one_line
from validation.recompute.checks import check_trajectory
from validation.recompute.loading import Limited, limited_of
from validation.recompute.phase_set_points import AnySetPoints, PhaseSetPoints, any_set_points_of
from validation.recompute.set_points import injections_of
from validation.recompute.twins import without_twin
from validation.recompute.users_twins import observations_without_twin, terms_without_twin


@dataclass(frozen=True, eq=False)
class Record:
    """A recorded run, or some days of one."""

    trajectory: Trajectory
    feeder: AnyFeeder
    set_points: AnySetPoints  # the latter of a feeder with phases
    # (n, n_node) positive into the grid, implied by the set-points: net, with phases what devices feed in
    p_injection_mw: np.ndarray
    q_injection_mvar: np.ndarray  # (n, n_node)
    whole: Trajectory  # the run that the days are from: forecasts, energies and ramps go across midnight

    __repr__ = one_line

    @property
    def without_twin(self) -> tuple[str, ...]:
        """Tables of the scenario with devices that nothing here can judge."""
        return without_twin(self.trajectory.scenario)

    @property
    def terms_without_twin(self) -> tuple[str, ...]:
        """Users' reward terms likewise."""
        return terms_without_twin(self.trajectory.scenario)

    @property
    def observations_without_twin(self) -> tuple[str, ...]:
        """Users' observations likewise."""
        return observations_without_twin(self.trajectory.scenario)

    @cached_property
    def limited(self) -> Limited | None:
        """Branches whose loading the scenario limits; None if it limits none."""
        return limited_of(self.trajectory.scenario, self.feeder)

    @property
    def n_days(self) -> int:
        """Days in the record."""
        return self.trajectory.n_steps // self.trajectory.scenario.steps_per_day

    def on_days(self, days: tuple[int, ...]) -> Record:
        """Return some whole days of the run, counted from 0; `dataset_index` tells which they were."""
        rows = np.isin(self.trajectory.day, days)
        return record_of(self.trajectory.rows(rows), self.feeder, self.whole)


def checked_record(trajectory: Trajectory) -> Record:
    """Record of a whole run, once it is known to be fit for a replay.

    Raises
    ------
    InputError
        If its scenario's feeder cannot be loaded or `check_trajectory` refuses it.
    """
    feeder = load_feeder(trajectory.scenario.feeder)
    check_trajectory(trajectory, feeder)
    return record_of(trajectory, feeder)


def record_of(trajectory: Trajectory, feeder: AnyFeeder | None = None, whole: Trajectory | None = None) -> Record:
    """Record of a run that was checked before.

    Parameters
    ----------
    trajectory
        The run, or some days of it.
    feeder
        Its scenario's; None loads it.
    whole
        The run that the days are from; None: these are all.
    """
    feeder = load_feeder(trajectory.scenario.feeder) if feeder is None else feeder
    set_points = any_set_points_of(trajectory, feeder)
    if isinstance(set_points, PhaseSetPoints):
        p_injection_mw, q_injection_mvar = set_points.at_nodes(feeder.n_node)
    else:
        assert isinstance(feeder, Feeder)
        p_injection_mw, q_injection_mvar = injections_of(set_points, trajectory.scenario, feeder)
    return Record(
        trajectory=trajectory,
        feeder=feeder,
        set_points=set_points,
        p_injection_mw=p_injection_mw,
        q_injection_mvar=q_injection_mvar,
        whole=trajectory if whole is None else whole,
    )
