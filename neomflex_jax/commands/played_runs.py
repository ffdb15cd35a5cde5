"""Playing trained policies and yardsticks on days they have not seen, for the commands that judge them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from neomflex_jax.errors import InputError
from neomflex_jax.fields import with_overrides
from neomflex_jax.profiles import profiles_hash, resolve_profiles

if TYPE_CHECKING:
    from neomflex_jax.agents.policy_files import Policies
    from neomflex_jax.environment import Environment
    from neomflex_jax.evaluation import Trajectory
    from neomflex_jax.scenario import Scenario

# `evaluation.yardsticks` knows them, and loads JAX, which `--help` should not wait for; a test holds them together.
Yardstick = Literal["no_control", "volt_var", "mapdn_droop", "perfect_foresight", "model_predictive"]
CONTROLLED, BASELINE = "controlled", "baseline"
OnProgress = Callable[[int, int, str, str], None]  # done, of how many, of what, while doing what


@dataclass(frozen=True, eq=False)
class PlayedRuns:
    """Recorded runs, who acted in them, and which files they come from."""

    trajectories: tuple[Trajectory, ...]  # controlled, baseline if asked for, yardsticks
    policies: Mapping[str, Policies]  # by run; of `controlled` alone
    policy_hashes: Mapping[str, str]  # of `controlled`, SHA-256 by agent
    training: Mapping[str, Any]  # algorithm and seed
    profiles: Path
    yardsticks: Mapping[str, str]  # what each rests on, by name
    no_control: Trajectory | None  # on the same days, whether asked for or not; None without policies

    @property
    def metadata(self) -> dict[str, Any]:
        """Plain values for a report."""
        variant = self.trajectories[0].scenario.variant or "plain"
        plain = {"training": dict(self.training), "profiles": self.profiles.name, "variant": variant}
        return plain | ({"yardsticks": dict(self.yardsticks)} if self.yardsticks else {})


def runs_asked_for(policies: Path | None, baseline: bool, yardsticks: Sequence[str]) -> tuple[str, ...]:
    """Name the runs that `record_runs` will give."""
    own = () if policies is None else (CONTROLLED,)
    return (*own, *((BASELINE,) if baseline else ()), *dict.fromkeys(yardsticks))


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
    on_progress: OnProgress | None = None,
) -> PlayedRuns:
    """Play trained policies as `controlled`, `baseline` if asked for, and yardsticks under their names.

    What policies cost means nothing without what it costs to do nothing, so beside them no control is always played.
    Without a power flow given, it is what finished the policies' training, and `ac` without policies. `cache` is where
    yardsticks that plan ahead keep what they have found; `on_progress` is told how many of how many of what, and
    what is being done.

    Raises
    ------
    InputError
        If there is nothing to play, or a scenario is given beside policies, which have their own.
    """
    from neomflex_jax.agents.policy import NoControl
    from neomflex_jax.agents.policy_files import load_policies
    from neomflex_jax.evaluation import record
    from neomflex_jax.evaluation.yardsticks import record_yardstick
    from neomflex_jax.scenario import load_scenario
    from neomflex_jax.training.options import read_options
    from neomflex_jax.training.result import finishing_power_flow
    from neomflex_jax.training.run_folder import RunFolder

    if policies is None and not yardsticks:
        raise InputError("nothing to play: give --policies (output folder of a training), --policy, or both")
    if policies is not None and scenario is not None:
        raise InputError("--scenario and --policies contradict: policies play the scenario they were trained on")
    trajectories, acting, hashes, training = [], {}, {}, {}

    def watching(run: str) -> Callable[..., None]:
        def tell(done: int, total: int, unit: str = "days") -> None:
            if on_progress is not None:
                on_progress(done, total, unit, f"playing {run}" if unit == "days" else f"planning {run}")

        return tell

    if policies is not None:
        run = RunFolder(policies)
        options = read_options(run)
        chosen, training = options.scenario, {"algorithm": options.algorithm, "seed": options.seed}
        trained = load_policies(policies)
        policy = trained.as_policy(chosen.observation_layout(), chosen.name)
        env, path = _judged_environment(chosen, profiles, power_flow or finishing_power_flow(run, options), variant)
        trajectories.append(
            record(env, policy, CONTROLLED, profiles_sha256=profiles_hash(path), on_day=watching(CONTROLLED))
        )
        acting, hashes = {CONTROLLED: trained}, {agent: info.sha256 for agent, info in trained.info.items()}
    else:
        chosen = load_scenario(scenario if scenario is not None else "neom33")
        env, path = _judged_environment(chosen, profiles, power_flow or "ac", variant)
    sha256 = profiles_hash(path)
    no_control = None
    if baseline or policies is not None:
        idle = NoControl(env.action_size)
        no_control = record(env, idle, BASELINE, profiles_sha256=sha256, on_day=watching("no control"))
    if baseline and no_control is not None:
        trajectories.append(no_control)
    notes = {}
    for name in dict.fromkeys(yardsticks):
        yardstick = record_yardstick(env, name, profiles_sha256=sha256, cache=cache, on_progress=watching(name))
        trajectories.append(yardstick.trajectory)
        notes[name] = yardstick.note
    return PlayedRuns(tuple(trajectories), acting, hashes, training, path, notes, no_control)


def _judged_environment(
    scenario: Scenario, profiles: Path | None, power_flow: str | None, variant: str | None
) -> tuple[Environment, Path]:
    """Build the environment of the days to judge on, and say which file they are from."""
    from neomflex_jax.environment import evaluation_environment, make
    from neomflex_jax.environment.make import scenario_profiles

    played = scenario if variant is None else with_overrides(scenario, {"variant": variant})
    path = resolve_profiles(profiles if profiles is not None else scenario.evaluation_profiles)
    env = evaluation_environment(make(scenario, power_flow=power_flow), scenario_profiles(played, path))
    return replace(env, scenario=with_overrides(env.scenario, {"variant": played.variant})), path  # on plain days' fit


def refuse_existing(folder: Path, names: tuple[str, ...], overwrite: bool) -> None:
    """Raise `InputError` if the folder holds results already, unless they may be replaced; make it if not there."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give an output folder")
    present = [name for name in names if (folder / name).exists()]
    if present and not overwrite:
        raise InputError(f"{folder}: already holds {present[0]}; give --overwrite or another --output")
    folder.mkdir(parents=True, exist_ok=True)
