"""The validation status of results: validated by a passing report of exactly their policies, scenario and profiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from neomflex_jax.errors import InputError
from validation.report.report_folder import REPORT
from validation.report.stored_report import StoredReport, StoredRun, read_report
from validation.verdict.criteria import FAIL, PASS
from validation.verdict.headline import Line, Outcome, headline, not_confirmed


@dataclass(frozen=True)
class Identity:
    """What results were made with, by hash: the scenario's holds its power flow and variant too."""

    policies_sha256: Mapping[str, str]  # by agent
    scenario_hash: str
    feeder_sha256: str  # of what the feeder's name or folder held
    profiles_sha256: str
    first_day: int  # of the profiles
    n_days: int

    def differences(self, run: StoredRun, report: StoredReport) -> list[str]:
        """Return the names of what differs in a report's run; a sample of the days is no difference."""
        agents = sorted({*self.policies_sha256, *run.policies_sha256})
        changed = [
            agent
            for agent in agents
            if not self.policies_sha256.get(agent) or self.policies_sha256[agent] != run.policies_sha256.get(agent)
        ]
        found = [f"other policies ({', '.join(changed)})"] if changed or not agents else []
        if self.scenario_hash != run.scenario_hash:
            found.append(f"another scenario ({run.scenario}, power flow {run.power_flow})")
        if self.profiles_sha256 != run.profiles_sha256:
            found.append("other profiles")
        if self.feeder_sha256 != run.feeder_sha256:
            found.append("a feeder with other data")
        days = range(self.first_day, self.first_day + self.n_days)
        same = set(report.days) <= set(days) if report.is_sample else list(report.days) == list(days)
        if not same:
            found.append(f"other days ({len(report.days)}, not {self.n_days})")
        return found


@dataclass(frozen=True)
class Status:
    """The validation status of some results, in sentences."""

    validated: bool
    text: str
    report: StoredReport | None = None  # that validates them, or that was made of them and does not

    def headline(self, outcomes: Sequence[Outcome], where: str, program: str) -> list[Line]:
        """Return the report's headline, or without one that of `outcomes`, as `not_confirmed` makes it."""
        return not_confirmed(outcomes, where, program) if self.report is None else headline(self.report)

    def sentence(self, runs: Iterable[str]) -> str:
        """Return `text` with the names of those runs that the report does not validate."""
        if not self.validated or self.report is None:
            return self.text
        confirmed = {run.run for run in self.report.runs if run.record_verdict == PASS}
        others = [run for run in dict.fromkeys(runs) if run not in confirmed]
        return f"{self.text}; not in that report, so not validated: {', '.join(others)}" if others else self.text


def validation_status(identity: Identity, places: Iterable[Path]) -> Status:
    """Look for reports of the results in some folders; one that fails them outranks any that pass them.

    Parameters
    ----------
    identity
        Of the results.
    places
        Folders that may hold a `report.json`; those that hold none are passed over.
    """
    notes: list[str] = []
    passed: Status | None = None
    failed: StoredReport | None = None
    same: StoredReport | None = None
    for folder in dict.fromkeys(places):
        if not (folder / REPORT).is_file():
            continue
        try:
            report = read_report(folder)
        except InputError as error:
            notes.append(str(error))
            continue
        if report.changed_files:
            notes.append(f"{folder / report.changed_files[0]} is not the one that {report.path} is of: validate again")
            continue
        differences = [identity.differences(run, report) for run in report.judged]
        if [] not in differences:
            notes.append(f"{report.path} is of {' and '.join(differences[0])}")
            continue
        run = report.judged[differences.index([])]
        if report.verdict == PASS:
            own = f" (own tolerances: {', '.join(run.own_tolerances)})" if run.own_tolerances else ""
            passed = passed or Status(True, f"validated: PASS{own}, {report.path}", report)
            continue
        same = report
        notes.append(_refusal(report, run))
        if run.verdict == FAIL:
            failed = failed or report
    if passed is None or failed is not None:
        other = passed.report if passed is not None else None
        beside = [f"beside {other.path}, which says PASS: validate again, or delete the wrong one"] if other else []
        return Status(False, "; ".join(["not validated", *notes, *beside]), failed or same)
    return passed


def _refusal(report: StoredReport, run: StoredRun) -> str:
    if report.is_sample and not run.failed_criteria:
        return f"{report.path} is a first answer on {len(report.days)} sampled days"
    failed = f" ({', '.join(run.failed_criteria)})" if run.failed_criteria else ""
    return f"{report.path} says {report.verdict}{failed}"
