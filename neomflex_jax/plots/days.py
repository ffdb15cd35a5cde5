"""The chosen days of one run, side by side on one axis of hours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError, unknown_name

COLUMN_END, COLUMN_MIDDLE = "hours_end", "hours_middle"


@dataclass(frozen=True, eq=False)
class ChosenDays:
    """What a figure over days draws.

    `table` holds the chosen rows with the axis position of each step's middle (for powers and voltages, which hold
    over a step) and end (for energies, which are those after it); an empty row parts days that do not follow each
    other, so that no line joins them.
    """

    run: str
    days: tuple[int, ...]
    day_hours: float
    table: pd.DataFrame

    def title(self, what: str) -> str:
        """Return a title: what is shown, of which run and days."""
        return f"{what}: {self.run}, {'day' if len(self.days) == 1 else 'days'} {describe_days(self.days)}"


def choose(steps: pd.DataFrame, run: str, days: Sequence[int] | None) -> ChosenDays:
    """Return the chosen days of a run, in the order given; None takes all.

    Raises
    ------
    InputError
        If the run or a day is not in the table, or no day or one twice is asked for.
    """
    known_runs = list(dict.fromkeys(steps["run"]))
    if run not in known_runs:
        raise unknown_name("run", run, known_runs)
    played = steps[steps["run"] == run]
    known = tuple(int(day) for day in played["day"].unique())
    chosen = known if days is None else tuple(days)
    unknown = [day for day in chosen if day not in known]
    if unknown:
        raise InputError(f"run {run!r} has no day {describe_days(unknown)}; its days: {describe_days(known)}")
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError(f"days = {list(chosen)}: name at least one day, and each once; known: {describe_days(known)}")

    day_hours = float(((played["step"] + 1) * played["step_hours"]).max())
    parts: list[pd.DataFrame] = []
    for position, day in enumerate(chosen):
        rows = played[played["day"] == day].sort_values("step")
        begins = position * day_hours + rows["step"] * rows["step_hours"]
        rows = rows.assign(
            **{COLUMN_END: begins + rows["step_hours"], COLUMN_MIDDLE: begins + 0.5 * rows["step_hours"]}
        )
        if position and day != chosen[position - 1] + 1:
            rows.index = pd.RangeIndex(1, len(rows) + 1)
            rows = rows.reindex(pd.RangeIndex(len(rows) + 1))
        parts.append(rows)
    return ChosenDays(run, chosen, day_hours, pd.concat(parts, ignore_index=True))


def describe_days(days: Sequence[int]) -> str:
    """Return days as short text: ``0..6``, or ``0, 3, 7, ...``."""
    if len(days) > 2 and (np.diff(days) == 1).all():
        return f"{days[0]}..{days[-1]}"
    return ", ".join(str(day) for day in days[:8]) + (f", ... ({len(days)})" if len(days) > 8 else "")
