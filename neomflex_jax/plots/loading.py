"""Loading of the branches that carry most, in per cent of their ratings, against the scenario's limits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation.loading_columns import BRANCH, LIMITS
from neomflex_jax.evaluation.tables import columns_of
from neomflex_jax.plots import style
from neomflex_jax.plots.days import COLUMN_MIDDLE, choose
from neomflex_jax.plots.drawing import Axes, Figure

MOST_BRANCHES = 5  # the worst are told apart, the others are one area


def draw(steps: pd.DataFrame, run: str, days: Sequence[int] | None = None) -> Figure:
    """Draw the loadings of one run.

    Parameters
    ----------
    steps
        As from `evaluation.tables.step_metrics`.
    run, days
        What to show; days None: all.

    Raises
    ------
    InputError
        If the table has no loadings, because the scenario limits none.
    """
    columns = columns_of(steps, *BRANCH)
    if not columns:
        raise InputError(
            "the table has no column loading_branch_<from>-<to>_percent: the scenario limits no loading; state one in "
            "its table [loading], on a feeder whose branches have ratings"
        )
    chosen = choose(steps, run, days)
    figure, axes = style.new_figure(chosen.title("Loading of branches"), "loading (% of the rating)", len(chosen.days))
    loadings = chosen.table[columns].to_numpy(float)
    worst = _by_highest(loadings)[:MOST_BRANCHES]
    others = np.delete(np.arange(len(columns)), worst)
    hours = chosen.table[COLUMN_MIDDLE].to_numpy(float)
    if others.size:
        label = f"{others.size} other branch{'es' if others.size > 1 else ''}"
        low, high = loadings[:, others].min(axis=1), loadings[:, others].max(axis=1)
        axes.fill_between(hours, low, high, color=style.GREY, alpha=0.25, linewidth=0, label=label)
    for index, column in enumerate(worst):
        name = columns[column].removeprefix(BRANCH[0]).removesuffix(BRANCH[1])
        axes.plot(hours, loadings[:, column], label=f"branch {name}", **style.series_style(index, len(chosen.days)))
    _limits(axes, chosen.table)
    axes.set_ylim(bottom=0)
    style.day_axis(axes, chosen)
    style.legend(figure, axes)
    return figure


def _by_highest(loadings: np.ndarray) -> np.ndarray:
    """Columns of (n, n_branch) by their highest value, the highest first; NaN, a failed power flow, counts as none."""
    highest = np.max(loadings, axis=0, where=np.isfinite(loadings), initial=-np.inf)
    return np.argsort(-highest, kind="stable")


def _limits(axes: Axes, table: pd.DataFrame) -> None:
    """Draw the limits of all branches, in greys: colours are the branches'."""
    for name, colour, what in zip(LIMITS, (style.GREY, style.INK), ("soft", "hard"), strict=True):
        if name in table:
            limit = float(table[name].max())
            axes.axhline(limit, color=colour, linewidth=1.0, linestyle="--", label=f"{what} limit {limit:g} %")
