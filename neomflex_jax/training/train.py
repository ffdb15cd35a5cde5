"""Train, from options to a run folder: the host side, which only hands out chunks and receives metrics."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from neomflex_jax.agents.networks import ActorNetwork
from neomflex_jax.agents.policy_files import load_policies, save_policies
from neomflex_jax.environment import Environment, make
from neomflex_jax.errors import InputError
from neomflex_jax.jax_settings import nan_is_a_value, platform_is_there
from neomflex_jax.profiles import profiles_hash, resolve_profiles
from neomflex_jax.training.algorithm import TrainState
from neomflex_jax.training.checkpoint import FRESH, Checkpoints, Standing
from neomflex_jax.training.comparison import compare
from neomflex_jax.training.devices import cores_for_seeds, on_host
from neomflex_jax.training.interrupt import Interrupted, deferred_interrupt
from neomflex_jax.training.options import TUNED_STEPS, TrainOptions, config_of, read_options
from neomflex_jax.training.origin import digest_of, origin_of
from neomflex_jax.training.processes import (
    agreed,
    any_of_them,
    check_same,
    first_alone_in,
    is_first,
    noticing_the_dead,
)
from neomflex_jax.training.program import Program, program_for, steps_of_a_copy
from neomflex_jax.training.result import read_result, result_of, write_result
from neomflex_jax.training.run_folder import PART_OF, RunFolder, SaveError, saving
from neomflex_jax.training.run_log import (
    DivergedError,
    Progress,
    append,
    check_finite,
    check_finite_arrays,
    copy_rows_of_seed,
    drop_rows_after,
    rows_of,
)

CHECKPOINT_SECONDS = 60.0

OnProgress = Callable[[Progress], None]


@platform_is_there()
@nan_is_a_value()
def train(
    options: TrainOptions,
    output: Path,
    *,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    on_begin: Callable[[], None] | None = None,
    env: Environment | None = None,
    started: float | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> TrainState:
    """Train from scratch into a new run folder.

    Parameters
    ----------
    options
        Scenario, seeds, budget and the algorithm's settings.
    output
        Folder to make; see `RunFolder` for what lies in it.
    overwrite
        Replace a run that is there.
    on_progress
        Called after every chunk.
    on_begin
        Called once the folder is this run's: what it held before is gone, and an interrupted run can be resumed.
    env
        The options' environment, where the caller has it already.
    started
        `time.monotonic()` at the start that `max_seconds` counts from; None takes now.
    checkpoint_seconds
        Time between checkpoints; 0: one after every chunk.

    Raises
    ------
    InputError
        If the folder holds a run, or an option is not usable.
    """
    started = time.monotonic() if started is None else started
    folder, seeds = RunFolder(output), options.seeds if options.n_seeds > 1 else ()
    folder.check(overwrite=overwrite, seeds=seeds)
    with first_alone_in(folder.root, "train"):
        folder.check(overwrite=overwrite, seeds=seeds)  # by every process: one alone would leave the others waiting
        env = make(options.scenario) if env is None else env
        run = _Run(options, folder, program_for(env, options), env, started, checkpoint_seconds)
        state = _begin(run, overwrite)
        if on_begin is not None:
            on_begin()
        return run.go_on(state, on_progress)


def _begin(run: _Run, overwrite: bool) -> TrainState:
    """Make the first state, and the folder this run's; what fails before costs no run that is there."""
    options, folder = run.options, run.folder
    check_same(digest_of(options), "the settings")
    replaces = folder.config.exists()
    if is_first() and not replaces:
        folder.begin(config_of(options), overwrite=overwrite)
    try:
        state = _start(run)
    except BaseException:
        if is_first() and not replaces:
            folder.withdraw()
        raise
    if is_first() and replaces:
        folder.begin(config_of(options), overwrite=overwrite)
    return state


@platform_is_there()
@nan_is_a_value()
def resume(
    output: Path,
    *,
    total_steps: int | None = None,
    max_seconds: float | None = None,
    on_progress: OnProgress | None = None,
    started: float | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> TrainState:
    """Continue a run from its newest checkpoint that loads, as if it had never stopped.

    `total_steps` and `max_seconds`, which counts from now, replace the run's own budget; with neither, it goes on with
    what is left of that. The learning rate's decay goes by the share of the new budget, so that it may rise again.
    """
    started = time.monotonic() if started is None else started
    folder = RunFolder(output)
    options = read_options(folder)
    if options.n_seeds > 1 and jax.process_count() == 1 and options.devices > jax.local_device_count():
        options = dataclasses.replace(options, devices=cores_for_seeds(options.n_seeds, jax.local_device_count()))
    folder.refuse_if_part()
    with first_alone_in(folder.root, "train --resume"):
        trained_on = folder.read_config().get("profiles_sha256")
        if trained_on != profiles_hash(resolve_profiles(options.scenario.profiles)):
            raise InputError(f"{options.scenario.profiles}: changed since {output} was trained on it; train anew")
        env = make(options.scenario)
        run = _Run(options, folder, program_for(env, options), env, started, checkpoint_seconds)
        check_same(digest_of(options), "the settings")
        with closing(Checkpoints(folder.checkpoints, origin_of(options))) as checkpoints:
            if checkpoints:
                state, run.standing = checkpoints.restore_newest(run.program.template(env))
            else:  # it ended before there was anything to save
                folder.refuse_if_learned()
                state = _start(run)
        run.give_budget(total_steps, max_seconds)
        run.refuse_if_complete(state)
        if is_first():
            folder.write_config(config_of(run.options))
            drop_rows_after(folder.metrics, run.program.steps(state))
        return run.go_on(state, on_progress)


def _start(run: _Run) -> TrainState:
    state = run.program.begin(run.env, run.options.seeds)
    if run.options.initial_policies is None:
        return state
    return run.program.with_networks(state, _networks(run.options, run.env))


def _networks(options: TrainOptions, env: Environment) -> tuple[Any, ...]:
    assert options.initial_policies is not None
    policies = load_policies(options.initial_policies)
    return policies.as_policy(env.scenario.observation_layout(), env.scenario.name).networks


@dataclass
class _Run:
    """One run on its way; the environment changes where another power flow finishes it."""

    options: TrainOptions
    folder: RunFolder
    program: Program
    env: Environment
    started: float
    checkpoint_seconds: float
    finishing: bool = False
    standing: Standing = FRESH  # of the checkpoint that it goes on from

    def give_budget(self, total_steps: int | None, max_seconds: float | None) -> None:
        """Replace the run's own budget, if there is another."""
        if total_steps is None and max_seconds is None:
            return
        seconds = None if max_seconds is None else self.standing.seconds + max_seconds
        self.options = dataclasses.replace(self.options, total_steps=total_steps, max_seconds=seconds)
        self.standing = dataclasses.replace(self.standing, reached_target=False)

    def refuse_if_complete(self, state: TrainState) -> None:
        """Refuse to go on with a run that has ended and told so; one that was cut off before that is made to."""
        reason = self._complete(state)
        if reason is not None and self.folder.result.exists():
            raise InputError(
                f"{self.folder.root} has ended at {self.program.steps(state)} steps ({reason}); "
                "give --total-steps above that, or --max-seconds from now on, to go on"
            )

    def go_on(self, state: TrainState, on_progress: OnProgress | None) -> TrainState:
        """Train until a budget is used up or the target is reached; save whatever happens."""
        advice = f"Start all of them again with --resume --output {self.folder.root}"
        origin = origin_of(self.options)
        with noticing_the_dead(advice), closing(Checkpoints(self.folder.checkpoints, origin)) as checkpoints:
            checkpoints.save(state, self.standing)
            if is_first():
                self.folder.result.unlink(missing_ok=True)
            saved = time.monotonic()
            try:
                with deferred_interrupt(any_of_them) as stop_if_interrupted:
                    while (stopped := self._complete(state)) is None:
                        state, progress = self._chunk(state)
                        target = self.options.target_day_cost
                        if target is not None and progress.metrics["day_cost"] <= target:
                            self.standing = dataclasses.replace(self.standing, reached_target=True)
                        if on_progress is not None:
                            on_progress(progress)
                        if agreed(time.monotonic() - saved) > self.checkpoint_seconds:
                            check_finite_arrays(state.learner)
                            checkpoints.save(state, self._standing())
                            saved = time.monotonic()
                        stop_if_interrupted()
            except (DivergedError, SaveError):
                raise  # a state that is not finite must not replace the last good one
            except BaseException as error:  # also Ctrl-C: what was learned is kept
                if jax.process_count() == 1 or isinstance(error, Interrupted):
                    self._save(state, checkpoints, "interrupted")
                raise
            self._save(state, checkpoints, stopped)
        return state

    def _chunk(self, state: TrainState) -> tuple[TrainState, Progress]:
        share, before = min(agreed(self._share(state)), 1.0), time.monotonic()
        options = self.options
        if options.finish_on is not None and not self.finishing and share >= 1.0 - options.finish_fraction:
            self.env, self.finishing = self.env.with_power_flow(options.finish_on), True
        state, metrics = self.program.advance(self.env, state, share)
        values: dict[str, np.ndarray] = on_host(metrics, self.program.n_devices)
        now = time.monotonic()
        made = self.program.algorithm.chunk_steps * self.program.n_copies * options.n_seeds
        means = {name: float(np.mean(value)) for name, value in values.items()}
        progress = Progress(
            steps=self.program.steps(state),
            most_steps=options.most_steps,
            seconds=self._standing().seconds,
            steps_per_second=made / (now - before),
            share=self._share(state),
            metrics=means,
        )
        rows = rows_of(self.env.agents, options.seeds, progress, values)
        if is_first():
            append(self.folder.metrics, rows)
        check_finite(rows)
        return state, progress

    def _standing(self) -> Standing:
        """How far the run is now; `self.standing.seconds` were used up before `self.started`."""
        seconds = self.standing.seconds + time.monotonic() - self.started
        return dataclasses.replace(self.standing, seconds=seconds)

    def _share(self, state: TrainState) -> float:
        """Share of the budget that is used up: of steps or of time, whichever is larger."""
        share = self.program.steps(state) / self.options.most_steps
        if self.options.max_seconds is not None:
            share = max(share, self._standing().seconds / self.options.max_seconds)
        return share

    def _complete(self, state: TrainState) -> str | None:
        """Why the run is at its end, or None; one chunk is made whatever the budget, or nothing would be learned."""
        if steps_of_a_copy(state) <= getattr(self.options, self.options.algorithm).warmup_steps:
            return None
        if self.standing.reached_target:
            return "target_day_cost"
        if self.program.steps(state) >= self.options.most_steps:
            return "total_steps"
        return "max_seconds" if agreed(self._share(state)) >= 1.0 else None

    def _save(self, state: TrainState, checkpoints: Checkpoints, stopped: str) -> None:
        if any(leaf.is_deleted() for leaf in jax.tree.leaves(state)):
            return  # a chunk was cut off after it took the state's memory: the last checkpoint is what there is
        check_finite_arrays(state.learner)
        standing, steps = self._standing(), self.program.steps(state)
        checkpoints.save(state, standing)
        networks = self.program.networks(state)
        how: dict[str, Any] = {"steps": steps, "seconds": standing.seconds, "stopped": stopped}
        how |= {"power_flow": self.env.scenario.power_flow}
        result = result_of(self.env.agents, self.options.seeds, networks, **how)
        check_same(result["policies_sha256"], "the policies")
        if is_first():
            with saving(self.folder.policies):
                if self.options.n_seeds == 1:
                    self._save_policies(self.folder, networks[0])
                else:
                    self._save_seeds(networks, how)
                write_result(self.folder.result, result)
            if stopped != "interrupted" and self.options.compared_days:
                self._compare(networks, steps)

    def _compare(self, networks: Sequence[tuple[ActorNetwork, ...]], steps: int) -> None:
        """Add to what the results say how the policies compare with no control and the droop."""
        options, n_seeds = self.options, self.options.n_seeds
        compared = compare(self.env, networks, options.compared_days)
        alone = [(self.folder.of_seed(seed), compared.of_seed(i)) for i, seed in enumerate(options.seeds)]
        for folder, one in [(self.folder, compared), *(alone if n_seeds > 1 else [])]:
            sentence = one.sentence(steps, TUNED_STEPS[options.algorithm])
            with saving(folder.result):
                write_result(folder.result, read_result(folder.result) | {"comparison": one.as_dict(sentence)})

    def _save_seeds(self, networks: Sequence[tuple[ActorNetwork, ...]], how: dict[str, Any]) -> None:
        """Give every seed a folder as if it had been trained alone, but for the checkpoints."""
        for seed, one in zip(self.options.seeds, networks, strict=True):
            folder = self.folder.of_seed(seed)
            folder.root.mkdir(exist_ok=True)
            folder.result.unlink(missing_ok=True)  # never beside other policies than its own
            alone = dataclasses.replace(self.options, seed=seed, n_seeds=1, devices=1)
            folder.write_config({**config_of(alone), PART_OF: f"the run of several seeds in {self.folder.root}"})
            copy_rows_of_seed(self.folder.metrics, seed, folder.metrics)
            self._save_policies(folder, one)
            write_result(folder.result, result_of(self.env.agents, (seed,), (one,), **how))

    def _save_policies(self, folder: RunFolder, networks: tuple[ActorNetwork, ...]) -> None:
        layout, name = self.env.scenario.observation_layout(), self.env.scenario.name
        save_policies(folder.policies, dict(zip(self.env.agents, networks, strict=True)), name, layout)
