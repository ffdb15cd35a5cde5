"""``neomflex validate``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from neomflex_jax.commands.answering import Answering
from neomflex_jax.commands.console import console, print_table
from neomflex_jax.commands.headlines import print_headline
from neomflex_jax.commands.imported_modules import Modules
from neomflex_jax.commands.optional_values import MayOmit, PowerFlowName
from neomflex_jax.commands.played_runs import BASELINE, CONTROLLED, Yardstick, record_runs, runs_asked_for
from neomflex_jax.commands.progress import progress
from neomflex_jax.errors import InputError
from neomflex_jax.folders.lock import alone_in
from neomflex_jax.folders.results import ResultFolder

if TYPE_CHECKING:
    from validation import Tolerances
    from validation.report.report import RunReport

FINISHED_DAYS = "replayed_days"  # in the output folder, until the report is written


@dataclass(frozen=True)
class ValidateCommand(Answering):
    """Replay trained policies and yardsticks in another program, step by step, and pass or fail them.

    Plays the policies with no control beside them, and yardsticks by name, on days they have not seen, solves every
    step again with pandapower's full AC power flow, on feeders with phases with OpenDSS's, lets the policies act once
    more on its answers, and compares. Says whether the record is that program's, and apart from that how a policy does
    beside no control and the best rule played. The verdict is on policies and yardsticks; no control is shown beside
    policies. Exit status: 0 PASS, 1 FAIL (a record is not that program's, or a policy breaks hard limits), 2
    INCOMPLETE (something could not be judged) or unusable input.
    """

    output: Path
    """Folder for report.json, report.md, pandapower_steps.csv and figures."""
    policies: MayOmit[Path] = None
    """Output folder of a training."""
    policy: tyro.conf.UseAppendAction[tuple[Yardstick, ...]] = ()
    """A yardstick to replay, with or without trained policies; may be given several times."""
    scenario: MayOmit[str] = None
    """Scenario of the yardsticks: a packaged name or a TOML file. If not given: neom33, or that of the policies."""
    profiles: MayOmit[Path] = None
    """CSV file with Demand and Solar. If not given: the scenario's evaluation profiles."""
    power_flow: PowerFlowName = None
    """How voltages are worked out. If not given: what the policies were trained on, ac without any."""
    variant: MayOmit[str] = None
    """Stress variant of the days, by its name in the scenario: high_load, low_sun, growth, or its own."""
    tolerances: MayOmit[Path] = None
    """TOML file with limits in place of the method's own, one a line, for example vm_max_pu = 0.004."""
    quick: bool = False
    """A first answer on a few sampled days: FAIL or INCOMPLETE, never PASS."""
    quick_days: int = 6
    """How many days --quick takes."""
    quick_seed: int = 0
    """Which days --quick takes."""
    open_loop: bool = False
    """Leave out the closed loop, in which the policies act on pandapower's answers; for ac: INCOMPLETE at best."""
    workers: int = 1
    """Days replayed at a time, each in a process of its own; results are the same."""
    resume: bool = False
    """Go on after an interruption: take the days that are finished already."""
    modules: Modules = ()
    overwrite: bool = False
    """Replace the report in the output folder."""

    def execute(self, started: float) -> int:
        """Validate; returns the exit status."""
        from neomflex_jax.plots.validation import file_names
        from validation.referee.day_files import forget_days
        from validation.report.report_folder import VALIDATION

        for name in ("quick_days", "quick_seed"):
            if not self.quick and getattr(self, name) != getattr(type(self), name):
                raise InputError(f"--{name.replace('_', '-')} says which days --quick takes; add --quick")
        results, finished = ResultFolder(self.output, VALIDATION), self.output / FINISHED_DAYS
        runs = runs_asked_for(self.policies, self.policies is not None, self.policy)
        figures = [name for run in runs for name in file_names(run).values()]
        results.check(overwrite=self.overwrite, more=figures)
        with alone_in(self.output, "validate"):
            results.check(overwrite=self.overwrite, more=figures)
            if not self.resume:
                forget_days(finished)
            status = self._validate(results, finished)
            forget_days(finished)
        return status

    def _validate(self, results: ResultFolder, finished: Path) -> int:
        from neomflex_jax.plots.validation import draw_all
        from validation import Sample, validate
        from validation.report.render import TABLE_HEADER, details, table_rows
        from validation.report.report_folder import VALIDATION
        from validation.verdict.headline import headline

        sample = Sample(self.quick_days, self.quick_seed) if self.quick else None
        with progress("playing the days") as stage:
            played = record_runs(
                self.policies,
                self.profiles,
                self.power_flow,
                baseline=self.policies is not None,
                variant=self.variant,
                yardsticks=self.policy,
                scenario=self.scenario,
                cache=self.output,
                on_progress=stage.counted,
            )
        tolerances = self._tolerances(played.trajectories[0].power_flow)
        with progress("replaying every step") as stage, results.replaced() as new:
            report = validate(
                played.trajectories,
                new,
                tolerances,
                policies=None if self.open_loop else played.policies,
                references=(BASELINE,) if self.policies is not None else (),
                schedules=played.yardsticks,
                policy_hashes={CONTROLLED: played.policy_hashes},
                profiles=played.profiles,
                sample=sample,
                n_workers=self.workers,
                resume_folder=finished,
                metadata=played.metadata,
                on_step=partial(stage.counted, unit="steps"),
                draw=lambda run: draw_all(run, new),
            )
        print_table(f"every step in {report.program}", TABLE_HEADER, table_rows(report))
        for line in details(report):
            console.print(line)
        console.print(f"report: {self.output / 'report.md'}")
        lines = headline(report)
        console.found(verdict=report.verdict, headline=lines, runs=[_found(run) for run in report.runs])
        console.found(
            days=report.days, is_sample=report.is_sample, files=[self.output / name for name in VALIDATION.files]
        )
        print_headline(lines)
        return report.exit_status

    def _tolerances(self, power_flow: str) -> Tolerances | None:
        from validation import read_tolerances, tolerances_for

        return None if self.tolerances is None else read_tolerances(self.tolerances, tolerances_for(power_flow))


def _found(run: RunReport) -> dict[str, object]:
    """Return what a machine is told of a run; `report.json` has everything."""
    facts = ("run", "kind", "reference", "power_flow", "verdict", "record_verdict", "failed_criteria")
    figures = ("mean_day_cost", "hard_violations", "loading_violations", "criteria")
    return {name: getattr(run, name) for name in (*facts, *figures)}
