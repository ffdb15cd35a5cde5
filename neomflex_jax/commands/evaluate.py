"""``neomflex evaluate``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neomflex_jax.commands.console import console, print_table, short
from neomflex_jax.errors import InputError

if TYPE_CHECKING:
    from neomflex_jax.evaluation import Trajectory

COLUMNS = {
    "mean_day_cost": "day cost\nmean",
    "total_losses_mwh": "losses\nMWh",
    "min_voltage_pu": "lowest\npu",
    "max_voltage_pu": "highest\npu",
    "share_outside_band": "share\nout of band",
    "voltage_violations": "hard\nviolations",
    "failed_power_flows": "failed\nflows",
}
TABLES = ("step_metrics.csv", "daily_summary.csv", "run_summary.csv")


@dataclass(frozen=True)
class EvaluateCommand:
    """Play trained policies on days they have not seen, and write three CSV files.

    Days come in file order, energies are carried over midnight, actions are the policies' modes.
    """

    policies: Path
    """Output folder of a training."""
    output: Path
    """Folder for step_metrics.csv, daily_summary.csv and run_summary.csv."""
    profiles: Path | None = None
    """CSV file with Demand and Solar. If not given: the scenario's evaluation profiles."""
    power_flow: str | None = None
    """ac, calibrated, lindistflow or dc. If not given: what the policies were trained on."""
    variant: str | None = None
    """Stress variant of the days, by its name in the scenario: high_load, low_sun, growth, or its own."""
    baseline: bool = False
    """Also play zero actions, as run `baseline`."""
    overwrite: bool = False
    """Replace the tables in the output folder."""

    def execute(self, started: float) -> int:
        """Evaluate; gives the exit status."""
        import pandas as pd

        from neomflex_jax.evaluation.tables import write_tables

        refuse_existing(self.output, TABLES, self.overwrite)
        with console.status("playing the days"):
            trajectories, _ = record_runs(
                self.policies, self.profiles, self.power_flow, self.baseline, variant=self.variant
            )
        for stale in self.output.glob("trajectory_*.npz"):
            stale.unlink()
        write_tables(trajectories, self.output)
        for trajectory in trajectories:
            trajectory.save(self.output / f"trajectory_{trajectory.run}.npz")
        summary = pd.read_csv(self.output / "run_summary.csv")
        rows = [[str(row["run"]), *(short(float(row[name])) for name in COLUMNS)] for _, row in summary.iterrows()]
        title = f"{summary['n_days'].iloc[0]} days, power flow: {trajectories[0].power_flow}"
        title += f", variant: {self.variant}" if self.variant else ""
        print_table(title, ["run", *COLUMNS.values()], rows)
        console.print(f"from: {self.output}/run_summary.csv")
        failed = int(summary["failed_power_flows"].sum())
        if failed:
            console.print(f"warning: {failed} power flows failed; losses and voltages leave them out", style="yellow")
        same = {"--profiles": self.profiles, "--power-flow": self.power_flow, "--variant": self.variant}
        flags = "".join(f" {flag} {value}" for flag, value in same.items() if value is not None)
        console.print(f"not validated yet: neomflex validate --policies {self.policies}{flags} --output ...")
        return 0


def record_runs(
    policies: Path, profiles: Path | None, power_flow: str | None, baseline: bool, *, variant: str | None = None
) -> tuple[list[Trajectory], dict[str, Any]]:
    """Play `controlled` and, if asked for, `baseline`; also says which files were used, by hash."""
    from neomflex_jax.agents.policy import NoControl
    from neomflex_jax.agents.policy_files import load_policies
    from neomflex_jax.environment import evaluation_environment, make
    from neomflex_jax.environment.make import scenario_profiles
    from neomflex_jax.evaluation import record
    from neomflex_jax.fields import with_overrides
    from neomflex_jax.profiles import profiles_hash, resolve_profiles
    from neomflex_jax.training.options import read_options
    from neomflex_jax.training.run_folder import RunFolder

    scenario = read_options(RunFolder(policies)).scenario
    played = scenario if variant is None else with_overrides(scenario, {"variant": variant})
    trained = load_policies(policies)
    policy = trained.as_policy(scenario.observation_layout(), scenario.name)
    path = resolve_profiles(profiles if profiles is not None else scenario.evaluation_profiles)
    env = evaluation_environment(make(scenario, power_flow=power_flow), scenario_profiles(played, path))
    env = replace(env, scenario=with_overrides(env.scenario, {"variant": played.variant}))  # on the plain days' fit
    sha256 = profiles_hash(path)
    trajectories = [record(env, policy, "controlled", profiles_sha256=sha256)]
    if baseline:
        trajectories.append(record(env, NoControl(env.action_size), "baseline", profiles_sha256=sha256))
    used = {
        "policies": {agent: info.sha256 for agent, info in trained.info.items()},
        "profiles": path.name,
        "profiles_sha256": sha256,
        "variant": played.variant or "plain",
    }
    return trajectories, used


def refuse_existing(folder: Path, names: tuple[str, ...], overwrite: bool) -> None:
    """Raise `InputError` if the folder holds results already, unless they may be replaced; make it if not there."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give an output folder")
    present = [name for name in names if (folder / name).exists()]
    if present and not overwrite:
        raise InputError(f"{folder}: already holds {present[0]}; give --overwrite or another --output")
    folder.mkdir(parents=True, exist_ok=True)
