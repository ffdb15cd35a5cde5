"""Many settings, many seeds: trainings of equal shapes run side by side in one compiled program.

Settings that are traced (rates, discounts, ...) are one more batch axis beside the seeds; those that change shapes or
the program (sizes, copies, kinds of critics) make another group, compiled by itself. Groups are independent jobs for
any `concurrent.futures.Executor`: a process pool, `dask.distributed.Client(...).get_executor()`, or anything else whose
`submit(function, *arguments)` gives futures with `result()`, such as submitit's executors on Slurm.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import jax
import numpy as np

from neomflex_jax.agents.gradient.learner import GradientSettings
from neomflex_jax.agents.policy_files import save_policies
from neomflex_jax.agents.sac.config import Settings, traced_values
from neomflex_jax.environment import Environment, make
from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.folders.lock import alone_in
from neomflex_jax.jax_settings import nan_is_a_value, platform_is_there
from neomflex_jax.one_line import one_line
from neomflex_jax.training.algorithm import TrainState, algorithm_for
from neomflex_jax.training.interrupt import deferred_interrupt
from neomflex_jax.training.options import TrainOptions, config_of
from neomflex_jax.training.program import Program
from neomflex_jax.training.run_folder import PART_OF, RunFolder
from neomflex_jax.training.run_log import DivergedError, Progress, append, check_finite, rows_of

TRACED = {"sac": tuple(Settings.__dataclass_fields__), "gradient": tuple(GradientSettings.__dataclass_fields__)}
LAST_CHUNKS = 5  # whose mean is a training's result

OnProgress = Callable[[Progress], None]


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
    seconds: float  # of the group it ran in, compilation included
    diverged: str  # what was not finite; empty if all was

    __repr__ = one_line


def grid(options: TrainOptions, values: Mapping[str, Sequence[Any]]) -> list[TrainOptions]:
    """Give the options with every combination of the algorithm's settings.

    Raises
    ------
    InputError
        If the algorithm has no such setting, or a value is not allowed.
    """
    config = getattr(options, options.algorithm)
    known = [field.name for field in dataclasses.fields(config)]
    for name in values:
        if name not in known:
            raise unknown_name(f"setting of {options.algorithm}", name, known)
        if len(set(values[name])) < len(values[name]):
            raise InputError(f"{name}: give every value once")
    return [
        dataclasses.replace(
            options, **{options.algorithm: dataclasses.replace(config, **dict(zip(values, chosen, strict=True)))}
        )
        for chosen in product(*values.values())
    ]


@platform_is_there()
@nan_is_a_value()
def sweep(
    options_list: Sequence[TrainOptions],
    output: Path,
    executor: Any = None,
    *,
    names: Sequence[str] | None = None,
    largest_job: int | None = None,
    overwrite: bool = False,
    on_begin: Callable[[], None] | None = None,
    on_progress: OnProgress | None = None,
    on_job: Callable[[int, int], None] | None = None,
) -> list[list[Outcome]]:
    """Train every setting with every one of its seeds.

    Parameters
    ----------
    options_list
        One entry a setting; its seeds and budget are its own, and `max_seconds` counts from its job's start.
    output
        Gets a folder a setting with a run folder a seed in it: ``<name>/seed_<k>/``.
    executor
        Where jobs run; None: here, one after the other. Results are written where they run: share the folder.
    names
        Folders' names, one a setting; None counts them: ``setting_0``, ...
    largest_job
        Most trainings side by side in one program; None: all of a group.
    on_begin
        Called before the first job, when nothing more speaks against replacing what is there.
    on_progress
        Called after every chunk; with an executor, never.
    on_job
        Told after every job how many trainings of how many are done.

    Returns
    -------
    list
        For each setting, the outcomes of its seeds.

    Raises
    ------
    InputError
        If there is nothing to train, two settings would share a folder, or one holds a run already.
    """
    names = [f"setting_{index}" for index in range(len(options_list))] if names is None else names
    if not options_list or len(set(names)) != len(options_list) or len(names) != len(options_list):
        raise InputError("a sweep needs at least one setting, and a name of its own for each")
    settings = [_trainings(options, output / name) for options, name in zip(options_list, names, strict=True)]
    for training in (training for each in settings for training in each):
        RunFolder(training.folder).check(overwrite=overwrite)
    jobs = list(_jobs((training for each in settings for training in each), largest_job))
    if on_begin is not None:
        on_begin()
    tell = on_job or (lambda done, total: None)
    done: list[list[Outcome]] = []
    n_trainings = sum(len(job) for job in jobs)
    if executor is None:
        for job in jobs:
            done.append(train_group(job, overwrite, on_progress))
            tell(sum(map(len, done)), n_trainings)
    else:
        futures = [executor.submit(train_group, job, overwrite) for job in jobs]
        try:
            for future in futures:
                done.append(future.result())
                tell(sum(map(len, done)), n_trainings)
        finally:  # after an error or Ctrl-C no further job begins
            for future in futures:
                future.cancel()
    outcomes = {outcome.folder: outcome for group in done for outcome in group}
    return [[outcomes[training.folder] for training in each] for each in settings]


@nan_is_a_value()
def train_group(
    trainings: Sequence[Training], overwrite: bool = False, on_progress: OnProgress | None = None
) -> list[Outcome]:
    """Run trainings that share a compilation side by side; what one job of a sweep does.

    A training that leaves the finite numbers is reported and the others go on.
    """
    started = time.monotonic()
    with ExitStack() as stack:
        for training in trainings:
            stack.enter_context(alone_in(training.folder, "sweep"))
        group = _Group(tuple(trainings), started)
        state = group.begin()  # what fails before costs no run that is there
        for training in trainings:
            config = {**config_of(training.options), PART_OF: "a sweep"}
            RunFolder(training.folder).begin(config, overwrite=overwrite)
        return _train_group(group, state, on_progress)


def _train_group(group: _Group, state: TrainState, on_progress: OnProgress | None) -> list[Outcome]:
    try:
        with deferred_interrupt() as stop_if_interrupted:
            while not group.costs or group.share(state) < 1.0:  # one chunk whatever the budget
                state, progress = group.chunk(state, min(group.share(state), 1.0))
                if on_progress is not None:
                    on_progress(progress)
                stop_if_interrupted()
    finally:  # also after Ctrl-C: what was learned is kept
        group.save(state)
    return group.outcomes(state)


class _Group:
    """Trainings on their way, side by side."""

    def __init__(self, trainings: tuple[Training, ...], started: float) -> None:
        self.trainings, self.started = trainings, started
        self.options = trainings[0].options
        self.env: Environment = make(self.options.scenario)
        self.program = Program(algorithm_for(self.env, self.options), len(trainings))
        self.costs: list[np.ndarray] = []
        self.diverged = [""] * len(trainings)

    def begin(self) -> TrainState:
        state = self.program.begin(self.env, [training.options.seed for training in self.trainings])
        each = [_traced(training.options) for training in self.trainings]
        return self.program.with_settings(state, each)

    def share(self, state: TrainState) -> float:
        share = self.program.steps(state) / self.options.most_steps
        if self.options.max_seconds is not None:
            share = max(share, (time.monotonic() - self.started) / self.options.max_seconds)
        return share

    def chunk(self, state: TrainState, share: float) -> tuple[TrainState, Progress]:
        before = time.monotonic()
        state, metrics = self.program.advance(self.env, state, share)
        values: dict[str, np.ndarray] = jax.device_get(metrics)
        if len(self.trainings) == 1:
            values = {name: value[None] for name, value in values.items()}
        now, algorithm = time.monotonic(), self.program.algorithm
        self.costs.append(values["day_cost"])
        made = algorithm.chunk_steps * algorithm.n_copies * len(self.trainings)
        progress = Progress(
            steps=self.program.steps(state),
            most_steps=self.options.most_steps,
            seconds=now - self.started,
            steps_per_second=made / (now - before),
            share=self.share(state),
            metrics={name: float(np.nanmean(value)) for name, value in values.items()},
        )
        for index, training in enumerate(self.trainings):
            if not self.diverged[index]:
                self._log(index, training, progress, {name: value[index] for name, value in values.items()})
        return state, progress

    def _log(self, index: int, training: Training, progress: Progress, values: dict[str, np.ndarray]) -> None:
        rows = rows_of(self.env.agents, (training.options.seed,), progress, values)
        append(RunFolder(training.folder).metrics, rows)
        try:
            check_finite(rows)
        except DivergedError as error:
            self.diverged[index] = str(error)

    def save(self, state: TrainState) -> None:
        if any(leaf.is_deleted() for leaf in jax.tree.leaves(state)):
            return  # cut off inside a chunk, after it took the state's memory
        layout, name = self.env.scenario.observation_layout(), self.env.scenario.name
        for index, networks in enumerate(self.program.networks(state)):
            if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves([net.layers for net in networks])):
                self.diverged[index] = self.diverged[index] or "parameters are not finite after the last update"
            if not self.diverged[index]:
                folder = RunFolder(self.trainings[index].folder)
                save_policies(folder.policies, dict(zip(self.env.agents, networks, strict=True)), name, layout)

    def outcomes(self, state: TrainState) -> list[Outcome]:
        seconds, steps = time.monotonic() - self.started, self.program.steps(state)
        last = np.mean(self.costs[-LAST_CHUNKS:], axis=0) if self.costs else np.full(len(self.trainings), np.nan)
        return [
            Outcome(training.folder, training.options.seed, np.nan if why else float(cost), steps, seconds, why)
            for training, cost, why in zip(self.trainings, last, self.diverged, strict=True)
        ]


def _trainings(options: TrainOptions, folder: Path) -> list[Training]:
    """One training a seed."""
    if options.target_day_cost is not None or options.finish_on is not None or options.initial_policies is not None:
        raise InputError("target_day_cost, finish_on and initial_policies are for single runs, not for sweeps")
    return [
        Training(dataclasses.replace(options, seed=seed, n_seeds=1), folder / f"seed_{seed}") for seed in options.seeds
    ]


def _jobs(trainings: Iterable[Training], largest: int | None) -> Iterable[tuple[Training, ...]]:
    """Put together what shares a compilation."""
    if largest is not None and largest < 1:
        raise InputError(f"largest_job = {largest} must be at least 1")
    groups: dict[TrainOptions, list[Training]] = {}
    for training in trainings:
        groups.setdefault(_untraced(training.options), []).append(training)
    for group in groups.values():
        size = largest or len(group)
        yield from (tuple(group[begin : begin + size]) for begin in range(0, len(group), size))


def _untraced(options: TrainOptions) -> TrainOptions:
    """Put everything at its default that needs no compilation of its own."""
    config = getattr(options, options.algorithm)
    default = type(config)()
    same = {name: getattr(default, name) for name in TRACED[options.algorithm]}
    return dataclasses.replace(options, seed=0, **{options.algorithm: dataclasses.replace(config, **same)})


def _traced(options: TrainOptions) -> dict[str, float]:
    if options.algorithm == "sac":
        return traced_values(options.sac)
    return {name: float(getattr(options.gradient, name)) for name in TRACED["gradient"]}
