"""``neomflex validate``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from neomflex_jax.commands.console import console, progress_bar
from neomflex_jax.commands.runs import Yardstick, record_runs, refuse_existing

REPORTS = ("report.json", "report.md")


@dataclass(frozen=True)
class ValidateCommand:
    """Replay trained policies and yardsticks in pandapower, step by step, and pass or fail them.

    Plays the policies with no control beside them, and yardsticks by name, on days they have not seen, solves every
    step again with pandapower's full AC power flow, and compares. Exit status: 0 if the policies and the yardsticks
    PASS, 1 if not, 2 on unusable input.
    """

    output: Path
    """Folder for report.json, report.md and pandapower_steps.csv."""
    policies: Path | None = None
    """Output folder of a training."""
    policy: tyro.conf.UseAppendAction[tuple[Yardstick, ...]] = ()
    """A yardstick to replay, with or without trained policies; may be given several times."""
    scenario: str | None = None
    """Scenario of the yardsticks: a packaged name or a TOML file. If not given: neom33, or that of the policies."""
    profiles: Path | None = None
    """CSV file with Demand and Solar. If not given: the scenario's evaluation profiles."""
    power_flow: str | None = None
    """ac, calibrated, lindistflow or dc. If not given: what the policies were trained on, ac without any."""
    variant: str | None = None
    """Stress variant of the days, by its name in the scenario: high_load, low_sun, growth, or its own."""
    overwrite: bool = False
    """Replace the report in the output folder."""

    def execute(self, started: float) -> int:
        """Validate; gives the exit status."""
        from validation import render_table, validate

        refuse_existing(self.output, REPORTS, self.overwrite)
        with console.status("playing the days"):
            trajectories, used = record_runs(
                self.policies,
                self.profiles,
                self.power_flow,
                baseline=self.policies is not None,
                variant=self.variant,
                yardsticks=self.policy,
                scenario=self.scenario,
                cache=self.output,
            )
        with progress_bar() as bar:
            task = bar.add_task("replaying in pandapower", total=None, note="")

            def on_step(solved: int, total: int) -> None:
                bar.update(task, completed=solved, total=total, note=f"{solved}/{total} steps")

            report = validate(trajectories, self.output, metadata=used, on_step=on_step)
        console.print(render_table(report))
        console.print(f"report: {self.output / 'report.md'}")
        return 0 if all(run.verdict == "PASS" for run in report.runs if run.run != "baseline") else 1
