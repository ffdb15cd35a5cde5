"""One job of a sweep: trainings that share a compilation, side by side, each with a run folder of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from neomflex_jax.agents.gradient.learner import GradientSettings
from neomflex_jax.agents.sac.config import Settings, traced_values
from neomflex_jax.environment import make
from neomflex_jax.folders.lock import alone_in
from neomflex_jax.jax_settings import nan_is_a_value
from neomflex_jax.one_line import one_line
from neomflex_jax.training.algorithm import TrainState, algorithm_for
from neomflex_jax.training.clock import Clock
from neomflex_jax.training.group import Group
from neomflex_jax.training.loop import OnProgress, learn
from neomflex_jax.training.memory import check_fits
from neomflex_jax.training.options import TrainOptions, config_of
from neomflex_jax.training.program import Program
from neomflex_jax.training.run_folder import PART_OF, RunFolder
from neomflex_jax.training.run_log import DivergedError, Progress, append, check_finite, rows_of
from neomflex_jax.training.run_output import write_policies
from neomflex_jax.training.step_metrics import Values

TRACED = {"sac": tuple(Settings.__dataclass_fields__), "gradient": tuple(GradientSettings.__dataclass_fields__)}
LAST_CHUNKS = 5  # whose mean is a training's result


@dataclass(frozen=True)
class Training:
    """One training of a sweep: one setting, one seed."""

    options: TrainOptions
    folder: Path

    __repr__ = one_line


@dataclass(frozen=True)
class Outcome:
    """What came of a training."""

    folder: Path
    seed: int
    day_cost: float  # in training, mean of the last chunks; NaN if it diverged
    steps: int
    seconds: float  # of the job it ran in, compilation included
    diverged: str  # what was not finite; empty if all was

    __repr__ = one_line


@nan_is_a_value()
def train_group(
    trainings: Sequence[Training], overwrite: bool = False, on_progress: OnProgress | None = None
) -> list[Outcome]:
    """Run trainings that share a compilation side by side.

    A training that leaves the finite numbers is reported and the others go on.
    """
    clock = Clock()
    with ExitStack() as stack:
        for training in trainings:
            stack.enter_context(alone_in(training.folder, "sweep"))
        group = _group(trainings, clock)
        group.program.compile_ahead(group.env)
        state = _start(group, trainings)  # what fails before costs no run that is there
        for training in trainings:
            config = {**config_of(training.options), PART_OF: "a sweep"}
            RunFolder(training.folder).begin(config, overwrite=overwrite)
        output = _JobOutput(group, trainings)
        return output.outcomes(learn(group, state, output, on_progress))


def without_traced_settings(options: TrainOptions) -> TrainOptions:
    """Options with everything at its default that needs no compilation of its own: equal for trainings of one job."""
    config = getattr(options, options.algorithm)
    default = type(config)()
    same = {name: getattr(default, name) for name in TRACED[options.algorithm]}
    return dataclasses.replace(options, seed=0, **{options.algorithm: dataclasses.replace(config, **same)})


def traced_settings(options: TrainOptions) -> dict[str, float]:
    """Values, by name, of the algorithm's settings that are arguments of the compiled program."""
    if options.algorithm == "sac":
        return traced_values(options.sac)
    return {name: float(getattr(options.gradient, name)) for name in TRACED["gradient"]}


def _group(trainings: Sequence[Training], clock: Clock) -> Group:
    options = trainings[0].options
    env = make(options.scenario)
    program = Program(algorithm_for(env, options), len(trainings))
    check_fits(program, env, options)
    return Group(options, tuple(training.options.seed for training in trainings), program, env, clock)


def _start(group: Group, trainings: Sequence[Training]) -> TrainState:
    """Fresh state after the warm-up, every training with its own traced settings."""
    state = group.program.begin(group.env, group.seeds)
    return group.program.with_settings(state, [traced_settings(training.options) for training in trainings])


class _JobOutput:
    """The `Output` of a job: metrics and policies in each training's folder, and what came of it."""

    def __init__(self, group: Group, trainings: Sequence[Training]) -> None:
        self._group, self._trainings = group, trainings
        self._folders = [RunFolder(training.folder) for training in trainings]
        self._day_costs: list[np.ndarray] = []  # of each chunk, (n_trainings,)
        self._diverged = [""] * len(trainings)

    def record(self, progress: Progress, values: Values) -> None:
        """Append a row to every training's metrics.csv but for those that have diverged."""
        self._day_costs.append(values["day_cost"])
        for index, row in enumerate(rows_of(self._group.env.agents, progress, values)):
            if self._diverged[index]:
                continue
            append(self._folders[index].metrics, [row])
            try:
                check_finite([row])
            except DivergedError as error:
                self._diverged[index] = str(error)

    def keep(self, state: TrainState) -> None:
        """Save nothing: sweeps are not resumed."""

    def end(self, state: TrainState, stopped: str) -> None:
        """Save the policies of trainings that have not diverged."""
        for index, team in enumerate(self._group.program.networks(state)):
            if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves([network.layers for network in team])):
                self._diverged[index] = self._diverged[index] or "parameters are not finite after the last update"
            if not self._diverged[index]:
                write_policies(self._folders[index], self._group.env, team)

    def outcomes(self, state: TrainState) -> list[Outcome]:
        """Return what came of each training, in their order."""
        seconds, steps = self._group.clock.seconds(), self._group.program.steps(state)
        day_costs = np.mean(self._day_costs[-LAST_CHUNKS:], axis=0)
        return [
            Outcome(training.folder, training.options.seed, np.nan if why else float(cost), steps, seconds, why)
            for training, cost, why in zip(self._trainings, day_costs, self._diverged, strict=True)
        ]
