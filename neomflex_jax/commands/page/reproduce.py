"""How to make a run again: the commands, and the hashes by which one tells that it is the same."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neomflex_jax.errors import InputError
from neomflex_jax.pages import Table

if TYPE_CHECKING:
    from neomflex_jax.evaluation import Trajectory
    from neomflex_jax.training.options import TrainOptions
    from validation.report.status import Identity

OPTIONS = ("max_seconds", "finish_on", "finish_fraction", "initial_policies", "target_day_cost")
YARDSTICKS = ("no_control", "volt_var", "mapdn_droop", "model_predictive")
OPTIMUM, BASELINE = "perfect_foresight", "baseline"


@dataclass(frozen=True)
class Reproduce:
    """Commands in their order, what must be known of them, and tables of versions and hashes."""

    commands: tuple[str, ...]
    notes: tuple[str, ...]
    hashes: Table
    versions: Table


def train_command(options: TrainOptions, run: Path, result: Mapping[str, object]) -> tuple[str, list[str]]:
    """Return the command that trains the same again, and notes on it.

    Parameters
    ----------
    options
        Those of the run.
    run
        Its folder.
    result
        Of its result.json; empty for a training that is not over.
    """
    scenario, notes = _scenario(options)
    flags = ["--scenario", scenario, "--algorithm", options.algorithm, "--seed", str(options.seed)]
    if scenario.endswith(".toml"):
        notes.append(
            f"{scenario} stands for the scenario file of {options.scenario.name!r}; config.json holds all of it"
        )
    steps = result.get("steps")
    by_clock = result.get("stopped") == "max_seconds" and isinstance(steps, int)
    if options.total_steps is not None or by_clock:
        flags += ["--total-steps", str(steps if by_clock else options.total_steps)]
    if by_clock:
        notes.append(
            f"the clock ended this training after {steps:,} steps, and rates decayed by it; the same number of steps "
            "comes close to these policies, not to their bits"
        )
    plain = type(options)(scenario=options.scenario)
    for name in OPTIONS:
        value = getattr(options, name)
        if value != getattr(plain, name) and not (name == "max_seconds" and by_clock):
            flags += [f"--{name.replace('_', '-')}", str(value)]
    for name, limit in options.constraints.items():
        flags += ["--constraint", f"{name}={limit:g}"]
    flags += _settings(options)
    return _command("train", *flags, "--output", str(run)), notes


def _scenario(options: TrainOptions) -> tuple[str, list[str]]:
    """Return the packaged scenario's name if that is what was trained, else a file's."""
    from neomflex_jax.scenario import load_scenario

    name, notes = options.scenario.name, list[str]()
    overrides = {"power_flow": options.scenario.power_flow, "profiles": options.scenario.profiles}
    try:
        if "/" not in name and load_scenario(name, **overrides).hash() == options.scenario.hash():
            return name, notes
    except InputError:
        pass
    return "my_scenario.toml", notes


def _settings(options: TrainOptions) -> Iterator[str]:
    """Yield the learner's settings that are not the defaults."""
    own = getattr(options, options.algorithm)
    for field in dataclasses.fields(own):
        value, plain = getattr(own, field.name), getattr(type(own)(), field.name)
        if value == plain:
            continue
        flag = f"--{options.algorithm}.{field.name.replace('_', '-')}"
        if isinstance(value, bool):
            yield flag if value else f"--{options.algorithm}.no-{field.name.replace('_', '-')}"
        else:
            yield from (flag, *(map(str, value) if isinstance(value, tuple) else (str(value),)))


def later_commands(
    run: Path, played: Trajectory | None, runs: Collection[str], ended_on: str, profiles: str
) -> list[str]:
    """Return the commands that evaluate, validate and report the same.

    Parameters
    ----------
    run
        Folder of the training.
    played
        The policy's recorded run, if there is one.
    runs
        Names of all runs in the evaluation's tables.
    ended_on
        Power flow that the training finished on, in which policies are played by themselves.
    profiles
        File of the days, where it is not the scenario's; else empty.
    """
    same = ["--policies", str(run)]
    same += ["--profiles", profiles] if profiles else []
    if played is not None and played.power_flow != ended_on:
        same += ["--power-flow", played.power_flow]
    if played is not None and played.scenario.variant:
        same += ["--variant", played.scenario.variant]
    for name in runs:
        same += ["--policy", name] if name in YARDSTICKS else []
    evaluate = [*same, *(["--optimum"] if OPTIMUM in runs else []), *(["--baseline"] if BASELINE in runs else [])]
    return [
        _command("evaluate", *evaluate, "--output", str(run / "evaluation")),
        _command("validate", *same, "--output", str(run / "validation")),
        _command("report", str(run)),
    ]


def _command(*words: str) -> str:
    return shlex.join(["neomflex", *words])


def hashes(config: Mapping[str, object], policies: Mapping[str, str], identity: Identity | None) -> Table:
    """Return what a run is told from others by: of its training, its policies, and what they were evaluated on."""
    rows = [(f"policy of {agent}", digest) for agent, digest in policies.items()]
    trained = {"scenario_sha256": "scenario, as trained", "profiles_sha256": "profiles trained on"}
    rows += [(label, str(config[name])) for name, label in trained.items() if name in config]
    if identity is not None:
        rows.append(("scenario, as evaluated", identity.scenario_hash))
        rows.append(("profiles evaluated on", identity.profiles_sha256))
        rows.append(("feeder", identity.feeder_sha256))
    return Table((), tuple(rows))


def versions(config: Mapping[str, object], report: Mapping[str, object] | None) -> Table:
    """Return the versions that trained, and those of a report."""
    rows = [(f"{name}, training", str(config[name])) for name in ("neomflex_jax", "jax", "device") if name in config]
    for part in ("versions", "machine"):
        found = {} if report is None else report.get(part)
        if isinstance(found, dict):
            rows += [(f"{name}, validation", str(value)) for name, value in found.items()]
    if report is not None and report.get("git_commit"):
        rows.append(("commit, validation", str(report["git_commit"])))
    return Table((), tuple(rows))
