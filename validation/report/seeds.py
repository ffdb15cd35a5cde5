"""Several seeds' validation reports of one or more algorithms: what may be claimed of them.

Every figure is pandapower's. A seed is one judged run of one report; all must have been replayed on the same days of
the same task. Sentences are formed only from validated seeds, and from at least three on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.claims import (
    MINIMUM_TO_SAY,
    Difference,
    Interval,
    compare_costs,
    iqm_interval,
    seeds_remark,
)
from neomflex_jax.one_line import one_line
from validation.report.stored_report import StoredRun, read_report
from validation.verdict.criteria import PASS


@dataclass(frozen=True, eq=False)
class Seed:
    """One trained team of policies."""

    path: Path
    run: StoredRun
    validated: bool
    training_seed: object  # as the training stated it

    __repr__ = one_line


@dataclass(frozen=True, eq=False)
class Group:
    """The seeds of one algorithm."""

    name: str
    seeds: tuple[Seed, ...]

    __repr__ = one_line

    @property
    def day_cost(self) -> np.ndarray:
        """In pandapower, (n_seeds, n_days)."""
        return np.array([seed.run.day_cost for seed in self.seeds])

    @property
    def interval(self) -> Interval:
        """Interquartile mean over seeds of the mean day cost, with its interval."""
        return iqm_interval(self.day_cost)

    @property
    def n_validated(self) -> int:
        """Seeds whose report says PASS."""
        return sum(seed.validated for seed in self.seeds)


def read_groups(reports: Sequence[tuple[str | None, Path]]) -> tuple[Group, ...]:
    """Read reports and group them.

    Parameters
    ----------
    reports
        A name for the algorithm, None for the one that the report states, and a training's folder with a `validation`
        folder in it, a folder with a report, or the report.

    Raises
    ------
    InputError
        If a report is not usable or has several judged runs, the same policies come twice, or days or tasks differ.
    """
    if not reports:
        raise InputError("there is no report to compare; give at least one")
    groups: dict[str, list[Seed]] = {}
    seen: dict[tuple[str, ...], Path] = {}
    first: tuple[Path, StoredRun, tuple[int, ...]] | None = None
    for name, place in reports:
        report = read_report(place / "validation" if (place / "validation").is_dir() else place)
        if len(report.judged) != 1:
            raise InputError(f"{report.path}: {len(report.judged)} judged runs; a report must be of one seed")
        run = report.judged[0]
        team = tuple(run.policies_sha256.values())
        if team and team in seen:
            raise InputError(f"{report.path}: the same policies as in {seen[team]}; a seed counts once")
        seen[team] = report.path
        first = (report.path, run, report.days) if first is None else first
        _check_same(first, (report.path, run, report.days))
        label = name if name is not None else str(report.training.get("algorithm", "unnamed"))
        seed = Seed(report.path, run, report.verdict == PASS and not report.changed_files, report.training.get("seed"))
        groups.setdefault(label, []).append(seed)
    return tuple(Group(name, tuple(seeds)) for name, seeds in groups.items())


def compare_groups(groups: Sequence[Group]) -> list[tuple[str, Difference | None]]:
    """Return for every pair of groups a sentence and the figures behind it, None where too few seeds are validated."""
    return [_sentence(one, other) for one, other in combinations(groups, 2)]


def remarks(group: Group) -> str:
    """Return a sentence on what a group's number of seeds can show, and which of them are not validated."""
    missing = [str(seed.path) for seed in group.seeds if not seed.validated]
    own = f"; not validated: {', '.join(missing)}" if missing else ""
    return f"{group.name}: {seeds_remark(len(group.seeds))}{own}"


def _sentence(one: Group, other: Group) -> tuple[str, Difference | None]:
    pair = f"{one.name} and {other.name}"
    few = [group for group in (one, other) if len(group.seeds) < MINIMUM_TO_SAY]
    if few:
        counts = " and ".join(f"{len(group.seeds)} of {group.name}" for group in few)
        return f"{pair}: no comparison under {MINIMUM_TO_SAY} seeds ({counts})", None
    unsure = [group for group in (one, other) if group.n_validated < len(group.seeds)]
    if unsure:
        counts = " and ".join(f"{len(g.seeds) - g.n_validated} of {g.name}" for g in unsure)
        return f"{pair}: no comparison, because seeds are not validated ({counts})", None
    found = compare_costs(one.day_cost, other.day_cost)
    low, high = found.difference.low, found.difference.high
    basis = f"95 % interval {low:+z.4g} to {high:+z.4g}, {found.n_days} paired days; "
    basis += f"{one.name} {seeds_remark(len(one.seeds))}, {other.name} {seeds_remark(len(other.seeds))}"
    if not found.may_be_said:
        return f"{pair}: no difference can be told ({found.difference.estimate:+z.4g} a day, {basis})", found
    better, worse = (one, other) if high < 0 else (other, one)
    size = abs(found.difference.estimate)
    return f"{better.name} is better than {worse.name}: {size:.4g} less a day ({basis})", found


def _check_same(one: tuple[Path, StoredRun, tuple[int, ...]], other: tuple[Path, StoredRun, tuple[int, ...]]) -> None:
    differences: Mapping[str, bool] = {
        "another task": one[1].task_hash != other[1].task_hash,
        "another feeder": one[1].feeder_sha256 != other[1].feeder_sha256,
        "other profiles": one[1].profiles_sha256 != other[1].profiles_sha256,
        "other days": one[2] != other[2] or len(one[1].day_cost) != len(other[1].day_cost),
    }
    found = [what for what, differs in differences.items() if differs]
    if found:
        raise InputError(f"{other[0]} is of {' and '.join(found)} than {one[0]}; compare on the same")
