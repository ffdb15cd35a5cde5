"""What `evaluate` and `validate` share: playing trained policies and yardsticks on the same days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from neomflex_jax.errors import InputError

if TYPE_CHECKING:
    from neomflex_jax.environment import Environment
    from neomflex_jax.evaluation import Trajectory

# `evaluation.yardsticks` knows them, and loads JAX, which `--help` should not wait for; a test holds them together.
Yardstick = Literal["no_control", "volt_var", "mapdn_droop", "perfect_foresight", "model_predictive"]


def record_runs(
    policies: Path | None,
    profiles: Path | None,
    power_flow: str | None,
    baseline: bool,
    *,
    variant: str | None = None,
    yardsticks: Sequence[str] = (),
    scenario: str | None = None,
    cache: Path | None = None,
) -> tuple[list[Trajectory], dict[str, Any]]:
    """Play trained policies as `controlled`, `baseline` if asked for, and yardsticks under their names.

    Also says which files were used, by hash, and what each yardstick rests on. Without trained policies the power flow
    is `ac` unless given.

    Raises
    ------
    InputError
        If there is nothing to play, a scenario is given beside policies, which have their own, or as what it calls.
    """
    from neomflex_jax.agents.policy import NoControl
    from neomflex_jax.agents.policy_files import load_policies
    from neomflex_jax.evaluation import record
    from neomflex_jax.evaluation.yardsticks import record_yardstick
    from neomflex_jax.scenario import load_scenario
    from neomflex_jax.training.run_folder import RunFolder
    from neomflex_jax.training.train import read_options

    if policies is None and not yardsticks:
        raise InputError("nothing to play: give --policies (output folder of a training), --policy, or both")
    if policies is not None and scenario is not None:
        raise InputError("--scenario and --policies contradict: policies play the scenario they were trained on")
    trajectories, used = [], {}
    if policies is not None:
        chosen = read_options(RunFolder(policies)).scenario
        trained = load_policies(policies)
        policy = trained.as_policy(chosen.observation_layout(), chosen.name)
        env, used = _judged_environment(chosen, profiles, power_flow, variant)
        used["policies"] = {agent: info.sha256 for agent, info in trained.info.items()}
        trajectories.append(record(env, policy, "controlled", profiles_sha256=used["profiles_sha256"]))
    else:
        chosen = load_scenario(scenario if scenario is not None else "neom33")
        env, used = _judged_environment(chosen, profiles, power_flow or "ac", variant)
    sha256 = used["profiles_sha256"]
    if baseline:
        trajectories.append(record(env, NoControl(env.action_size), "baseline", profiles_sha256=sha256))
    notes = {}
    for name in dict.fromkeys(yardsticks):
        run = record_yardstick(env, name, profiles_sha256=sha256, cache=cache)
        trajectories.append(run.trajectory)
        notes[name] = run.note
    return trajectories, used | ({"yardsticks": notes} if notes else {})


def _judged_environment(
    scenario: Any, profiles: Path | None, power_flow: str | None, variant: str | None
) -> tuple[Environment, dict[str, Any]]:
    """Build the environment of the days to judge on, and say which they are."""
    from neomflex_jax.environment import evaluation_environment, make
    from neomflex_jax.environment.make import scenario_profiles
    from neomflex_jax.fields import with_overrides
    from neomflex_jax.profiles import profiles_hash, resolve_profiles

    played = scenario if variant is None else with_overrides(scenario, {"variant": variant})
    path = resolve_profiles(profiles if profiles is not None else scenario.evaluation_profiles)
    env = evaluation_environment(make(scenario, power_flow=power_flow), scenario_profiles(played, path))
    env = replace(env, scenario=with_overrides(env.scenario, {"variant": played.variant}))  # on the plain days' fit
    used = {"profiles": path.name, "profiles_sha256": profiles_hash(path), "variant": played.variant or "plain"}
    return env, used


def refuse_existing(folder: Path, names: tuple[str, ...], overwrite: bool) -> None:
    """Raise `InputError` if the folder holds results already, unless they may be replaced; make it if not there."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give an output folder")
    present = [name for name in names if (folder / name).exists()]
    if present and not overwrite:
        raise InputError(f"{folder}: already holds {present[0]}; give --overwrite or another --output")
    folder.mkdir(parents=True, exist_ok=True)
