"""``neomflex evaluate``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from neomflex_jax.commands.console import console, print_table, short
from neomflex_jax.commands.identity import identity_of, places_of_reports, write_identity
from neomflex_jax.commands.played_runs import record_runs, refuse_existing

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
    """Play trained policies on days they have not seen, and write three CSV files; says whether they are validated.

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
        from validation.status import validation_status

        refuse_existing(self.output, TABLES, self.overwrite)
        with console.status("playing the days"):
            played = record_runs(self.policies, self.profiles, self.power_flow, self.baseline, variant=self.variant)
            trajectories = played.trajectories
        for stale in self.output.glob("trajectory_*.npz"):
            stale.unlink()
        write_tables(trajectories, self.output)
        identity = identity_of(played)
        write_identity(identity, self.output)
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
        status = validation_status(identity, places_of_reports(self.policies, self.output))
        console.print(status.text, style="green" if status.validated else "yellow")
        if status.validated:
            return 0
        same = {"--profiles": self.profiles, "--power-flow": self.power_flow, "--variant": self.variant}
        flags = "".join(f" {flag} {value}" for flag, value in same.items() if value is not None)
        console.print(f"to validate: neomflex validate --policies {self.policies}{flags} --output ...")
        return 0
