"""Learning curves: the day cost in training against steps or seconds, interquartile mean and 95 % band over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.files.tables import numbers, read_table
from neomflex_jax.interquartile import bootstrap_interval, interquartile_mean
from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import Figure
from neomflex_jax.plots.many import MOST_LINES
from neomflex_jax.training.result import trained_on
from neomflex_jax.training.run_folder import RunFolder

METRICS = "metrics.csv"
LABELS = {"steps": "environment steps of a seed", "seconds": "seconds since the start, compilation included"}
N_POINTS = 200
LOG_FROM_RATIO = 20.0

Curve = tuple[np.ndarray, np.ndarray]  # where (n,), increasing, and the day cost there (n,)


def draw(runs: Mapping[str, Sequence[Curve]], against: str = "steps", power_flow: str = "") -> Figure:
    """Draw one line a run, each from its seeds' curves; `power_flow` names what all costs are from, where it is known.

    Seeds that were looked at in different places are interpolated onto common ones, from where the last of them begins
    to where the first of them ends.

    Raises
    ------
    InputError
        If there is nothing to draw, or the seeds of a run have no stretch in common.
    """
    _check_axis(against)
    if not runs or not all(runs.values()):
        raise InputError("learning curves need at least one run with at least one seed")
    most = max(len(curves) for curves in runs.values())
    title = f"Learning curves over {most} {'seed' if most == 1 else 'seeds'}"
    figure, axes = style.new_figure(title, f"day cost in {power_flow}" if power_flow else "day cost")
    places = {name: _on_common_places(name, curves) for name, curves in runs.items()}
    means = {name: interquartile_mean(costs) for name, (_, costs) in places.items()}
    shown = _shown(means)
    for index, name in enumerate(name for name in runs if name not in shown):
        label = "" if index else f"{len(runs) - len(shown)} further runs"
        axes.plot(places[name][0], means[name], color=style.GREY, linewidth=0.6, alpha=0.5, label=label)
    for index, name in enumerate(shown):
        (where, costs), look = places[name], style.series_style(index)
        axes.plot(where, means[name], label=f"{style.entry(name)} ({len(costs)})", **look)
        if len(costs) > 1:
            low, high = bootstrap_interval(costs)
            axes.fill_between(where, low, high, color=look["color"], alpha=0.2, linewidth=0)
    lowest = min(float(mean.min()) for mean in means.values())
    highest = max(float(mean.max()) for mean in means.values())
    if lowest > 0 and highest > LOG_FROM_RATIO * lowest:
        axes.set_yscale("log")
    axes.set_xlabel(LABELS[against])
    style.legend(figure, axes)
    return figure


def _shown(means: Mapping[str, np.ndarray]) -> list[str]:
    """Return the runs that get a colour: all, or of many the three that end cheapest, and the dearest."""
    if len(means) <= MOST_LINES:
        return list(means)
    by_end = sorted(means, key=lambda name: float(means[name][-1]))
    return [*by_end[:3], by_end[-1]]


def read_curves(path: Path, against: str = "steps") -> dict[str, list[Curve]]:
    """Read the runs in a folder: a run, a folder of runs that differ by seed, or a sweep (one line a setting).

    Raises
    ------
    InputError
        If there are none, or a table is not usable.
    """
    _check_axis(against)
    if (path / METRICS).is_file():
        return {path.name: _seeds_of(path / METRICS, against)}
    tables = sorted(path.rglob(METRICS))
    if not tables:
        raise InputError(f"{path}: no {METRICS} here or below; give the output folder of a training or a sweep")
    runs: dict[str, list[Curve]] = {}
    for table in tables:
        parts = [part for part in table.relative_to(path).parts[:-1] if not part.startswith("seed_") and part != "run"]
        runs.setdefault("/".join(parts) or path.name, []).extend(_seeds_of(table, against))
    return runs


def power_flow_of(paths: Sequence[Path]) -> str:
    """Return the power flows that the costs of the runs in some folders are from, as text; empty if a run has none."""
    tables = [table for path in paths for table in sorted(path.rglob(METRICS))]
    found: dict[str, None] = {}
    for table in tables:
        try:
            found[trained_on(RunFolder(table.parent).read_config())] = None
        except InputError:  # curves are drawn of tables alone, too
            return ""
    return " and ".join(found) if all(found) else ""


def _seeds_of(path: Path, against: str) -> list[Curve]:
    table = read_table(path, (against, "day_cost"))
    if table.empty:
        raise InputError(f"{path}: no rows yet; train for longer")
    seeds = table["seed"] if "seed" in table else np.zeros(len(table))
    groups = [rows for _, rows in table.groupby(seeds)]
    return [(numbers(path, rows, against), numbers(path, rows, "day_cost")) for rows in groups]


def _on_common_places(name: str, curves: Sequence[Curve]) -> Curve:
    """Return places that all curves cover, (n,), and the costs there, (n_seeds, n)."""
    first = curves[0][0]
    if all(np.array_equal(where, first) for where, _ in curves):
        return first, np.stack([costs for _, costs in curves])
    begins, ends = max(where[0] for where, _ in curves), min(where[-1] for where, _ in curves)
    if begins >= ends:
        raise InputError(f"{name}: its seeds have no stretch in common, one ends before another begins")
    places = np.linspace(begins, ends, N_POINTS)
    return places, np.stack([np.interp(places, where, costs) for where, costs in curves])


def _check_axis(against: str) -> None:
    if against not in LABELS:
        raise InputError(f"against = {against!r} must be one of {', '.join(LABELS)}")
