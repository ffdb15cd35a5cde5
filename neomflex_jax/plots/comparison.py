"""Daily cost of one run beside every other run of the table."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from neomflex_jax.evaluation.tables import daily_summary
from neomflex_jax.plots import style
from neomflex_jax.plots.days import choose, describe_days
from neomflex_jax.plots.drawing import Figure, LogLocator, MaxNLocator, NullFormatter
from neomflex_jax.plots.many import MOST_LINES

LOG_FROM_RATIO = 20.0
MARKERS = "osD^v"


def draw(steps: pd.DataFrame, run: str, days: Sequence[int] | None = None) -> Figure:
    """Draw each day's cost, minus the team reward, and each run's mean; days None: all of the run's."""
    chosen = choose(steps, run, days)
    daily = daily_summary(steps[steps["day"].isin(chosen.days)])
    names = list(daily["run"].unique())  # in the table's order: a run keeps its colour whichever is asked for
    others = [name for name in names if name != run]
    named = ", ".join(others) if len(names) <= MOST_LINES else f"{len(others)} further runs"
    title = f"Daily cost: {run}{' and ' + named if others else ''}, days {describe_days(chosen.days)}"
    figure, axes = style.new_figure(title, "cost of the day (minus the team reward)")
    shown = _shown(daily, names, run)
    rest = daily[~daily["run"].isin(shown)]
    if len(rest):
        label = f"{rest['run'].nunique()} further runs"
        axes.plot(rest["day"], rest["day_cost"], ".", color=style.GREY, alpha=0.4, markersize=4, label=label)
    for index, name in enumerate(shown):
        of_run = daily[daily["run"] == name]
        mean = of_run["day_cost"].mean()
        colour = style.COLOURS[index % len(style.COLOURS)]
        axes.plot(
            of_run["day"],
            of_run["day_cost"],
            MARKERS[index % len(MARKERS)],
            color=colour,
            markersize=4.5,
            label=f"{style.entry(name)}, mean {mean:z.4g}",
        )
        axes.axhline(mean, color=colour, linewidth=1.2, zorder=1)
    lowest, highest = daily["day_cost"].min(), daily["day_cost"].max()
    if lowest > 0 and highest > LOG_FROM_RATIO * lowest:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=min(0.0, lowest))
    axes.set_xlim(daily["day"].min() - 0.5, daily["day"].max() + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=style.MOST_DAY_LABELS, integer=True, min_n_ticks=1))
    axes.set_xlabel("day")
    style.legend(figure, axes)
    return figure


def _shown(daily: pd.DataFrame, names: list[str], run: str) -> list[str]:
    """Return the runs that get a colour: all, or of many the one asked for, the two cheapest and the dearest."""
    if len(names) <= MOST_LINES:
        return names
    means = daily.groupby("run")["day_cost"].mean().sort_values()
    return list(dict.fromkeys([run, *means.index[:2], means.index[-1]]))
