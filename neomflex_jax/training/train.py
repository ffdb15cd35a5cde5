"""Train, from options to a run folder: the host side, which only hands out chunks and receives metrics."""

from __future__ import annotations

import csv
import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from neomflex_jax._version import __version__
from neomflex_jax.agents.policy_files import save_policies
from neomflex_jax.agents.sac import Sac, SacConfig
from neomflex_jax.environment import Environment, make
from neomflex_jax.errors import InputError
from neomflex_jax.fields import build, check_choice
from neomflex_jax.profiles import profiles_hash, resolve_profiles
from neomflex_jax.scenario import Scenario
from neomflex_jax.training.checkpoint import Checkpoints
from neomflex_jax.training.interrupt import deferred_interrupt
from neomflex_jax.training.loop import TrainState, start, train_steps, warm_up
from neomflex_jax.training.run_folder import RunFolder

CHUNK_STEPS = 24  # steps of every copy between two looks from the host: half a day, about a second on two cores
CHECKPOINT_SECONDS = 60.0
METRICS = (
    "day_cost",
    "loss_mw",
    "share_outside_band",
    "violations",
    "failed_power_flows",
    "critic_loss",
    "actor_loss",
    "entropy",
    "temperature",
)


class DivergedError(InputError):
    """Learning has left the finite numbers; the settings, not the program, have to change."""


@dataclass(frozen=True)
class TrainOptions:
    """What a training run is told; `total_steps` counts the steps of all copies together."""

    scenario: Scenario
    seed: int = 0
    total_steps: int = 500_000
    max_seconds: float | None = None
    sac: SacConfig = field(default_factory=SacConfig)
    algorithm: str = "sac"

    def __post_init__(self) -> None:
        check_choice("algorithm", self.algorithm, ("sac",))
        if self.total_steps < 1:
            raise InputError(f"total_steps = {self.total_steps} must be at least 1")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise InputError(f"max_seconds = {self.max_seconds} must be above 0")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"seed = {self.seed} must lie in 0..2147483647")


@dataclass(frozen=True)
class Progress:
    """What a progress display may show after each chunk."""

    steps: int  # environment steps of all copies, warm-up included
    total_steps: int
    seconds: float  # since the start of `train`, compilation included
    steps_per_second: float
    metrics: dict[str, float]


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
        Scenario, seed, budget and the learner's settings.
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
    sac = learner_for(env, options)
    state = _warm_start(sac, env, jax.random.key(options.seed))
    folder.prepare(overwrite=overwrite)  # not before: what fails or is interrupted until here costs no old run
    folder.write_config(_config(options))
    return _train_on(env, sac, state, options, folder, on_progress, started)


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
    sac = learner_for(env, options)
    template = jax.eval_shape(lambda env, key: start(env, sac, key), env, jax.random.key(0))
    checkpoints = Checkpoints(folder.checkpoints)
    state = checkpoints.restore_newest(template)
    checkpoints.close()
    made = int(state.steps) * sac.config.n_copies
    if made >= options.total_steps:
        raise InputError(f"{output} has its {made} steps already; give --total-steps above that to go on")
    folder.write_config(_config(options))
    _drop_rows_after(folder.metrics, made)
    return _train_on(env, sac, state, options, folder, on_progress, started)


def read_options(folder: RunFolder) -> TrainOptions:
    """Read the options that a run was made with."""
    config = folder.read_config()
    where = str(folder.config)
    names = {field.name for field in dataclasses.fields(TrainOptions)}
    return build(TrainOptions, {name: value for name, value in config.items() if name in names}, where)


def learner_for(env: Environment, options: TrainOptions) -> Sac:
    """Bind the options' learner to the environment's sizes."""
    sizes = (tuple(int(size) for size in mask.sum(axis=1)) for mask in (env.observation_mask, env.action_mask))
    return Sac(options.sac, *sizes)


def _config(options: TrainOptions) -> dict[str, Any]:
    return {
        "neomflex_jax": __version__,
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
        "profiles_sha256": profiles_hash(resolve_profiles(options.scenario.profiles)),
        "scenario_sha256": options.scenario.hash(),
        **dataclasses.asdict(options),
    }


def _train_on(
    env: Environment,
    sac: Sac,
    state: TrainState,
    options: TrainOptions,
    folder: RunFolder,
    on_progress: OnProgress | None,
    started: float,
) -> TrainState:
    checkpoints = Checkpoints(folder.checkpoints)
    n_copies = sac.config.n_copies
    saved = time.monotonic()
    checkpoints.save(state)
    try:
        with deferred_interrupt() as stop_if_interrupted:
            while int(state.steps) * n_copies < options.total_steps and not _out_of_time(options, started):
                before = time.monotonic()
                state, metrics = _chunk(sac, env, state)
                row = _row(env.agents, jax.device_get(metrics))
                now = time.monotonic()
                rate = CHUNK_STEPS * n_copies / (now - before)
                progress = Progress(int(state.steps) * n_copies, options.total_steps, now - started, rate, row)
                _append(folder.metrics, progress)
                _check_finite(row)
                if on_progress is not None:
                    on_progress(progress)
                if now - saved > CHECKPOINT_SECONDS:
                    checkpoints.save(state)
                    saved = time.monotonic()
                stop_if_interrupted()
    except DivergedError:
        checkpoints.close()  # a state that is not finite must not replace the last good one
        raise
    except BaseException:  # also Ctrl-C: what was learned is kept
        _save(env, sac, state, folder, checkpoints)
        checkpoints.close()
        raise
    _save(env, sac, state, folder, checkpoints)
    checkpoints.close()
    return state


def _out_of_time(options: TrainOptions, started: float) -> bool:
    return options.max_seconds is not None and time.monotonic() - started >= options.max_seconds


def _save(env: Environment, sac: Sac, state: TrainState, folder: RunFolder, checkpoints: Checkpoints) -> None:
    if any(leaf.is_deleted() for leaf in jax.tree.leaves(state)):
        return  # a chunk was cut off after it took the state's memory: the last checkpoint is what there is
    checkpoints.save(state)
    networks = dict(zip(env.agents, sac.networks(state.learner), strict=True))
    save_policies(folder.policies, networks, env.scenario.name, env.scenario.observation_layout())


@partial(jax.jit, static_argnums=0)
def _warm_start(sac: Sac, env: Environment, key: jax.Array) -> TrainState:
    return warm_up(env, sac, start(env, sac, key))


@partial(jax.jit, static_argnums=0, donate_argnums=2)
def _chunk(sac: Sac, env: Environment, state: TrainState) -> tuple[TrainState, dict[str, jax.Array]]:
    return train_steps(env, sac, state, CHUNK_STEPS)


def _row(agents: tuple[str, ...], metrics: dict[str, np.ndarray]) -> dict[str, float]:
    row: dict[str, float] = {}
    for name in METRICS:
        value = metrics[name]
        if np.ndim(value):
            row |= {f"{name}_{agent}": float(entry) for agent, entry in zip(agents, value, strict=True)}
        else:
            row[name] = float(value)
    return row


def _append(path: Path, progress: Progress) -> None:
    row = {
        "steps": progress.steps,
        "seconds": round(progress.seconds, 3),
        "steps_per_second": round(progress.steps_per_second, 1),
        **progress.metrics,
    }
    new = not path.exists() or path.stat().st_size == 0
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def _drop_rows_after(path: Path, steps: int) -> None:
    """Forget metrics of steps made after the checkpoint: they will be made again."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    try:
        kept = [line for line in lines[1:] if line.endswith("\n") and int(line.split(",", 1)[0]) <= steps]
    except ValueError as error:
        raise InputError(f"{path}: a row does not begin with its steps ({error}); move the file away") from error
    path.write_text("".join(lines[:1] + kept), encoding="utf-8")


def _check_finite(row: dict[str, float]) -> None:
    broken = [name for name, value in row.items() if not math.isfinite(value)]
    if broken:
        raise DivergedError(
            f"training stopped: {broken[0]} is not finite. --resume goes back to the last checkpoint; "
            "a smaller learning_rate or reward_scale usually helps"
        )
