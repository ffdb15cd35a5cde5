"""Constraints on the command line: the option ``--constraint``, and what policies keep of them, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import tyro

from neomflex_jax.commands.console import short
from neomflex_jax.errors import InputError, shown
from neomflex_jax.pages import Table

if TYPE_CHECKING:
    import pandas as pd

Constraints = tyro.conf.UseAppendAction[
    Annotated[
        tuple[str, ...],
        tyro.conf.arg(
            name="constraint",
            help="NAME=SHARE: voltage, band, loading or clipping may be broken in at most this share of the steps, "
            "as voltage=0 or loading=0.001. May be given several times.",
        ),
    ]
]


def limits_of(texts: Sequence[str]) -> dict[str, float]:
    """Return shares of steps by name of a constraint.

    Raises
    ------
    InputError
        If a text is no ``NAME=SHARE``, or two have one name.
    """
    limits: dict[str, float] = {}
    for text in texts:
        name, _, share = text.partition("=")
        try:
            limit = float(share)
        except ValueError:
            raise InputError(f"--constraint {shown(text)} must read NAME=SHARE, for example voltage=0.001") from None
        if name in limits:
            raise InputError(f"--constraint {name} is given twice; give it once")
        limits[name] = limit
    return limits


def shown_constraints(kept: pd.DataFrame) -> Table:
    """Return what a `constraint_table` says, as it is printed."""
    header = ("run", "constraint", "limit, %", "share of steps, %", "95 % over days", "", "day cost", "95 % over days")
    rows = []
    for row in kept.to_dict("records"):
        shares = [short(100 * row[name]) for name in ("limit", "share", "share_low", "share_high")]
        costs = [short(row[name]) for name in ("mean_day_cost", "day_cost_low", "day_cost_high")]
        verdict = "kept" if row["kept"] else "not kept"
        ranges = [f"{low} to {high}" for low, high in (shares[2:], costs[1:])]
        rows.append((row["run"], row["constraint"], *shares[:2], ranges[0], verdict, costs[0], ranges[1]))
    return Table(header, tuple(rows))
