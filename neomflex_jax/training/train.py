"""Train, from options to a run folder: the host side, which only hands out chunks and receives metrics."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from neomflex_jax.agents.policy_files import load_policies, save_policies
from neomflex_jax.environment import Environment, make
from neomflex_jax.errors import InputError
from neomflex_jax.profiles import profiles_hash, resolve_profiles
from neomflex_jax.training.algorithm import TrainState, algorithm_for
from neomflex_jax.training.checkpoint import Checkpoints
from neomflex_jax.training.interrupt import deferred_interrupt
from neomflex_jax.training.options import TrainOptions, config_of, read_options
from neomflex_jax.training.program import Program
from neomflex_jax.training.run_folder import RunFolder
from neomflex_jax.training.run_log import DivergedError, Progress, append, check_finite, drop_rows_after, rows_of

CHECKPOINT_SECONDS = 60.0

OnProgress = Callable[[Progress], None]


def train(
    options: TrainOptions,
    output: Path,
    *,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    env: Environment | None = None,
    started: float | None = None,
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
    env
        The options' environment, where the caller has it already.
    started
        `time.monotonic()` at the start that `max_seconds` counts from; None takes now.

    Raises
    ------
    InputError
        If the folder holds a run, or an option is not usable.
    """
    started = time.monotonic() if started is None else started
    folder = RunFolder(output)
    folder.check(overwrite=overwrite)
    env = make(options.scenario) if env is None else env
    run = _Run(options, folder, Program(algorithm_for(env, options), options.n_seeds), env, started)
    state = run.program.begin(env, options.seeds)
    if options.initial_policies is not None:
        state = run.program.with_networks(state, _networks(options, env))
    folder.prepare(overwrite=overwrite)  # not before: what fails or is interrupted until here costs no old run
    folder.write_config(config_of(options))
    return run.go_on(state, on_progress)


def resume(
    output: Path,
    *,
    total_steps: int | None = None,
    max_seconds: float | None = None,
    on_progress: OnProgress | None = None,
    started: float | None = None,
) -> TrainState:
    """Continue a run from its newest checkpoint that loads, as if it had never stopped.

    `total_steps` replaces the run's own budget; `max_seconds` counts from now.
    """
    started = time.monotonic() if started is None else started
    folder = RunFolder(output)
    options = read_options(folder)
    changes: dict[str, Any] = {"max_seconds": max_seconds}
    if total_steps is not None:
        changes["total_steps"] = total_steps
    options = dataclasses.replace(options, **changes)
    trained_on = folder.read_config().get("profiles_sha256")
    if trained_on != profiles_hash(resolve_profiles(options.scenario.profiles)):
        raise InputError(f"{options.scenario.profiles}: changed since {output} was trained on it; train anew")
    env = make(options.scenario)
    run = _Run(options, folder, Program(algorithm_for(env, options), options.n_seeds), env, started)
    checkpoints = Checkpoints(folder.checkpoints)
    state = checkpoints.restore_newest(run.program.template(env))
    checkpoints.close()
    made = run.program.steps(state)
    if made >= options.total_steps:
        raise InputError(f"{output} has its {made} steps already; give --total-steps above that to go on")
    folder.write_config(config_of(options))
    drop_rows_after(folder.metrics, made)
    return run.go_on(state, on_progress)


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
    finishing: bool = False

    def go_on(self, state: TrainState, on_progress: OnProgress | None) -> TrainState:
        """Train until a budget is used up or the target is reached; save whatever happens."""
        checkpoints = Checkpoints(self.folder.checkpoints)
        saved = time.monotonic()
        checkpoints.save(state)
        try:
            with deferred_interrupt() as stop_if_interrupted:
                while self._share(state) < 1.0:
                    state, progress = self._chunk(state)
                    if on_progress is not None:
                        on_progress(progress)
                    if time.monotonic() - saved > CHECKPOINT_SECONDS:
                        checkpoints.save(state)
                        saved = time.monotonic()
                    stop_if_interrupted()
                    target = self.options.target_day_cost
                    if target is not None and progress.metrics["day_cost"] <= target:
                        break
        except DivergedError:
            checkpoints.close()  # a state that is not finite must not replace the last good one
            raise
        except BaseException:  # also Ctrl-C: what was learned is kept
            self._save(state, checkpoints)
            checkpoints.close()
            raise
        self._save(state, checkpoints)
        checkpoints.close()
        return state

    def _chunk(self, state: TrainState) -> tuple[TrainState, Progress]:
        share, before = self._share(state), time.monotonic()
        options = self.options
        if options.finish_on is not None and not self.finishing and share >= 1.0 - options.finish_fraction:
            self.env, self.finishing = self.env.with_power_flow(options.finish_on), True
        state, metrics = self.program.advance(self.env, state, share)
        values: dict[str, np.ndarray] = jax.device_get(metrics)
        now = time.monotonic()
        algorithm = self.program.algorithm
        made = algorithm.chunk_steps * algorithm.n_copies * options.n_seeds
        means = {name: float(np.mean(value)) for name, value in values.items()}
        progress = Progress(
            steps=self.program.steps(state),
            total_steps=options.total_steps,
            seconds=now - self.started,
            steps_per_second=made / (now - before),
            share=self._share(state),
            metrics=means,
        )
        rows = rows_of(self.env.agents, options.seeds, progress, values)
        append(self.folder.metrics, rows)
        check_finite(rows)
        return state, progress

    def _share(self, state: TrainState) -> float:
        """Share of the budget that is used up: of steps or of time, whichever is larger."""
        share = self.program.steps(state) / self.options.total_steps
        if self.options.max_seconds is not None:
            share = max(share, (time.monotonic() - self.started) / self.options.max_seconds)
        return share

    def _save(self, state: TrainState, checkpoints: Checkpoints) -> None:
        if any(leaf.is_deleted() for leaf in jax.tree.leaves(state)):
            return  # a chunk was cut off after it took the state's memory: the last checkpoint is what there is
        checkpoints.save(state)
        layout, name = self.env.scenario.observation_layout(), self.env.scenario.name
        for seed, networks in zip(self.options.seeds, self.program.networks(state), strict=True):
            folder = self.folder
            if self.options.n_seeds > 1:
                folder = self.folder.of_seed(seed)
                folder.root.mkdir(exist_ok=True)
                folder.write_config(config_of(dataclasses.replace(self.options, seed=seed, n_seeds=1)))
            save_policies(folder.policies, dict(zip(self.env.agents, networks, strict=True)), name, layout)
