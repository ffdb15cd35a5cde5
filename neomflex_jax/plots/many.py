"""Several quantities of one kind as lines; where there are many, the range of all and the few that stand out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

from neomflex_jax.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LINES = 8  # more cannot be told apart by colour and dashes


def draw_lines(
    axes: Axes,
    where: np.ndarray,
    series: Mapping[str, np.ndarray],
    what: str,
    n_days: int = 1,
    *,
    held: bool = False,
    highest: int = 0,
) -> None:
    """Draw every series (n,) over `where` (n,) under its name, or of more than `MOST_LINES` their band and extremes.

    Parameters
    ----------
    what
        What there are many of, for example ``batteries``.
    n_days
        See `style.series_style`.
    held
        True for values that hold over the steps around `where`, and change between them.
    highest
        Of many, so many are named, those with the highest values; 0: those with the extreme means and values.
    """
    names, drawstyle = list(series), "steps-mid" if held else "default"
    if len(names) > MOST_LINES:
        values = np.stack([np.asarray(series[name], float) for name in names])
        step: Literal["mid"] | None = "mid" if held else None
        known = np.isfinite(values)
        low = np.where(known, values, np.inf).min(axis=0)
        high = np.where(known, values, -np.inf).max(axis=0)
        parted = ~known.any(axis=0)  # between days that do not follow each other
        low[parted] = high[parted] = np.nan
        label = f"all {len(names)} {what}"
        axes.fill_between(where, low, high, step=step, color=style.GREY, alpha=0.25, linewidth=0, label=label)
        names = _with_the_highest(names, values, highest) if highest else standing_out(names, values)
    for index, name in enumerate(names):
        axes.plot(
            where, series[name], label=style.entry(name), drawstyle=drawstyle, **style.series_style(index, n_days)
        )


def standing_out(names: list[str], values: np.ndarray) -> list[str]:
    """Return the names of those of `values` (n_series, n) with the extreme means and the extreme values."""
    known = np.isfinite(values)
    counts = np.maximum(known.sum(axis=1), 1)
    mean = np.where(known, values, 0.0).sum(axis=1) / counts
    lowest, highest = np.where(known, values, np.inf).min(axis=1), np.where(known, values, -np.inf).max(axis=1)
    chosen = (mean.argmin(), mean.argmax(), lowest.argmin(), highest.argmax())
    return [names[index] for index in sorted({int(index) for index in chosen})]


def _with_the_highest(names: list[str], values: np.ndarray, n: int) -> list[str]:
    most = np.max(values, axis=1, where=np.isfinite(values), initial=-np.inf)
    return [names[index] for index in np.argsort(-most, kind="stable")[:n]]
