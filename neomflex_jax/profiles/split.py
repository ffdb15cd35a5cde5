"""Which days of a file are for training, validation and test: each by rules, and no day in two of them.

A rule is a date (``2025-07-03``), some of them (``2025-07-03..2025-07-20``), a month (``2025-07``, or ``month 7`` of
every year) or a week: ``week 27`` by ISO 8601, ``week 4 of 4`` every fourth from the file's first Monday-to-Sunday week
on. A column can say it instead, by the words train, validation and test. Training has what is left unless it is stated.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from neomflex_jax.errors import InputError, shown, shown_list

PARTS = TRAIN, VALIDATION, TEST = "train", "validation", "test"
FORMS = "'2025-07-03', '2025-07-03..2025-07-20', '2025-07', 'month 7', 'week 27' or 'week 4 of 4'"
MOST_NAMED = 10
Rule = Callable[[int, dt.date | None], bool]  # of a day: counted from the file's first week's Monday, its date


@dataclass(frozen=True, eq=False)
class Split:
    """Days of a file by part."""

    days: Mapping[str, np.ndarray]  # (n,) each, counted from 0
    first_day: dt.date | None  # None: the file has no dates

    def rows(self, part: str, steps_per_day: int) -> np.ndarray:
        """Return the rows of a part's days, (n x steps_per_day,)."""
        return (self.days[part][:, None] * steps_per_day + np.arange(steps_per_day)).ravel()

    def names(self, part: str) -> list[str]:
        """Return a part's days as dates or numbers, days that follow each other as one span."""
        days = self.days[part]
        spans = np.split(days, np.flatnonzero(np.diff(days) > 1) + 1) if len(days) else []
        ends = [(_name(self.first_day, int(span[0])), _name(self.first_day, int(span[-1]))) for span in spans]
        return [one if one == other else f"{one}..{other}" for one, other in ends]


def rule_of(text: str) -> Rule | None:
    """Return what a rule says of days, None if it is no rule."""
    date = r"(\d{4}-\d\d-\d\d)"
    try:
        if found := re.fullmatch(rf"{date}(?:\.\.{date})?", text):
            first = dt.date.fromisoformat(found[1])
            last = dt.date.fromisoformat(found[2] or found[1])
            return (lambda _, day: day is not None and first <= day <= last) if first <= last else None
        if found := re.fullmatch(r"(\d{4})-(\d\d)", text):
            month = dt.date(int(found[1]), int(found[2]), 1)
            return lambda _, day: day is not None and (day.year, day.month) == (month.year, month.month)
    except ValueError:
        return None
    if found := re.fullmatch(r"month (\d{1,2})", text):
        number = int(found[1])
        return (lambda _, day: day is not None and day.month == number) if 1 <= number <= 12 else None
    if found := re.fullmatch(r"week (\d{1,2})", text):
        number = int(found[1])
        return (lambda _, day: day is not None and day.isocalendar().week == number) if 1 <= number <= 53 else None
    if found := re.fullmatch(r"week (\d{1,3}) of (\d{1,3})", text):
        number, every = int(found[1]), int(found[2])
        return (lambda place, _: place // 7 % every == number - 1) if 1 <= number <= every else None
    return None


def split_days(
    rules: Mapping[str, Sequence[str]],
    n_days: int,
    first_day: dt.date | None,
    words: Sequence[str] | None,
    where: str,
) -> Split:
    """Split the days of a file.

    Parameters
    ----------
    rules
        By part; training without any has what is left.
    words
        What a column says of each day, (n_days,); None without one.

    Raises
    ------
    InputError
        If a rule needs dates and the file has none, a day is in two parts, or a part that is stated has no day.
    """
    dated = [rule for texts in rules.values() for rule in texts if " of " not in rule]
    if first_day is None and dated:
        raise InputError(f"{where}: the rule {dated[0]!r} needs a column of dates and times; name it in time_column")
    dates = [None if first_day is None else first_day + dt.timedelta(days=day) for day in range(n_days)]
    weekday = 0 if first_day is None else first_day.weekday()
    is_in = {part: np.zeros(n_days, bool) for part in PARTS}
    for part, texts in rules.items():
        for rule in filter(None, map(rule_of, texts)):
            is_in[part] |= [rule(weekday + day, date) for day, date in enumerate(dates)]
    for part in PARTS if words is not None else ():
        is_in[part] |= np.array([word == part for word in words or ()], bool)
    for one, other in ((VALIDATION, TEST), (TRAIN, VALIDATION), (TRAIN, TEST)):
        if (twice := np.flatnonzero(is_in[one] & is_in[other])).size:
            names = [_name(first_day, int(day)) for day in twice]
            more = f", ... ({len(names)} days)" if names[MOST_NAMED:] else ""
            listed = shown_list(names[:MOST_NAMED])
            raise InputError(f"{where}: {listed}{more} would be in {one} and in {other}; a day belongs to one part")
    if not rules.get(TRAIN) and words is None:
        is_in[TRAIN] = ~(is_in[VALIDATION] | is_in[TEST])
    for part in PARTS:
        if not is_in[part].any() and (part == TRAIN or rules.get(part)):
            span = f"{_name(first_day, 0)}..{_name(first_day, n_days - 1)}"
            raise InputError(f"{where}: no day is left for {part}; the file has {n_days} days, {span}")
    return Split({part: np.flatnonzero(of_part) for part, of_part in is_in.items()}, first_day)


def words_by_day(where: str, column: str, cells: Sequence[str], n_days: int) -> list[str]:
    """Return what a column of a file says of each day, empty where it says nothing.

    Raises
    ------
    InputError
        On another word than the parts', or a day whose cells differ.
    """
    by_day = np.array(cells, dtype=object).reshape(n_days, -1)
    for day, words in enumerate(by_day):
        if (words != words[0]).any() or words[0] not in ("", *PARTS):
            found = shown_list(dict.fromkeys(shown(word) for word in words))
            allowed = f"one of {', '.join(PARTS)} in all of its rows, or nothing"
            raise InputError(f"{where}: day {day}, column {shown(column)}: {found}; a day has {allowed}")
    return [str(words[0]) for words in by_day]


def _name(first_day: dt.date | None, day: int) -> str:
    return f"day {day}" if first_day is None else str(first_day + dt.timedelta(days=day))
