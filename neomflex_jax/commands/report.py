"""``neomflex report``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from neomflex_jax.commands.console import console
from neomflex_jax.commands.headlines import print_headline, tabled_runs
from neomflex_jax.commands.identity import FILE as IDENTITY
from neomflex_jax.commands.identity import doubt, make_identity, places_of_reports, read_identity
from neomflex_jax.commands.imported_modules import Modules
from neomflex_jax.commands.optional_values import MayOmit
from neomflex_jax.commands.result_kinds import EVALUATION
from neomflex_jax.commands.run_page import RunPage, is_page
from neomflex_jax.errors import InputError
from neomflex_jax.files.whole_files import write_whole
from neomflex_jax.folders.marker import is_there
from neomflex_jax.folders.results import ResultFolder
from neomflex_jax.loose_types import JsonObject

if TYPE_CHECKING:
    from neomflex_jax.training.run_folder import RunFolder
    from validation.report.status import Identity, Status

PAGE = "report.html"


@dataclass(frozen=True)
class ReportCommand:
    """Put a training, its evaluation and its validation on one self-contained HTML page.

    Says whether the results are validated, which takes a passing report of exactly these policies, scenario and
    profiles, and how the policies do beside no control and the best rule played.
    """

    run: tyro.conf.Positional[Path]
    """Output folder of a training."""
    evaluation: MayOmit[Path] = None
    """Folder of its evaluation. If not given: `evaluation` in the training's folder or beside it."""
    validation: MayOmit[Path] = None
    """Folder of its validation. If not given: `validation` in the training's folder, or beside it or the evaluation."""
    output: MayOmit[Path] = None
    """HTML file; a page that is there is replaced. If not given: report.html in the training's folder."""
    modules: Modules = ()

    def execute(self, started: float) -> int:
        """Write the page; returns the exit status."""
        output = self.run / PAGE if self.output is None else self.output
        if output.suffix != ".html":
            raise InputError(f"{output}: the name must end in .html")
        if is_there(output) and not is_page(output):
            raise InputError(f"{output}: is there, and no page of this program; move it away, or give another --output")
        page = self._page()
        output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(output, page.html())
        print_headline(page.headline)
        console.print(page.basis)
        if page.said:
            console.print(f"training: {page.said}")
        console.print(f"page: {output}")
        return 0

    def _page(self) -> RunPage:
        """Read what the page says; refused if results are replaced meanwhile."""
        import pandas as pd

        from neomflex_jax.agents.policy_files import load_policies
        from neomflex_jax.commands import report_sections as sections
        from neomflex_jax.evaluation.tables import STEP_FILE, read_step_metrics, run_summary
        from neomflex_jax.training.result import trained_on
        from neomflex_jax.training.run_folder import RunFolder

        folder = RunFolder(self.run)
        config = folder.read_config()
        _refuse_several_seeds(folder, config)
        hashes = {agent: info.sha256 for agent, info in load_policies(self.run).info.items()}
        evaluated, note = self._evaluation(hashes)
        status = self._status(hashes, evaluated)
        steps = None if evaluated is None else read_step_metrics(evaluated / STEP_FILE)
        summary = pd.DataFrame() if steps is None else run_summary(steps)
        page = RunPage(
            name=self.run.resolve().name,
            headline=tuple(status.headline(tabled_runs(summary), ", in the evaluation's power flow alone")),
            basis=status.sentence([] if steps is None else summary["run"]),
            settings=sections.settings(config),
            config_json=sections.config_json(config),
            learning=sections.learning(folder.metrics, trained_on(config)),
            said=sections.said(folder.result),
            evaluation=note if steps is None else sections.evaluation(steps, summary, sections.limits(config)),
            validation=() if status.report is None else sections.validation(status.report),
        )
        if self._status(hashes, evaluated).text != status.text:
            raise InputError(f"{self.run}: its results were replaced while they were read; report again")
        return page

    def _evaluation(self, hashes: dict[str, str]) -> tuple[Path | None, str]:
        """Return the folder of these policies' evaluation, or None and a sentence on what is there instead."""
        if self.evaluation is not None:
            given = read_identity(self.evaluation)
            if given.policies_sha256 != hashes:
                raise InputError(f"{self.evaluation}: is of other policies than {self.run}; evaluate these")
            return self.evaluation, ""
        notes = []
        for place in self._places():
            if not (place / IDENTITY).is_file():
                continue
            if read_identity(place).policies_sha256 == hashes:
                return place, ""
            notes.append(f"{place} is of other policies")
        return None, "; ".join(["not evaluated: run `neomflex evaluate`", *notes])

    def _places(self) -> tuple[Path, Path]:
        return self.run / "evaluation", self.run.parent / "evaluation"

    def _doubt(self, evaluated: Path | None) -> str:
        """Return why the tables may not be those of this evaluation, in words; empty if they are."""
        if evaluated is not None:
            return doubt(evaluated)
        cut_off = [place for place in self._places() if ResultFolder(place, EVALUATION).unfinished()]
        if not cut_off:
            return ""
        return f"{cut_off[0]} holds tables without {IDENTITY}, which says what they are of; evaluate again"

    def _status(self, hashes: dict[str, str], evaluated: Path | None) -> Status:
        from validation.report.status import Status, validation_status

        if doubtful := self._doubt(evaluated):
            return Status(False, f"not validated: {doubtful}")
        places = places_of_reports(self.run, evaluated)
        if self.validation is not None:
            places = (self.validation,)
        identity = read_identity(evaluated) if evaluated is not None else self._as_trained(hashes)
        return validation_status(identity, places)

    def _as_trained(self, hashes: dict[str, str]) -> Identity:
        """Return names and hashes of what an evaluation without further options would play."""
        from neomflex_jax.environment.make import evaluation_scenario, scenario_profiles
        from neomflex_jax.fields import with_overrides
        from neomflex_jax.profiles import profiles_hash, resolve_profiles
        from neomflex_jax.training.options import read_options
        from neomflex_jax.training.result import finishing_power_flow
        from neomflex_jax.training.run_folder import RunFolder

        folder = RunFolder(self.run)
        options = read_options(folder)
        scenario = with_overrides(options.scenario, {"power_flow": finishing_power_flow(folder, options)})
        scenario = evaluation_scenario(scenario)
        path = resolve_profiles(scenario.evaluation_profiles)
        n_days = scenario_profiles(scenario, path).n_days
        return make_identity(hashes, scenario, profiles_hash(path), first_day=0, n_days=n_days)


def _refuse_several_seeds(folder: RunFolder, config: JsonObject) -> None:
    if config.get("n_seeds", 1) > 1:
        seeds = ", ".join(str(path) for path in sorted(folder.root.glob("seed_*"))) or "none yet"
        raise InputError(f"{folder.root}: trained several seeds; give one of its folders ({seeds})")
