"""Playing trained policies and no control on days they have not seen, for the commands that judge them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neomflex_jax.errors import InputError

if TYPE_CHECKING:
    from neomflex_jax.agents.policy_files import Policies
    from neomflex_jax.evaluation import Trajectory

CONTROLLED, BASELINE = "controlled", "baseline"


@dataclass(frozen=True, eq=False)
class PlayedRuns:
    """Recorded runs, who acted in them, and which files they come from."""

    trajectories: tuple[Trajectory, ...]  # controlled, then baseline if asked for
    policies: Mapping[str, Policies]  # by run; of `controlled` alone
    policy_hashes: Mapping[str, str]  # of `controlled`, SHA-256 by agent
    training: Mapping[str, Any]  # algorithm and seed
    profiles: str  # the file's name

    @property
    def metadata(self) -> dict[str, Any]:
        """Plain values for a report."""
        variant = self.trajectories[0].scenario.variant or "plain"
        return {"training": dict(self.training), "profiles": self.profiles, "variant": variant}


def record_runs(
    policies: Path, profiles: Path | None, power_flow: str | None, baseline: bool, *, variant: str | None = None
) -> PlayedRuns:
    """Play `controlled` and, if asked for, `baseline`."""
    from neomflex_jax.agents.policy import NoControl
    from neomflex_jax.agents.policy_files import load_policies
    from neomflex_jax.environment import evaluation_environment, make
    from neomflex_jax.environment.make import scenario_profiles
    from neomflex_jax.evaluation import record
    from neomflex_jax.fields import with_overrides
    from neomflex_jax.profiles import profiles_hash, resolve_profiles
    from neomflex_jax.training.run_folder import RunFolder
    from neomflex_jax.training.train import read_options

    options = read_options(RunFolder(policies))
    scenario = options.scenario
    played = scenario if variant is None else with_overrides(scenario, {"variant": variant})
    trained = load_policies(policies)
    policy = trained.as_policy(scenario.observation_layout(), scenario.name)
    path = resolve_profiles(profiles if profiles is not None else scenario.evaluation_profiles)
    env = evaluation_environment(make(scenario, power_flow=power_flow), scenario_profiles(played, path))
    env = replace(env, scenario=with_overrides(env.scenario, {"variant": played.variant}))  # on the plain days' fit
    sha256 = profiles_hash(path)
    trajectories = [record(env, policy, CONTROLLED, profiles_sha256=sha256)]
    if baseline:
        trajectories.append(record(env, NoControl(env.action_size), BASELINE, profiles_sha256=sha256))
    return PlayedRuns(
        trajectories=tuple(trajectories),
        policies={CONTROLLED: trained},
        policy_hashes={agent: info.sha256 for agent, info in trained.info.items()},
        training={"algorithm": options.algorithm, "seed": options.seed},
        profiles=path.name,
    )


def refuse_existing(folder: Path, names: tuple[str, ...], overwrite: bool) -> None:
    """Raise `InputError` if the folder holds results already, unless they may be replaced; make it if not there."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give an output folder")
    present = [name for name in names if (folder / name).exists()]
    if present and not overwrite:
        raise InputError(f"{folder}: already holds {present[0]}; give --overwrite or another --output")
    folder.mkdir(parents=True, exist_ok=True)
