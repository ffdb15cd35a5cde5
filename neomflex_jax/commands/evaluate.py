"""``neomflex evaluate``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from neomflex_jax.commands.answering import Answering
from neomflex_jax.commands.console import console, print_table, short
from neomflex_jax.commands.constraints import shown_constraints
from neomflex_jax.commands.headlines import judging_program, print_headline, tabled_runs
from neomflex_jax.commands.identity import identity_of, places_of_reports, write_identity
from neomflex_jax.commands.imported_modules import Modules
from neomflex_jax.commands.optional_values import MayOmit, PowerFlowName
from neomflex_jax.commands.played_runs import PlayedRuns, Yardstick, record_runs, runs_asked_for
from neomflex_jax.commands.progress import progress
from neomflex_jax.commands.result_kinds import EVALUATION, TABLES, trajectory_file
from neomflex_jax.files.spreadsheets import unguarded
from neomflex_jax.folders.lock import alone_in
from neomflex_jax.folders.results import ResultFolder

if TYPE_CHECKING:
    import pandas as pd

    from validation.report.status import Identity

COLUMNS = {
    "mean_day_cost": "day cost\nmean",
    "total_losses_mwh": "losses\nMWh",
    "min_voltage_pu": "lowest\npu",
    "max_voltage_pu": "highest\npu",
    "share_outside_band": "share\nout of band",
    "voltage_violations": "hard\nviolations",
    "failed_power_flows": "failed\nflows",
}
OF_LOADING = {
    "max_loading_percent": "highest\nloading, %",
    "loading_violations": "loading\nviolations",
}  # where limited
OF_FALLBACK = {"solved_by_fallback": "flows by\nfallback"}  # where it solved any
OF_MAPDN = {"controllable_rate": "controllable\nrate", "q_loss_mvar": "Q loss\nMvar"}  # under its barriers
GAP = "gap_to_perfect_foresight_percent"


def shown_columns(summary: pd.DataFrame) -> dict[str, str]:
    """Columns of a run summary that are printed, with their headings."""
    optional = {name: heading for name, heading in OF_LOADING.items() if name in summary}
    optional |= {name: heading for name, heading in OF_FALLBACK.items() if name in summary and summary[name].sum()}
    return COLUMNS | optional


@dataclass(frozen=True)
class EvaluateCommand(Answering):
    """Play trained policies and yardsticks on unseen days, write three CSV files, and say whether they are validated.

    Days come in file order, energies are carried over midnight, actions are the policies' modes. Says how policies do
    beside no control and the best rule played: in the program that validated them, else in the power flow they played.
    """

    output: Path
    """Folder for step_metrics.csv, daily_summary.csv and run_summary.csv."""
    policies: MayOmit[Path] = None
    """Output folder of a training."""
    policy: tyro.conf.UseAppendAction[tuple[Yardstick, ...]] = ()
    """A yardstick to play, with or without trained policies; may be given several times."""
    scenario: MayOmit[str] = None
    """Scenario of the yardsticks: a packaged name or a TOML file. If not given: neom33, or that of the policies."""
    optimum: bool = False
    """Also play perfect foresight, and state each run's gap to it by day."""
    profiles: MayOmit[Path] = None
    """CSV file with Demand and Solar. If not given: the scenario's evaluation profiles."""
    power_flow: PowerFlowName = None
    """How voltages are worked out. If not given: what the policies were trained on, ac without any."""
    variant: MayOmit[str] = None
    """Stress variant of the days, by its name in the scenario: high_load, low_sun, growth, or its own."""
    baseline: bool = False
    """Also write the run without control, `baseline`, into the tables. Policies are compared with it in any case."""
    modules: Modules = ()
    overwrite: bool = False
    """Replace the tables and trajectories in the output folder."""

    def execute(self, started: float) -> int:
        """Evaluate; returns the exit status."""
        results = ResultFolder(self.output, EVALUATION)
        recorded = sorted(path.name for path in self.output.glob("trajectory_*.npz"))
        own = [trajectory_file(run) for run in runs_asked_for(self.policies, self.baseline, self._yardsticks())]
        results.check(overwrite=self.overwrite, more=own, others=recorded)
        with alone_in(self.output, "evaluate"):
            results.check(overwrite=self.overwrite, more=own)
            return self._evaluate(results)

    def _evaluate(self, results: ResultFolder) -> int:
        import pandas as pd

        from neomflex_jax.evaluation.constraints import write_constraints
        from neomflex_jax.evaluation.tables import write_tables

        with progress("playing the days") as stage:
            played = record_runs(
                self.policies,
                self.profiles,
                self.power_flow,
                self.baseline,
                variant=self.variant,
                yardsticks=self._yardsticks(),
                scenario=self.scenario,
                cache=self.output,
                on_progress=stage.counted,
            )
        identity = identity_of(played)
        with results.replaced() as new:
            steps_file = write_tables(played.trajectories, new, played.no_control)[0]
            if played.constraints:
                write_constraints(steps_file, played.constraints)
            for trajectory in played.trajectories:
                trajectory.save(new / trajectory_file(trajectory.run))
            write_identity(identity, new)
        summary = pd.read_csv(self.output / "run_summary.csv", converters={"run": unguarded})
        files = [*TABLES, *map(trajectory_file, (each.run for each in played.trajectories)), "evaluation.json"]
        console.found(
            power_flow=played.trajectories[0].power_flow,
            variant=self.variant,
            runs=summary.to_dict("records"),
            constraints=played.constraints,
            files=[self.output / name for name in files],
        )
        self._print_summary(played, summary)
        if played.constraints:
            self._print_constraints()
        if not self._print_validation_status(identity, played, summary):
            self._print_how_to_validate(played)
        return 0

    def _yardsticks(self) -> tuple[Yardstick, ...]:
        return (*self.policy, *(("perfect_foresight",) if self.optimum else ()))

    def _print_summary(self, played: PlayedRuns, summary: pd.DataFrame) -> None:
        from neomflex_jax.powerflow import method_named

        power_flow = played.trajectories[0].power_flow
        columns = shown_columns(summary) | ({GAP: "gap to\noptimum, %"} if GAP in summary else {})
        title = f"{summary['n_days'].iloc[0]} days, power flow: {power_flow}"
        title += f", variant: {self.variant}" if self.variant else ""
        _print_runs(title, columns, summary)
        if played.trajectories[0].scenario.reward.voltage_barrier != "band":  # one of MAPDN's
            known = {name: heading for name, heading in OF_MAPDN.items() if name in summary}
            _print_runs("MAPDN's figures, in the scenario's band", known, summary)
        console.print(f"from: {self.output}/run_summary.csv")
        for name, note in played.yardsticks.items():
            console.print(f"{name}: {note}")
        if GAP in summary and not method_named(power_flow).exact:
            console.print(f"the gap is in {power_flow}; --power-flow ac has the exact one")
        failed = int(summary["failed_power_flows"].sum())
        if failed:
            flows = "1 power flow" if failed == 1 else f"{failed} power flows"
            console.warn(f"{flows} failed; losses and voltages leave them out")

    def _print_constraints(self) -> None:
        import pandas as pd

        from neomflex_jax.evaluation.constraints import FILE

        kept = shown_constraints(pd.read_csv(self.output / FILE))
        print_table("constraints of the training", kept.header, kept.rows)
        console.print(f"from: {self.output}/{FILE}")

    def _print_validation_status(self, identity: Identity, played: PlayedRuns, summary: pd.DataFrame) -> bool:
        """Print whether a report validates these policies, and how they do; returns False also without any policies."""
        from validation.report.status import validation_status

        if self.policies is None:
            console.found(validated=False)
            return False
        status = validation_status(identity, places_of_reports(self.policies, self.output))
        where = f", in `{played.trajectories[0].power_flow}` alone"
        lines = status.headline(tabled_runs(summary), where, judging_program(played.trajectories[0].scenario))
        console.found(validated=status.validated, headline=lines)
        print_headline(lines)
        console.print(status.sentence(run.run for run in played.trajectories))
        return status.validated

    def _print_how_to_validate(self, played: PlayedRuns) -> None:
        same = {
            "--policies": self.policies,
            "--scenario": self.scenario,
            "--profiles": self.profiles,
            "--power-flow": self.power_flow,
            "--variant": self.variant,
        }
        flags = "".join(f" {flag} {value}" for flag, value in same.items() if value is not None)
        flags += "".join(f" --policy {name}" for name in played.yardsticks)
        flags += "".join(f" --import {module}" for module in self.modules)
        console.remark(f"to validate: neomflex validate{flags} --output ...")


def _print_runs(title: str, columns: dict[str, str], summary: pd.DataFrame) -> None:
    rows = [[str(row["run"]), *(short(float(row[name])) for name in columns)] for _, row in summary.iterrows()]
    print_table(title, ["run", *columns.values()], rows)
