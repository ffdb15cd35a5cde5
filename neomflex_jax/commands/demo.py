"""``neomflex demo``: the main job end to end, as ``make demo`` runs it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neomflex_jax.commands.answering import Answering
from neomflex_jax.commands.console import console, print_table, short
from neomflex_jax.commands.evaluate import EvaluateCommand
from neomflex_jax.commands.headlines import print_headline
from neomflex_jax.commands.plot import PlotCommand
from neomflex_jax.commands.report import ReportCommand
from neomflex_jax.commands.result_kinds import DEMO, EVALUATION, FIGURES, PAGE
from neomflex_jax.commands.train import TrainCommand
from neomflex_jax.commands.validate import ValidateCommand
from neomflex_jax.files.json_values import read_json_object
from neomflex_jax.files.whole_files import write_whole
from neomflex_jax.folders.lock import alone_in
from neomflex_jax.folders.results import ResultFolder
from neomflex_jax.loose_types import JsonObject

if TYPE_CHECKING:
    from validation.report.stored_report import StoredRun

NAMES = {"baseline": "no control", "controlled": "SAC"}
PARTS, STAGES = ("run", "evaluation", "validation"), "stages.json"


@dataclass(frozen=True)
class DemoCommand(Answering):
    """Train on neom33, evaluate on unseen days, validate in pandapower, draw figures and a page, print one table."""

    output: Path = Path("results/demo")
    """Folder for everything that the demo writes."""
    scenario: str = "neom33"
    """A packaged scenario's name or a TOML file."""
    seed: int = 0
    """Seed of the training."""
    train_seconds: float = 90.0
    """Seconds of training, compilation included."""
    overwrite: bool = False
    """Replace an earlier demo in the output folder."""

    def execute(self, started: float) -> int:
        """Run the stages; returns the exit status of the validation."""
        from neomflex_jax.training.run_folder import RunFolder
        from validation.report.report_folder import VALIDATION

        run, evaluation, validation = (self.output / name for name in PARTS)
        results = ResultFolder(self.output, DEMO)
        results.check(overwrite=self.overwrite, others=PARTS)
        RunFolder(run).check(overwrite=self.overwrite)  # all of them now, rather than after the training
        ResultFolder(evaluation, EVALUATION).check(overwrite=self.overwrite)
        ResultFolder(validation, VALIDATION).check(overwrite=self.overwrite)
        with alone_in(self.output, "demo"):
            results.check(overwrite=self.overwrite)
            results.withdraw()
            status = self._run(results, *(self.output / name for name in PARTS))
            if (self.output / STAGES).exists():
                print_results(self.output)
        return status

    def _run(self, results: ResultFolder, run: Path, evaluation: Path, validation: Path) -> int:
        """Run the stages; their seconds are written last, into a file that a stopped demo lacks."""
        from neomflex_jax.plots import save

        seconds: dict[str, float] = {}
        found: dict[str, object] = {}
        with _stage("train", seconds, found):
            train = TrainCommand(
                output=run,
                scenario=self.scenario,
                seed=self.seed,
                max_seconds=self.train_seconds,
                overwrite=self.overwrite,
            )
            status = train.execute(time.monotonic())
            if status:
                return status
        with _stage("evaluate", seconds, found):
            EvaluateCommand(policies=run, output=evaluation, baseline=True, overwrite=self.overwrite).execute(0.0)
        with _stage("validate", seconds, found):
            verdict = ValidateCommand(policies=run, output=validation, overwrite=self.overwrite).execute(0.0)
        with results.replaced() as new:
            with _stage("plot", seconds, found):
                for figure in FIGURES:
                    save(PlotCommand(figure, (evaluation / "step_metrics.csv",)).drawn(), new / f"{figure}.png")
            with _stage("report", seconds, found):
                write_whole(new / PAGE, ReportCommand(run, evaluation, validation).page().html())
            (new / STAGES).write_text(json.dumps({"seconds": seconds}, indent=2) + "\n", encoding="utf-8")
        console.found(stages=found, seconds=seconds, files=[self.output / name for name in DEMO.files])
        return verdict


@contextmanager
def _stage(name: str, seconds: dict[str, float], found: dict[str, object]) -> Iterator[None]:
    before = time.monotonic()
    with console.part():
        console.rule(name, align="left")
        yield
    seconds[name] = round(time.monotonic() - before, 1)
    found[name] = console.taken()


def print_results(folder: Path) -> None:
    """Print the demo's table, headline and page, every number read back from the files in `folder`."""
    from validation.report.stored_report import read_report
    from validation.verdict.headline import headline

    stored = read_report(folder / "validation")
    stages = read_json_object(folder / "stages.json")
    verdicts = {run.run: _verdict(run) for run in stored.runs}
    runs = sorted(stored.content["runs"], key=lambda run: list(NAMES).index(run["run"]))
    columns = [_column(run, side) for run in runs for side in ("recorded", "pandapower")]
    header = [
        "mean of a day",
        *(f"{NAMES[run['run']]}\n{side}" for run in runs for side in (run["power_flow"], "pandapower")),
    ]
    labels = ("reward (team)", "losses MWh", "buses outside band, %", "lowest voltage pu", "highest voltage pu")
    rows = [[label, *(column[index] for column in columns)] for index, label in enumerate(labels)]
    rows.append(["record", *(text for run in runs for text in ("", verdicts[run["run"]]))])
    console.rule("results", align="left")
    print_table(f"{runs[0]['metrics']['n_days']} unseen days", header, rows)
    console.print("seconds: " + ", ".join(f"{name} {value}" for name, value in stages["seconds"].items()))
    console.print(f"from: {folder}/validation/report.json, {folder}/stages.json; figures and tables: {folder}")
    print_headline(headline(stored))
    if (folder / PAGE).exists():
        console.print(f"page, for any browser: {folder / PAGE}")


def _verdict(run: StoredRun) -> str:
    return f"({run.record_verdict}, not counted)" if run.reference else run.record_verdict


def _column(run: JsonObject, side: str) -> list[str]:
    metrics = run["metrics"]
    return [
        short(_scaled(metrics["mean_day_cost"][side], -1)),
        short(_scaled(metrics["losses_mwh"][side], 1 / metrics["n_days"])),
        short(_scaled(metrics["share_outside_band"][side], 100)),
        short(metrics["voltage_min_pu"][side]),
        short(metrics["voltage_max_pu"][side]),
    ]


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
