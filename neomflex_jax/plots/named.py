"""What users name, a bus or a branch, found among the columns of a step table; what is not there is refused by name."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.evaluation.tables import columns_of

WHERE_ALL = "the header of the step table"


def named_columns(
    steps: pd.DataFrame, family: tuple[str, str], wanted: Sequence[object] | None, what: str, many: str
) -> dict[str, str]:
    """Return columns of a family by the names in them.

    Parameters
    ----------
    steps
        A step table.
    family
        What the columns begin and end with, around a name.
    wanted
        Names, as text or as numbers; None: all, in the table's order.
    what, many
        What is named, in messages.

    Raises
    ------
    InputError
        If a name is not in the table, saying which are, or none or one twice is asked for.
    """
    begins, ends = family
    known = {name.removeprefix(begins).removesuffix(ends): name for name in columns_of(steps, begins, ends)}
    return {name: known[name] for name in picked(wanted, known, what, many)}


def picked(wanted: Sequence[object] | None, known: Collection[str], what: str, many: str) -> list[str]:
    """Return the names that are asked for, None: all that are known; refuses what is not there, see `named_columns`."""
    if wanted is None:
        return list(known)
    names = [str(name) for name in wanted]
    for name in names:
        if name not in known:
            raise unknown_name(what, name, known, listed_by=WHERE_ALL)
    if not names or len(set(names)) < len(names):
        raise InputError(f"{many} = {names}: name at least one, and each once")
    return names
