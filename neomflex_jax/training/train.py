"""Train, from options to a run folder: how a run starts, and how it goes on after it was stopped."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import jax

from neomflex_jax.environment import Environment, make
from neomflex_jax.errors import InputError
from neomflex_jax.jax_settings import nan_is_a_value, platform_is_there
from neomflex_jax.profiles import profiles_hash, resolve_profiles
from neomflex_jax.scenario.users_parts import NOUNS
from neomflex_jax.training.algorithm import TrainState
from neomflex_jax.training.checkpoint import Checkpoints
from neomflex_jax.training.clock import Clock
from neomflex_jax.training.constraints import constraints_of
from neomflex_jax.training.devices import cores_for_seeds
from neomflex_jax.training.feasibility import doubt
from neomflex_jax.training.group import Group
from neomflex_jax.training.initial_policies import initial_networks
from neomflex_jax.training.loop import OnProgress, learn
from neomflex_jax.training.memory import check_fits, said_if_used_up
from neomflex_jax.training.options import TrainOptions, config_of, read_options
from neomflex_jax.training.origin import digest_of, origin_of
from neomflex_jax.training.processes import check_same, first_alone_in, is_first, noticing_the_dead
from neomflex_jax.training.program import program_for
from neomflex_jax.training.result import read_result
from neomflex_jax.training.run_folder import RunFolder
from neomflex_jax.training.run_log import drop_rows_after
from neomflex_jax.training.run_output import RunOutput
from neomflex_jax.training.sizes import with_fitting_copies

CHECKPOINT_SECONDS = 60.0


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

    Returns
    -------
    TrainState
        The last state, with a leading axis of seeds where there are several.

    Raises
    ------
    InputError
        If the folder holds a run, or an option is not usable.
    """
    clock = Clock(started)
    folder, seeds = RunFolder(output), options.seeds if options.n_seeds > 1 else ()
    folder.check(overwrite=overwrite, seeds=seeds)
    with first_alone_in(folder.root, "train"):
        folder.check(overwrite=overwrite, seeds=seeds)  # by every process: one alone would leave the others waiting
        env = make(options.scenario) if env is None else _fitting(env, options)
        group = _group(with_fitting_copies(options, env), env, clock)
        _doubt_limits(group)
        group.program.compile_ahead(env, from_networks=options.initial_policies is not None)
        state = _begin(group, folder, overwrite)
        if on_begin is not None:
            on_begin()
        return _learn(group, folder, state, checkpoint_seconds, on_progress)


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

    Parameters
    ----------
    output
        The run's folder.
    total_steps, max_seconds
        Replace the run's own budget; seconds count from now. With neither, it goes on with what is left of its own. The
        learning rate's decay goes by the share of the new budget, so that it may rise again.
    on_progress, started, checkpoint_seconds
        As for `train`.

    Returns
    -------
    TrainState
        The last state, with a leading axis of seeds where there are several.

    Raises
    ------
    InputError
        If there is no run that can go on: none at all, one that has ended, or one made from other profiles or settings.
    """
    clock = Clock(started)
    folder = RunFolder(output)
    options = _on_devices_here(read_options(folder))
    folder.refuse_if_part()
    with first_alone_in(folder.root, "train --resume"):
        if folder.read_config().get("profiles_sha256") != profiles_hash(resolve_profiles(options.scenario.profiles)):
            raise InputError(f"{options.scenario.profiles}: changed since {output} was trained on it; train anew")
        group = _group(options, make(options.scenario), clock)
        check_same(digest_of(options), "the settings")
        state = _restore(group, folder)
        own_budget = total_steps is None and max_seconds is None
        if not own_budget:
            _replace_budget(group, total_steps, max_seconds)
        _refuse_if_ended(group, folder, state, own_budget)
        if is_first():
            folder.write_config(config_of(group.options))
            drop_rows_after(folder.metrics, group.program.steps(state))
        group.program.compile_ahead(group.env, state)
        return _learn(group, folder, state, checkpoint_seconds, on_progress)


def _doubt_limits(group: Group) -> None:
    """Warn of limits that a plan made for them alone does not keep."""
    constraints = constraints_of(group.env, group.options.constraints)
    if constraints.names and is_first() and (doubtful := doubt(group.env, constraints)):
        warnings.warn(doubtful, stacklevel=3)


def _group(options: TrainOptions, env: Environment, clock: Clock) -> Group:
    program = program_for(env, options)
    check_fits(program, env, options)
    return Group(options, options.seeds, program, env, clock)


def _fitting(env: Environment, options: TrainOptions) -> Environment:
    """The environment, once the options name all that users added to it: a run's config must say what it needs."""
    for name in NOUNS:
        added, named = getattr(env.scenario, name), getattr(options.scenario, name)
        if added != named:
            raise InputError(
                f"the environment has {name} = {list(added)}, and the options' scenario {list(named)}; give "
                "TrainOptions(env.scenario, ...)"
            )
    return env


def _begin(group: Group, folder: RunFolder, overwrite: bool) -> TrainState:
    """Make the first state, and the folder this run's; what fails before costs no run that is there."""
    check_same(digest_of(group.options), "the settings")
    config, replaces = config_of(group.options), folder.config.exists()
    if is_first() and not replaces:
        folder.begin(config, overwrite=overwrite)
    try:
        state = _start(group)
    except BaseException:
        if is_first() and not replaces:
            folder.withdraw()
        raise
    if is_first() and replaces:
        folder.begin(config, overwrite=overwrite)
    return state


def _start(group: Group) -> TrainState:
    """Fresh state after the warm-up, acting as the initial policies where the options name any."""
    with said_if_used_up(group.options):
        state = group.program.begin(group.env, group.seeds)
    initial = group.options.initial_policies
    if initial is None:
        return state
    networks = initial_networks(initial, group.env.scenario, group.program.algorithm.actors, group.seeds[0])
    return group.program.with_networks(state, networks)


def _on_devices_here(options: TrainOptions) -> TrainOptions:
    """Options of a run of several seeds, which are whole on each device, with no more devices than there are."""
    here = jax.local_device_count()
    if options.n_seeds == 1 or jax.process_count() > 1 or options.devices <= here:
        return options
    return dataclasses.replace(options, devices=cores_for_seeds(options.n_seeds, here))


def _restore(group: Group, folder: RunFolder) -> TrainState:
    """State of the newest checkpoint, with what the clock said then; a fresh one if the run ended before the first."""
    with closing(Checkpoints(folder.checkpoints, origin_of(group.options))) as checkpoints:
        if not checkpoints:
            folder.refuse_if_learned()
            return _start(group)
        state, standing = checkpoints.restore_newest(group.program.template(group.env))
    group.clock.earlier_seconds, group.reached_target = standing.seconds, standing.reached_target
    return state


def _replace_budget(group: Group, total_steps: int | None, max_seconds: float | None) -> None:
    """Replace the budget; its seconds come on top of those of earlier sittings."""
    seconds = None if max_seconds is None else group.clock.earlier_seconds + max_seconds
    group.options = dataclasses.replace(group.options, total_steps=total_steps, max_seconds=seconds)
    group.reached_target = False


def _refuse_if_ended(group: Group, folder: RunFolder, state: TrainState, own_budget: bool) -> None:
    """Refuse a run that has ended and has a result; one that was cut off before it wrote that goes on to write it."""
    if not folder.result.exists():
        return
    reason, steps = group.stopped(state), group.program.steps(state)
    if reason is None and own_budget:  # it may have ended before its time was up, which one more round would have been
        result = read_result(folder.result)
        ended_here = result.get("steps") == steps and result.get("stopped") != "interrupted"
        reason = result.get("stopped") if ended_here else None
    if reason is not None:
        raise InputError(
            f"{folder.root} has ended at {steps} steps ({reason}); "
            "give --total-steps above that, or --max-seconds from now on, to go on"
        )


def _learn(
    group: Group, folder: RunFolder, state: TrainState, checkpoint_seconds: float, on_progress: OnProgress | None
) -> TrainState:
    advice = f"Start all of them again with --resume --output {folder.root}"
    origin = origin_of(group.options)
    full = said_if_used_up(group.options)
    with full, noticing_the_dead(advice), closing(Checkpoints(folder.checkpoints, origin)) as checkpoints:
        output = RunOutput(group, folder, checkpoints, checkpoint_seconds)
        output.begin(state)
        return learn(group, state, output, on_progress)
