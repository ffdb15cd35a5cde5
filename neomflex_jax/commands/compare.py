"""``neomflex compare``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from neomflex_jax.commands.answering import Answering
from neomflex_jax.commands.console import console, print_table, short
from neomflex_jax.commands.optional_values import Several
from neomflex_jax.errors import InputError

NAME = re.compile(r"[A-Za-z0-9_.-]+")
HEADER = ("algorithm", "seeds", "validated", "IQM", "95 % low", "95 % high", "best", "worst")


@dataclass(frozen=True)
class CompareCommand(Answering):
    """Compare algorithms over several seeds' validation reports, by day cost in the program that judged them.

    Prints each algorithm's interquartile mean with its 95 % bootstrap interval, and says that one is better only with
    three validated seeds of each (5 are the minimum to publish, 10 recommended) and an interval without zero.
    """

    reports: Several[str]
    """Validation folders, or trainings that hold one as `validation`; NAME=FOLDER puts a seed under a name."""

    def execute(self, started: float) -> int:
        """Compare; returns the exit status."""
        from validation.report.report import program_of
        from validation.report.seeds import compare_groups, read_groups, remarks

        groups = read_groups([_split(given) for given in self.reports])
        rows = []
        found: list[dict[str, object]] = []
        for group in groups:
            by_seed, interval = group.day_cost.mean(axis=1), group.interval
            figures = (interval.estimate, interval.low, interval.high, by_seed.min(), by_seed.max())
            counts = (str(len(group.seeds)), str(group.n_validated))
            found.append({"name": group.name, "seeds": [str(seed.path) for seed in group.seeds]})
            found[-1] |= {"n_validated": group.n_validated, "day_cost": by_seed, "interval": interval}
            rows.append([group.name, *counts, *(short(float(figure)) for figure in figures)])
        run = groups[0].seeds[0].run
        referees = [seed.run.referee for group in groups for seed in group.seeds]
        print_table(
            f"cost of a day in {program_of(referees)}, {len(run.day_cost)} days of {run.scenario}", HEADER, rows
        )
        for group in groups:
            console.print(remarks(group))
        compared = compare_groups(groups)
        for sentence, _ in compared:
            console.print(sentence)
        said = [{"sentence": sentence, "figures": figures} for sentence, figures in compared]
        console.found(scenario=run.scenario, n_days=len(run.day_cost), groups=found, comparisons=said)
        return 0


def _split(given: str) -> tuple[str | None, Path]:
    name, equals, path = given.partition("=")
    if not equals or Path(given).exists():
        return None, Path(given)
    if not NAME.fullmatch(name):
        raise InputError(f"{given}: names of algorithms are made of letters, digits, _, . and -")
    return name, Path(path)
