"""Many settings, many seeds: trainings of equal shapes run side by side in one compiled program.

Settings that are traced (rates, discounts, ...) are one more batch axis beside the seeds; those that change shapes or
the program (sizes, copies, kinds of critics) make another job, compiled by itself. Jobs are independent, for any
`concurrent.futures.Executor`: a process pool, `dask.distributed.Client(...).get_executor()`, or anything else whose
`submit(function, *arguments)` gives futures with `result()`, such as submitit's executors on Slurm.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from itertools import chain, product
from pathlib import Path

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.jax_settings import nan_is_a_value, platform_is_there
from neomflex_jax.training.loop import OnProgress
from neomflex_jax.training.options import TrainOptions
from neomflex_jax.training.run_folder import RunFolder
from neomflex_jax.training.sweep_job import Outcome, Training, train_group, without_traced_settings

Job = tuple[Training, ...]
OnJob = Callable[[int, int], None]  # how many trainings of how many are done


def grid(options: TrainOptions, values: Mapping[str, Sequence[object]]) -> list[TrainOptions]:
    """Options with every combination of the algorithm's settings, the last name's values changing fastest.

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
    executor: Executor | None = None,
    *,
    names: Sequence[str] | None = None,
    largest_job: int | None = None,
    overwrite: bool = False,
    on_begin: Callable[[], None] | None = None,
    on_progress: OnProgress | None = None,
    on_job: OnJob | None = None,
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
    for training in chain(*settings):
        RunFolder(training.folder).check(overwrite=overwrite)
    jobs = list(_jobs(chain(*settings), largest_job))
    if on_begin is not None:
        on_begin()
    done = _run_here(jobs, overwrite, on_progress) if executor is None else _run_on(executor, jobs, overwrite)
    outcomes: dict[Path, Outcome] = {}
    with closing(done):
        for job in done:
            outcomes |= {outcome.folder: outcome for outcome in job}
            if on_job is not None:
                on_job(len(outcomes), sum(map(len, jobs)))
    return [[outcomes[training.folder] for training in each] for each in settings]


def _run_here(jobs: Sequence[Job], overwrite: bool, on_progress: OnProgress | None) -> Generator[list[Outcome]]:
    """Outcomes of one job after the other, each when it is done."""
    for job in jobs:
        yield train_group(job, overwrite, on_progress)


def _run_on(executor: Executor, jobs: Sequence[Job], overwrite: bool) -> Generator[list[Outcome]]:
    """Outcomes of jobs that run side by side, in the jobs' order; after an error or Ctrl-C no further job begins."""
    futures = [executor.submit(train_group, job, overwrite) for job in jobs]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


def _trainings(options: TrainOptions, folder: Path) -> list[Training]:
    """One training a seed."""
    if options.target_day_cost is not None or options.finish_on is not None or options.initial_policies is not None:
        raise InputError("target_day_cost, finish_on and initial_policies are for single runs, not for sweeps")
    return [
        Training(dataclasses.replace(options, seed=seed, n_seeds=1), folder / f"seed_{seed}") for seed in options.seeds
    ]


def _jobs(trainings: Iterable[Training], largest: int | None) -> Iterator[Job]:
    """Trainings that share a compilation, together, at most `largest` of them."""
    if largest is not None and largest < 1:
        raise InputError(f"largest_job = {largest} must be at least 1")
    alike: dict[TrainOptions, list[Training]] = {}
    for training in trainings:
        alike.setdefault(without_traced_settings(training.options), []).append(training)
    for group in alike.values():
        size = largest or len(group)
        yield from (tuple(group[begin : begin + size]) for begin in range(0, len(group), size))
