"""Reading what lies in and beside the folder of one training, for its page."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from neomflex_jax.commands import report_sections as sections
from neomflex_jax.commands.headlines import judging_program, tabled_runs
from neomflex_jax.commands.identity import FILE as IDENTITY
from neomflex_jax.commands.identity import doubt, make_identity, places_of_reports, read_identity
from neomflex_jax.commands.page import reproduce
from neomflex_jax.commands.page.agents import agents_of, said_of_agents
from neomflex_jax.commands.page.days import day_costs, worst_days
from neomflex_jax.commands.page.errors import error_charts
from neomflex_jax.commands.page.figures import Figures, figures_of_report, figures_of_tables
from neomflex_jax.commands.page.recorded import Recorded, recorded_runs
from neomflex_jax.commands.result_kinds import EVALUATION
from neomflex_jax.commands.run_page import SeedPage
from neomflex_jax.errors import InputError
from neomflex_jax.files.json_values import read_json_object
from neomflex_jax.files.paths import is_file
from neomflex_jax.folders.results import ResultFolder
from neomflex_jax.loose_types import JsonObject
from neomflex_jax.training.run_folder import RunFolder

if TYPE_CHECKING:
    import pandas as pd

    from neomflex_jax.evaluation import Trajectory
    from neomflex_jax.training.options import TrainOptions
    from validation.report.status import Identity, Status


@dataclass(frozen=True)
class SeedResults:
    """A training's folder, and where its evaluation and validation lie if not in the usual places."""

    run: Path
    evaluation: Path | None = None
    validation: Path | None = None

    @cached_property
    def folder(self) -> RunFolder:
        """The training."""
        return RunFolder(self.run)

    @cached_property
    def options(self) -> TrainOptions:
        """What the training was told."""
        from neomflex_jax.training.options import read_options

        return read_options(self.folder)

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each agent's policy."""
        from neomflex_jax.agents.policy_files import load_policies

        return {agent: info.sha256 for agent, info in load_policies(self.run).info.items()}

    @cached_property
    def ended_on(self) -> str:
        """Power flow that the training finished on."""
        from neomflex_jax.training.result import finishing_power_flow

        return finishing_power_flow(self.folder, self.options)

    def page(self, label: str, most_bytes: int) -> SeedPage:
        """Read what the page says of this training.

        Parameters
        ----------
        label
            What the page calls it.
        most_bytes
            Of the steps that the page carries, about.

        Raises
        ------
        InputError
            If something cannot be read, or results are replaced meanwhile.
        """
        import pandas as pd

        from neomflex_jax.evaluation.tables import STEP_FILE, daily_summary, read_step_metrics, run_summary
        from neomflex_jax.training.result import trained_on

        config = self.folder.read_config()
        evaluated, note = self.evaluated()
        status = self._status(evaluated)
        steps = None if evaluated is None else read_step_metrics(evaluated / STEP_FILE)
        summary = pd.DataFrame() if steps is None else run_summary(steps)
        daily = None if steps is None else daily_summary(steps)
        recorded = Recorded((), None, note) if evaluated is None else recorded_runs(evaluated, summary["run"])
        policy, beside = recorded.policy, recorded.beside
        report = status.report
        result = read_json_object(self.folder.result) if is_file(self.folder.result) else {}
        name = "" if summary.empty else _policy_of(summary)
        page = SeedPage(
            label=label,
            about=sections.about(config, result.get("steps")),
            headline=tuple(
                status.headline(
                    tabled_runs(summary),
                    ", in the evaluation's power flow alone",
                    self._referee(recorded),
                )
            ),
            basis=status.sentence([] if steps is None else summary["run"]),
            figures=_figures(status, summary, name, policy),
            played=recorded.carried(most_bytes),
            day_costs=None if daily is None else day_costs(daily, name),
            worst=() if daily is None else worst_days(daily, name),
            agents=() if policy is None else agents_of(policy, beside),
            agents_note="" if policy is None else said_of_agents(policy),
            learning=sections.learning(self.folder.metrics, trained_on(config)),
            said=sections.said(self.folder.result),
            evaluation=note if steps is None else sections.evaluation(steps, summary, sections.limits(config)),
            validation=() if report is None else sections.validation(report),
            errors=() if report is None else sections.charts_of(report, error_charts),
            reproduce=self._reproduce(
                config, result, status, evaluated, recorded, [] if summary.empty else list(summary["run"])
            ),
            settings=sections.settings(config),
            config_json=sections.config_json(config),
        )
        if self._status(evaluated).text != status.text:
            raise InputError(f"{self.run}: its results were replaced while they were read; report again")
        return page

    def _referee(self, recorded: Recorded) -> str:
        """Return the name of the program that would judge the results: that of the feeder, where it can be told."""
        if recorded.policy is not None:
            return judging_program(recorded.policy.scenario)
        try:
            return judging_program(self.options.scenario)
        except InputError:  # settings that no training has: the page shows what is left of them
            return "a second program"

    def _reproduce(
        self,
        config: JsonObject,
        result: JsonObject,
        status: Status,
        evaluated: Path | None,
        recorded: Recorded,
        runs: list[str],
    ) -> reproduce.Reproduce:
        identity = None if evaluated is None else read_identity(evaluated)
        hashes = reproduce.hashes(config, self.hashes, identity)
        versions = reproduce.versions(config, None if status.report is None else status.report.content)
        try:
            train, notes = reproduce.train_command(self.options, self.run, result)
        except InputError as error:  # parts of the user's own that no --import names, for example
            return reproduce.Reproduce((), (f"the commands cannot be told: {error}",), hashes, versions)
        profiles = "" if identity is None else self._own_profiles(identity, status)
        if profiles:
            notes.append(f"{profiles} stands for the file of the days that were played, by its SHA-256 below")
        later = reproduce.later_commands(self.run, recorded.policy, runs, self.ended_on, profiles)
        return reproduce.Reproduce((train, *later), tuple(notes), hashes, versions)

    def _own_profiles(self, identity: Identity, status: Status) -> str:
        """Return what the file of the days is called where it is not the scenario's; empty where it is."""
        from neomflex_jax.profiles import profiles_hash, resolve_profiles

        try:
            usual = profiles_hash(resolve_profiles(self.options.scenario.evaluation_profiles))
        except InputError:
            usual = ""
        if identity.profiles_sha256 == usual:
            return ""
        metadata = {} if status.report is None else status.report.content.get("metadata")
        name = metadata.get("profiles") if isinstance(metadata, dict) else None
        return name if isinstance(name, str) else "my_profiles.csv"

    def evaluated(self) -> tuple[Path | None, str]:
        """Return the folder of these policies' evaluation, or None and a sentence on what is there instead."""
        if self.evaluation is not None:
            given = read_identity(self.evaluation)
            if given.policies_sha256 != self.hashes:
                raise InputError(f"{self.evaluation}: is of other policies than {self.run}; evaluate these")
            return self.evaluation, ""
        notes = []
        for place in self._places():
            if not (place / IDENTITY).is_file():
                continue
            if read_identity(place).policies_sha256 == self.hashes:
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

    def _status(self, evaluated: Path | None) -> Status:
        from validation.report.status import Status, validation_status

        if doubtful := self._doubt(evaluated):
            return Status(False, f"not validated: {doubtful}")
        places = places_of_reports(self.run, evaluated)
        if self.validation is not None:
            places = (self.validation,)
        identity = read_identity(evaluated) if evaluated is not None else self.as_trained()
        return validation_status(identity, places)

    def as_trained(self) -> Identity:
        """Return names and hashes of what an evaluation without further options would play."""
        from neomflex_jax.environment.make import evaluation_scenario, scenario_profiles
        from neomflex_jax.fields import with_overrides
        from neomflex_jax.profiles import profiles_hash, resolve_profiles

        scenario = evaluation_scenario(with_overrides(self.options.scenario, {"power_flow": self.ended_on}))
        path = resolve_profiles(scenario.evaluation_profiles)
        n_days = scenario_profiles(scenario, path).n_days
        return make_identity(self.hashes, scenario, profiles_hash(path), first_day=0, n_days=n_days)


def _figures(status: Status, summary: pd.DataFrame, name: str, policy: Trajectory | None) -> Figures | None:
    if status.report is not None:
        return figures_of_report(status.report)
    played_in = "a power flow that is not stated" if policy is None else f"the power flow `{policy.power_flow}`"
    return None if summary.empty else figures_of_tables(summary, name, played_in)


def _policy_of(summary: pd.DataFrame) -> str:
    """Return the name of the policy's run in a run summary, or of the first without one."""
    names = [str(name) for name in summary["run"]]
    return "controlled" if "controlled" in names else names[0]
