"""Loading of the branches that carry most, in per cent of their ratings, against the scenario's limits."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.loading_columns import BRANCH, LIMITS
from neomflex_jax.evaluation.tables import columns_of
from neomflex_jax.plots import style
from neomflex_jax.plots.days import COLUMN_MIDDLE, choose
from neomflex_jax.plots.drawing import Axes, Figure
from neomflex_jax.plots.many import draw_lines
from neomflex_jax.plots.named import named_columns

MOST_BRANCHES = 5  # of many, the worst are told apart


def draw(
    steps: pd.DataFrame, run: str, days: Sequence[int] | None = None, *, branches: Sequence[str] | None = None
) -> Figure:
    """Draw the loadings of one run.

    Parameters
    ----------
    steps
        As from `evaluation.tables.step_metrics`.
    run, days
        What to show; days None: all.
    branches
        Names of branches, `<from>-<to>`; None: all that the scenario limits, of many their range and the highest.

    Returns
    -------
    figure
        Loadings in per cent of the ratings over the hours of the days.

    Raises
    ------
    InputError
        If the table has no loadings, because the scenario limits none, or not those of a branch, naming those it has.
    """
    if not columns_of(steps, *BRANCH):
        raise InputError(
            "the table has no column loading_branch_<from>-<to>_percent: the scenario limits no loading; state one in "
            "its table [loading], on a feeder whose branches have ratings"
        )
    columns = named_columns(steps, BRANCH, branches, "branch", "limited branches")
    chosen = choose(steps, run, days)
    figure, axes = style.new_figure(chosen.title("Loading of branches"), "loading (% of the rating)", len(chosen.days))
    loadings = {f"branch {name}": chosen.table[column].to_numpy(float) for name, column in columns.items()}
    hours = chosen.table[COLUMN_MIDDLE].to_numpy(float)
    draw_lines(axes, hours, loadings, "branches", len(chosen.days), highest=MOST_BRANCHES)
    axes.set_ylim(bottom=0)
    style.day_axis(axes, chosen)
    _limits(axes, chosen.table)
    style.legend(figure, axes)
    return figure


def _limits(axes: Axes, table: pd.DataFrame) -> None:
    """Draw the limits of all branches, in greys: colours are the branches'."""
    for name, colour, what in zip(LIMITS, (style.GREY, style.INK), ("soft", "hard"), strict=True):
        if name in table:
            limit = float(table[name].max())
            axes.axhline(limit, color=colour, linewidth=1.0, linestyle="--", label=f"{what} limit {limit:g} %")
