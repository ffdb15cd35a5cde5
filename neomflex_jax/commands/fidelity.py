"""``neomflex fidelity``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from neomflex_jax.commands.answering import Answering
from neomflex_jax.commands.console import console, print_table
from neomflex_jax.commands.imported_modules import Modules
from neomflex_jax.commands.optional_values import MayOmit, PowerFlowNames
from neomflex_jax.commands.played_runs import record_runs
from neomflex_jax.commands.progress import progress
from neomflex_jax.commands.result_kinds import FIDELITY
from neomflex_jax.errors import InputError
from neomflex_jax.folders.lock import alone_in
from neomflex_jax.folders.results import ResultFolder

if TYPE_CHECKING:
    from neomflex_jax.evaluation.fidelity_report import Fidelity

SECTIONS = {  # what the table shows of the columns in fidelity.csv
    "voltage, pu": {
        "vm_error_max_pu": "error, largest",
        "vm_error_p99_pu": "error, 99 % below",
        "vm_error_mean_pu": "error, mean",
        "vm_bias_pu": "bias (+ too high)",
    },
    "losses, MW": {
        "loss_error_max_mw": "error, largest",
        "loss_error_p99_mw": "error, 99 % below",
        "loss_error_mean_mw": "error, mean",
        "loss_bias_mw": "bias (+ too high)",
    },
    "losses, % of the mean loss": {
        "loss_error_max_percent": "error, largest",
        "loss_error_mean_percent": "error, mean",
        "loss_bias_percent": "bias (+ too high)",
    },
    "branch current, kA": {
        "branch_i_error_max_ka": "error, largest",
        "branch_i_error_p99_ka": "error, 99 % below",
        "branch_i_error_mean_ka": "error, mean",
        "branch_i_bias_ka": "bias (+ too high)",
    },
    "branch loading, % points": {
        "branch_loading_error_max_percent": "error, largest",
        "branch_loading_error_mean_percent": "error, mean",
        "branch_loading_bias_percent": "bias (+ too high)",
    },
    "outside hard limits, voltages": {
        "hard_missed": "missed",
        "hard_missed_percent_of_true": "missed, % of true",
        "hard_invented": "invented",
        "hard_invented_percent_of_true": "invented, % of true",
    },
    "outside the band, voltages": {
        "band_missed": "missed",
        "band_missed_percent_of_true": "missed, % of true",
        "band_invented": "invented",
        "band_invented_percent_of_true": "invented, % of true",
    },
    "": {"n_failed": "samples without an answer", "flows_per_second": "flows/s"},
}


@dataclass(frozen=True)
class FidelityCommand(Answering):
    """State each power-flow method's error against exact AC, and its speed, on a scenario's own injections.

    Draws random rows of the profiles and random actions of all devices (or takes a policy's own steps), lets every
    method answer, and compares with AC in double precision: voltages, losses, currents, violations.
    """

    scenario: MayOmit[str] = None
    """A packaged scenario's name or a TOML file. If not given: neom33, or the policies'."""
    power_flow_methods: PowerFlowNames = None
    """The methods to compare, one or more. If not given: all."""
    samples: MayOmit[int] = None
    """How many injections to draw. If not given: 4096."""
    seed: int = 0
    """Seed of the draw; no seed draws the samples that `calibrated` is fitted to."""
    profiles: MayOmit[Path] = None
    """CSV file with Demand and Solar. If not given: the scenario's for training; with --policies, for evaluation."""
    policies: MayOmit[Path] = None
    """Output folder of a training: compare on every step of its policies' evaluation instead of on random actions."""
    batch_size: MayOmit[int] = None
    """Power flows at once when the speed is measured. If not given: 4096, fewer on large feeders."""
    output: MayOmit[Path] = None
    """Folder for fidelity.csv, fidelity.json and fidelity.png. If not given: nothing is written."""
    modules: Modules = ()
    overwrite: bool = False
    """Replace the files in the output folder."""

    def execute(self, started: float) -> int:
        """Compare; returns the exit status."""
        from neomflex_jax.plots import save
        from neomflex_jax.plots.fidelity import draw

        if self.output is None:
            print_report(self._solve())
            return 0
        results = ResultFolder(self.output, FIDELITY)
        results.check(overwrite=self.overwrite)
        with alone_in(self.output, "fidelity"):
            results.check(overwrite=self.overwrite)
            report = self._solve()
            print_report(report)
            with results.replaced() as new:
                save(draw(report), new / "fidelity.png")
                report.write(new)
        files = [self.output / name for name in FIDELITY.files]
        console.print(f"files: {', '.join(map(str, files))}")
        console.found(files=files)
        return 0

    def _solve(self) -> Fidelity:
        with progress("solving") as stage:

            def tell(done: int, total: int, what: str) -> None:
                stage.counted(done, total, "parts", what)

            return self._on_policies(tell) if self.policies is not None else self._on_random_actions(tell)

    def _on_random_actions(self, tell: Callable[[int, int, str], None]) -> Fidelity:
        from neomflex_jax.evaluation.fidelity import fidelity

        return fidelity(
            self.scenario or "neom33",
            self.power_flow_methods,
            4096 if self.samples is None else self.samples,
            self.seed,
            profiles=self.profiles,
            batch_size=self.batch_size,
            on_stage=tell,
        )

    def _on_policies(self, tell: Callable[[int, int, str], None]) -> Fidelity:
        from neomflex_jax.evaluation.fidelity import fidelity

        if self.scenario is not None or self.samples is not None:
            raise InputError("--policies brings its own scenario and samples; leave out --scenario and --samples")
        assert self.policies is not None
        trajectory = record_runs(self.policies, self.profiles, None, baseline=False).trajectories[0]
        report = fidelity(
            trajectory.scenario,
            self.power_flow_methods,
            injections=(trajectory.p_injection_mw, trajectory.q_injection_mvar),
            batch_size=self.batch_size,
            on_stage=tell,
        )
        return replace(report, samples_from=f"every step of the policies in {self.policies} on their evaluation")


def print_report(report: Fidelity) -> None:
    """Print methods side by side, and under them what the numbers rest on."""
    console.found(**report.as_dict(), files=[])
    rows, lines = report.rows(), []
    for section, labels in SECTIONS.items():
        if all(row[name] != row[name] for row in rows for name in labels):
            continue  # all NaN: a feeder without ratings
        if section:
            lines.append([section, *[""] * len(rows)])
        for name, label in labels.items():
            lines.append([("  " if section else "") + label, *(number(row[name]) for row in rows)])
    print_table(f"{report.scenario.name}: error against exact AC", ["", *(str(row["method"]) for row in rows)], lines)
    for note in report.notes():
        console.print(note, soft_wrap=False)


def number(value: float) -> str:
    """Return a count in full and anything else with three significant digits, as text."""
    if isinstance(value, int):
        return f"{value:,}"
    if value != value:
        return "n/a"
    return f"{value:z.3g}" if not abs(value) >= 1000 else f"{float(f'{value:.3g}'):,.0f}"
