"""The result of a validation: its verdict, what the verdict rests on, and its file `report.json`.

The verdict is the worst of the judged runs'. A reference run, no control for example, is replayed, compared and shown
with a verdict of its own, which does not count.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from neomflex_jax.evaluation.operation import Operation
from neomflex_jax.files.json_values import plain_values
from neomflex_jax.loose_types import JsonValue
from neomflex_jax.one_line import one_line
from validation.errors.budget import Budget
from validation.errors.metrics import Metrics
from validation.errors.ranking import Ranking
from validation.referee.runpp import RETRY_LADDER, RUNPP_OPTIONS
from validation.report.notebook import notebook_cell
from validation.verdict.criteria import FAIL, INCOMPLETE, PASS, Criterion, record_verdict_of, worst_verdict
from validation.verdict.tolerances import Tolerances

SCHEMA_VERSION = 4
PROGRAMS = ("pandapower", "OpenDSS")  # that judge
EXIT_STATUS = {PASS: 0, FAIL: 1, INCOMPLETE: 2}


def program_of(referees: Iterable[str]) -> str:
    """Name of the program, or of both, that judged some runs."""
    return " and ".join(sorted(set(referees), key=str.lower, reverse=True))


@dataclass(frozen=True, eq=False)
class RunReport:
    """One run: what it was, every figure, and the criteria."""

    run: str
    reference: bool  # its verdict does not count
    kind: str  # of `run_kinds.KINDS`
    scenario: str
    scenario_hash: str
    feeder_sha256: str  # of what the feeder's name or folder held
    task_hash: str  # the scenario's, whatever its power flow: equal for what may be compared in pandapower
    power_flow: str
    profiles_sha256: str
    policies_sha256: Mapping[str, str]  # by agent; empty for what is no trained policy
    referee: str  # the program that judged it: pandapower, or OpenDSS with phases, under pandapower's names below
    runpp_needs: Mapping[str, object]  # what its grid puts in place of the general options of `runpp`
    tolerances: Tolerances
    own_tolerances: Mapping[str, object]  # {name: [default, own]} of those that are not the method's defaults
    verdict: str
    criteria: tuple[Criterion, ...]
    metrics: Metrics
    budget: Budget
    recorded_operation: Operation
    operation: Operation  # on pandapower's answers
    recorded_day_cost: tuple[float, ...]
    day_cost: tuple[float, ...]  # from pandapower's voltages and losses
    closed_loop: Mapping[str, JsonValue] | None  # as `gap.ClosedLoop`; None: the policy did not act in pandapower
    second_referee: Mapping[str, object]  # as `second_referee.SecondReferee`
    figures: Mapping[str, str]  # captions by file name, beside the report

    __repr__ = one_line

    @property
    def failed_criteria(self) -> tuple[str, ...]:
        """Names of the criteria that do not hold or could not be judged."""
        return tuple(criterion.name for criterion in self.criteria if not criterion.passed)

    @property
    def record_verdict(self) -> str:
        """Verdict on the record alone, whatever the policy does: PASS, FAIL or INCOMPLETE."""
        return record_verdict_of(self.criteria)

    @property
    def mean_day_cost(self) -> float:
        """Mean cost of a day, in pandapower."""
        return self.metrics.mean_day_cost.pandapower

    @property
    def hard_violations(self) -> int:
        """Steps x buses outside the hard limits, in pandapower."""
        return self.metrics.hard.true

    @property
    def hard_violations_allowed(self) -> int:
        """Largest number of them that passes."""
        return self.tolerances.hard_violations

    @property
    def loading_violations(self) -> int | None:
        """Steps x branches above their hard limits, in pandapower; None where nothing limits loadings."""
        return None if self.metrics.loading is None else self.metrics.loading.hard.true

    @property
    def loading_violations_allowed(self) -> int:
        """As many pass."""
        return self.tolerances.loading_violations


@dataclass(frozen=True, eq=False)
class Report:
    """The verdict on all judged runs, and what it rests on."""

    runs: tuple[RunReport, ...]
    days: tuple[int, ...]  # of the profiles, as replayed
    n_days: int  # that the runs have
    ranking: Ranking
    versions: Mapping[str, str]
    git_commit: str | None
    machine: Mapping[str, object]
    metadata: Mapping[str, object]

    __repr__ = one_line

    def _repr_html_(self) -> str:
        return notebook_cell(self)

    @property
    def judged(self) -> tuple[RunReport, ...]:
        """Runs whose verdict counts."""
        return tuple(run for run in self.runs if not run.reference)

    @property
    def program(self) -> str:
        """Name of the program that answered: pandapower, or OpenDSS on feeders with phases."""
        return program_of(run.referee for run in self.runs)

    @property
    def is_sample(self) -> bool:
        """True if days were left out; nothing can be validated then."""
        return len(self.days) < self.n_days

    @property
    def verdict(self) -> str:
        """PASS, FAIL or INCOMPLETE: the worst of the judged runs'; never PASS on a sample of the days."""
        verdict = worst_verdict(run.verdict for run in self.judged)
        return INCOMPLETE if verdict == PASS and self.is_sample else verdict

    @property
    def passed(self) -> bool:
        """True if every criterion of every judged run holds, on all days."""
        return self.verdict == PASS

    @property
    def exit_status(self) -> int:
        """0 for PASS, 1 for FAIL, 2 for INCOMPLETE."""
        return EXIT_STATUS[self.verdict]

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON; figures that do not exist are None."""
        head: dict[str, object] = {"schema_version": SCHEMA_VERSION, "verdict": self.verdict}
        head |= {"judged": [run.run for run in self.judged], "days": list(self.days), "n_days": self.n_days}
        head |= {"is_sample": self.is_sample, "versions": dict(self.versions), "git_commit": self.git_commit}
        head |= {"machine": dict(self.machine), "runpp_options": RUNPP_OPTIONS, "retry_ladder": list(RETRY_LADDER)}
        head |= {"metadata": dict(self.metadata), "ranking": dataclasses.asdict(self.ranking)}
        runs = []
        for run in self.runs:
            criteria = [dataclasses.asdict(one) | {"passed": one.passed} for one in run.criteria]
            plain = {"criteria": criteria, "failed_criteria": run.failed_criteria}
            runs.append(dataclasses.asdict(run) | plain)
        return {name: plain_values(value) for name, value in (head | {"runs": runs}).items()}

    def to_json(self, files_sha256: Mapping[str, str] | None = None) -> str:
        """Return the text of `report.json`.

        Parameters
        ----------
        files_sha256
            SHA-256 by name of the files that lie beside it.

        Returns
        -------
        str
            JSON without NaN.
        """
        content = self.as_dict() | {"files_sha256": dict(files_sha256 or {})}
        return json.dumps(content, indent=1, allow_nan=False) + "\n"
