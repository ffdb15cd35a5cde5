"""Reading `report.json` back: a file that users hand over, so everything that is used of it is checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from neomflex_jax.errors import InputError, shown
from neomflex_jax.files.json_values import read_json_object
from neomflex_jax.files.paths import is_folder
from neomflex_jax.folders.results import changed_since
from neomflex_jax.loose_types import JsonObject
from neomflex_jax.one_line import one_line
from validation.report.notebook import notebook_cell
from validation.report.report import PROGRAMS, SCHEMA_VERSION, program_of
from validation.report.report_folder import MAX_BYTES, REPORT
from validation.verdict.criteria import FAIL, INCOMPLETE, PASS, POLICY_CRITERIA
from validation.verdict.run_kinds import KINDS, POLICY

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class StoredRun:
    """One run of a stored report."""

    run: str
    reference: bool
    kind: str
    scenario: str
    scenario_hash: str
    feeder_sha256: str
    task_hash: str
    profiles_sha256: str
    policies_sha256: Mapping[str, str]
    power_flow: str
    verdict: str
    record_verdict: str  # of the criteria that no policy can help
    failed_criteria: tuple[str, ...]
    own_tolerances: tuple[str, ...]
    referee: str  # the program that judged it
    recorded_day_cost: tuple[float, ...]
    day_cost: tuple[float, ...]  # pandapower's
    hard_violations: int  # steps x buses, pandapower's
    hard_violations_allowed: int
    loading_violations: int | None  # steps x branches, pandapower's; None where nothing limits loadings
    loading_violations_allowed: int

    @property
    def mean_day_cost(self) -> float:
        """Mean cost of a day in pandapower; NaN if a day has none."""
        return sum(self.day_cost) / len(self.day_cost) if self.day_cost else math.nan

    @property
    def holds(self) -> bool:
        """True if verdict, criteria and the count of hard violations all pass."""
        is_policy = self.kind == POLICY or bool(self.policies_sha256)
        broken = is_policy and (
            self.hard_violations > self.hard_violations_allowed
            or (self.loading_violations or 0) > self.loading_violations_allowed
        )
        return self.verdict == PASS and not self.failed_criteria and not broken

    __repr__ = one_line


@dataclass(frozen=True, eq=False)
class StoredReport:
    """A stored report; `content` is the whole file, of which only what stands in the other fields is checked."""

    path: Path
    verdict: str
    is_sample: bool
    days: tuple[int, ...]
    training: Mapping[str, object]  # algorithm and seed, where they were stated
    runs: tuple[StoredRun, ...]
    files_sha256: Mapping[str, str]  # of what lies beside it; empty in reports that do not say
    content: JsonObject

    __repr__ = one_line

    def _repr_html_(self) -> str:
        return notebook_cell(self)

    @property
    def changed_files(self) -> list[str]:
        """Names of files beside it that have changed since it was written; a missing one has not."""
        there = {name: value for name, value in self.files_sha256.items() if (self.path.parent / name).exists()}
        return changed_since(self.path.parent, there)

    @property
    def program(self) -> str:
        """Name of the program that answered."""
        return program_of(run.referee for run in self.runs)

    @property
    def judged(self) -> tuple[StoredRun, ...]:
        """Runs whose verdict counts."""
        return tuple(run for run in self.runs if not run.reference)


def read_report(path: Path) -> StoredReport:
    """Read a `report.json`, or the one in a folder.

    Raises
    ------
    InputError
        If there is none, it is no report of this schema, or its verdict contradicts its criteria or its figures.
    """
    path = path / REPORT if is_folder(path) else path
    try:
        content = read_json_object(path, "report", MAX_BYTES)
    except InputError as error:
        raise InputError(f"{error}; run `neomflex validate`") from error
    if content.get("schema_version") != SCHEMA_VERSION:
        found = shown(content.get("schema_version"))
        raise InputError(f"{path}: schema {found}; this version reads {SCHEMA_VERSION}: validate again")
    metadata = content.get("metadata")
    training = metadata.get("training") if isinstance(metadata, dict) else None
    runs = tuple(_run(path, entry) for entry in _list(path, content, "runs", dict))
    report = StoredReport(
        path=path,
        verdict=_get(path, content, "verdict", str),
        is_sample=_get(path, content, "is_sample", bool),
        days=tuple(_list(path, content, "days", int)),
        training=training if isinstance(training, dict) else {},
        runs=runs,
        files_sha256=_hashes(path, content),
        content=content,
    )
    if not report.judged or report.verdict not in (PASS, FAIL, INCOMPLETE):
        raise InputError(f"{path}: no judged run, or verdict {shown(report.verdict)}; validate again")
    if report.verdict == PASS and (report.is_sample or not all(run.holds for run in report.judged)):
        raise InputError(f"{path}: says PASS, and its runs do not; validate again")
    return report


def _hashes(path: Path, content: dict[str, object]) -> dict[str, str]:
    hashes = content.get("files_sha256", {})
    pairs = hashes.items() if isinstance(hashes, dict) else [("", None)]
    if not all(Path(name).name == name and isinstance(value, str) for name, value in pairs):
        raise InputError(f"{path}: files_sha256 must be texts by file name; validate again")
    return dict(pairs)


def _run(path: Path, entry: dict[str, object]) -> StoredRun:
    policies = _get(path, entry, "policies_sha256", dict)
    if not all(isinstance(value, str) for value in policies.values()):
        raise InputError(f"{path}: policies_sha256 must be texts by agent; validate again")
    criteria = _list(path, entry, "criteria", dict)
    passed = {str(one.get("name")): one.get("passed") if one.get("limit") is not None else None for one in criteria}
    failed = {*_list(path, entry, "failed_criteria", str)} | {name for name, word in passed.items() if word is not True}
    metrics, tolerances = (_get(path, entry, name, dict) for name in ("metrics", "tolerances"))
    loading = metrics.get("loading")  # reports of before there were limits do not have it
    overloads = None if loading is None else _get(path, _get(path, metrics, "loading", dict), "hard", dict)
    kind = _get(path, entry, "kind", str)
    if kind not in KINDS:
        raise InputError(f"{path}: kind is {kind!r:.40}, not one of {', '.join(KINDS)}; validate again")
    hashes = ("scenario_hash", "feeder_sha256", "task_hash", "profiles_sha256")
    texts = ("run", "scenario", *hashes, "power_flow", "verdict")
    return StoredRun(
        **{name: _get(path, entry, name, str) for name in texts},
        reference=_get(path, entry, "reference", bool),
        kind=kind,
        referee=_referee(path, entry),
        record_verdict=_record_verdict(_get(path, entry, "verdict", str), passed, failed),
        policies_sha256=policies,
        failed_criteria=tuple(sorted(failed)),
        own_tolerances=tuple(_get(path, entry, "own_tolerances", dict)),
        recorded_day_cost=_costs(path, entry, "recorded_day_cost"),
        day_cost=_costs(path, entry, "day_cost"),
        hard_violations=_true(path, _get(path, metrics, "hard", dict)),
        hard_violations_allowed=_count(path, tolerances, "hard_violations"),
        loading_violations=None if overloads is None else _true(path, overloads),
        loading_violations_allowed=0 if overloads is None else _count(path, tolerances, "loading_violations"),
    )


def _referee(path: Path, entry: Mapping[str, object]) -> str:
    """Return the program that judged a run; reports of before there were two do not say."""
    name = entry.get("referee", PROGRAMS[0])
    if name not in PROGRAMS:
        raise InputError(f"{path}: referee is {shown(name)}, not one of {', '.join(PROGRAMS)}; validate again")
    return str(name)


def _true(path: Path, confusion: Mapping[str, object]) -> int:
    """Violations in pandapower, of a confusion's counts."""
    return sum(_count(path, confusion, name) for name in ("agreed", "missed"))


def _record_verdict(verdict: str, passed: Mapping[str, object], failed: set[str]) -> str:
    """Return a run's verdict without the criteria on its policy; one that no criterion explains stays."""
    ours = failed.difference(POLICY_CRITERIA)
    if not ours:
        return PASS if failed else verdict
    return FAIL if any(passed.get(name) is False for name in ours) else INCOMPLETE


def _count(path: Path, values: Mapping[str, object], name: str) -> int:
    count = _get(path, values, name, int)
    if isinstance(count, bool) or count < 0:
        raise InputError(f"{path}: {name} is {count!r:.40}, not a count; validate again")
    return count


def _costs(path: Path, entry: dict[str, object], name: str) -> tuple[float, ...]:
    """Read a list of numbers; what JSON has no number for, NaN and infinity, was written as null."""
    costs = [math.nan if cost is None else cost for cost in _get(path, entry, name, list)]
    return tuple(_list(path, {name: costs}, name, float))


def _get(path: Path, values: Mapping[str, object], name: str, kind: type[T]) -> T:
    value = values.get(name)
    if not isinstance(value, kind):
        raise InputError(f"{path}: {name} is {shown(value)}, not a {kind.__name__}; validate again")
    return value


def _list(path: Path, values: Mapping[str, object], name: str, kind: type[T]) -> list[T]:
    entries = _get(path, values, name, list)
    if not all(isinstance(entry, kind) and not isinstance(entry, bool) for entry in entries):
        raise InputError(f"{path}: {name} must be a list of {kind.__name__}; validate again")
    return entries
