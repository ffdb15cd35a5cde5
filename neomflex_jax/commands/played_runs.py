"""Playing trained policies and yardsticks on days they have not seen, for the commands that judge them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from neomflex_jax.commands.console import console
from neomflex_jax.errors import InputError
from neomflex_jax.fields import with_overrides
from neomflex_jax.profiles import profiles_hash, resolve_profiles
from neomflex_jax.resources import PROFILES

if TYPE_CHECKING:
    from neomflex_jax.agents.networks import NetworkPolicy, StackedPolicy
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
    training: Mapping[str, object]  # algorithm and seed
    profiles: Path
    yardsticks: Mapping[str, str]  # what each rests on, by name
    no_control: Trajectory | None  # on the same days, whether asked for or not; None without policies
    constraints: Mapping[str, float] = field(default_factory=dict)  # of the training: share of steps that may break it

    @property
    def metadata(self) -> dict[str, object]:
        """Plain values for a report."""
        variant = self.trajectories[0].scenario.variant or "plain"
        plain: dict[str, object] = {"training": dict(self.training), "profiles": self.profiles.name, "variant": variant}
        return plain | ({"yardsticks": dict(self.yardsticks)} if self.yardsticks else {})


def runs_asked_for(policies: Path | None, baseline: bool, yardsticks: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the runs that `record_runs` will return."""
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

    Parameters
    ----------
    policies
        Output folder of a training; None: play yardsticks alone.
    profiles
        CSV file of the days; None: the scenario's for evaluation.
    power_flow
        Name of a method; None: what finished the policies' training, or `ac` without policies.
    baseline
        Whether no control counts as one of the runs.
    variant
        Stress variant of the days, by its name in the scenario.
    yardsticks
        Names.
    scenario
        Name or file, where there are no policies, which have their own; None: neom33.
    cache
        Folder where yardsticks that plan ahead keep what they have found.
    on_progress
        Told how many of how many of what are done, and what is being done.

    Raises
    ------
    InputError
        If there is nothing to play, or a scenario is given beside policies.
    """
    from neomflex_jax.scenario import load_scenario

    if policies is None and not yardsticks:
        raise InputError("nothing to play: give --policies (output folder of a training), --policy, or both")
    if policies is not None and scenario is not None:
        raise InputError("--scenario and --policies contradict: policies play the scenario they were trained on")
    trained = None if policies is None else _read_trained(policies)
    played = load_scenario("neom33" if scenario is None else scenario) if trained is None else trained.scenario
    if trained is not None and profiles is None:
        _warn_of_packaged_days(played)
    method = power_flow or ("ac" if trained is None else trained.power_flow)
    env, path = _judged_environment(played, profiles, method, variant)
    return _play(env, path, trained, baseline, yardsticks, cache, on_progress)


def _warn_of_packaged_days(trained: Scenario) -> None:
    """Say so where policies were trained on days of the user's own, but are judged on the package's."""
    own, judged = str(trained.profiles), str(trained.evaluation_profiles)
    if own not in PROFILES and judged in PROFILES:
        console.warn(
            f"trained on {Path(own).name}, but played on the packaged days '{judged}', as the scenario names none; "
            "give --profiles FILE, or evaluation_profiles in the scenario"
        )


def _play(
    env: Environment,
    profiles: Path,
    trained: _Trained | None,
    baseline: bool,
    yardsticks: Sequence[str],
    cache: Path | None,
    on_progress: OnProgress | None,
) -> PlayedRuns:
    from neomflex_jax.agents.policy import NoControl
    from neomflex_jax.evaluation import record
    from neomflex_jax.evaluation.yardsticks import record_yardstick

    sha256 = profiles_hash(profiles)
    play = partial(record, env, profiles_sha256=sha256)
    runs: list[Trajectory] = []
    no_control = None
    if trained is not None:
        runs.append(play(trained.policy, CONTROLLED, on_day=_watched(on_progress, CONTROLLED)))
    if baseline or trained is not None:
        no_control = play(NoControl(env.action_size), BASELINE, on_day=_watched(on_progress, "no control"))
        runs += [no_control] if baseline else []
    notes = {}
    for name in dict.fromkeys(yardsticks):
        watched = _watched(on_progress, name)
        yardstick = record_yardstick(env, name, profiles_sha256=sha256, cache=cache, on_progress=watched)
        runs.append(yardstick.trajectory)
        notes[name] = yardstick.note
    return PlayedRuns(
        trajectories=tuple(runs),
        policies={} if trained is None else {CONTROLLED: trained.policies},
        policy_hashes={} if trained is None else trained.hashes,
        training={} if trained is None else trained.training,
        profiles=profiles,
        yardsticks=notes,
        no_control=no_control,
        constraints={} if trained is None else trained.constraints,
    )


@dataclass(frozen=True, eq=False)
class _Trained:
    """What a training left: its policies, and what they were trained on."""

    policies: Policies
    policy: NetworkPolicy | StackedPolicy  # the same, for the scenario's padded arrays
    scenario: Scenario
    power_flow: str  # that finished the training
    training: Mapping[str, object]
    constraints: Mapping[str, float]

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each agent's policy file."""
        return {agent: info.sha256 for agent, info in self.policies.info.items()}


def _read_trained(folder: Path) -> _Trained:
    from neomflex_jax.agents.policy_files import load_policies
    from neomflex_jax.training.options import read_options
    from neomflex_jax.training.result import finishing_power_flow
    from neomflex_jax.training.run_folder import RunFolder

    run = RunFolder(folder)
    options = read_options(run)
    scenario, policies = options.scenario, load_policies(folder)
    return _Trained(
        policies,
        policies.as_policy(scenario.observation_layout(), scenario.name),
        scenario,
        finishing_power_flow(run, options),
        {"algorithm": options.algorithm, "seed": options.seed},
        options.constraints,
    )


def _watched(on_progress: OnProgress | None, run: str) -> Callable[..., None]:
    """Return the function to call with the progress of a run that is played or planned."""

    def tell(done: int, total: int, unit: str = "days") -> None:
        if on_progress is not None:
            on_progress(done, total, unit, f"playing {run}" if unit == "days" else f"planning {run}")

    return tell


def _judged_environment(
    scenario: Scenario, profiles: Path | None, power_flow: str | None, variant: str | None
) -> tuple[Environment, Path]:
    """Return the environment of the days to judge on, and the file that they are from."""
    from neomflex_jax.environment import evaluation_environment, make
    from neomflex_jax.environment.make import evaluation_scenario, scenario_profiles

    played = scenario if variant is None else with_overrides(scenario, {"variant": variant})
    path = resolve_profiles(profiles if profiles is not None else scenario.evaluation_profiles)
    days = scenario_profiles(evaluation_scenario(played), path)
    env = evaluation_environment(make(scenario, power_flow=power_flow), days)
    return replace(env, scenario=with_overrides(env.scenario, {"variant": played.variant})), path  # on plain days' fit
