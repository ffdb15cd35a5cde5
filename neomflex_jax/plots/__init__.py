"""Figures of an evaluation, one module each; Matplotlib is loaded when the first one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.evaluation.tables import read_step_metrics
from neomflex_jax.files.whole_files import whole_file
from neomflex_jax.grid import UnbalancedFeeder
from neomflex_jax.plots.of_objects import draw_curves, draw_feeder, draw_fidelity, draw_territories

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from neomflex_jax.evaluation import Trajectory
    from neomflex_jax.grid import AnyFeeder

__all__ = [
    "FIGURES",
    "draw_curves",
    "draw_feeder",
    "draw_fidelity",
    "draw_figure",
    "draw_map",
    "draw_territories",
    "fit_to_print",
    "save",
    "save_day",
]

MILLISECONDS = 200  # that a step of an animated day is shown
FIGURES = {
    "soc": "neomflex_jax.plots.soc",
    "voltage": "neomflex_jax.plots.voltage",
    "bus": "neomflex_jax.plots.bus",
    "loading": "neomflex_jax.plots.loading",
    "reactive-power": "neomflex_jax.plots.reactive_power",
    "dispatch": "neomflex_jax.plots.dispatch",
    "device": "neomflex_jax.plots.device",
    "price": "neomflex_jax.plots.price",
    "positions": "neomflex_jax.plots.positions",
    "unbalance": "neomflex_jax.plots.unbalance",
    "comparison": "neomflex_jax.plots.comparison",
}


def draw_figure(
    name: str,
    table: pd.DataFrame | str | Path,
    run: str = "controlled",
    days: Sequence[int] | None = None,
    **options: object,
) -> Figure:
    """Draw one of `FIGURES`.

    Parameters
    ----------
    name
        Which figure.
    table
        A step table, or the path of a ``step_metrics.csv``.
    run
        The run in the table.
    days
        Days of the run, side by side in this order; None takes all.
    **options
        What the figure's own `draw` takes further, for example ``limits`` of the voltage figure. Choices are named as
        in the table's columns: ``buses=[17]``, ``branches=["0-1"]``, and ``devices=["battery_7", "pv_16"]`` by kind and
        bus.

    Raises
    ------
    InputError
        If there is no such figure, run or day, saying what there is, or the file is not usable.
    """
    if name not in FIGURES:
        raise unknown_name("figure", name, FIGURES)
    steps = table if isinstance(table, pd.DataFrame) else read_step_metrics(Path(table))
    return import_module(FIGURES[name]).draw(steps, run, days, **options)


def draw_map(
    runs: Sequence[Trajectory], feeder: AnyFeeder, day: int = 0, step: int | None = None, *, stacked: bool = False
) -> Figure:
    """Draw the feeder at a moment of one or two recorded runs, side by side.

    Buses are coloured by voltage, batteries filled by charge, and arrows point where active power flows. Of a feeder
    with phases a branch is a line for each phase that it carries, and buses have the colour of their worst phase.

    Parameters
    ----------
    runs
        One run or two of the same days, from left to right, as `evaluation.Trajectory.load` reads them.
    feeder
        That they were played on.
    day, step
        Counted from 0; step None: the one of the day with the voltage farthest from the band's middle.
    stacked
        True: one above the other, as wide as two columns of a printed page (183 mm), without `fit_to_print`.

    Returns
    -------
    figure
        Maps above the day's sun, demand and, with a tariff, price.

    Raises
    ------
    InputError
        If there is no such day or step, or runs and feeder do not belong together.
    """
    from neomflex_jax.plots.feeder_map import FeederMap, worst_step
    from neomflex_jax.plots.phase_map import draw_phase_map

    if isinstance(feeder, UnbalancedFeeder):
        if stacked:
            raise InputError(
                f"feeder {feeder.name!r} has phases, and its map is for screens; leave out the printed size"
            )
        return draw_phase_map(runs, feeder, day, worst_step(runs, day) if step is None else step)
    feeder_map = FeederMap(runs, feeder, stacked=stacked)
    return feeder_map.show(day, worst_step(runs, day) if step is None else step)


def save_day(
    runs: Sequence[Trajectory], feeder: AnyFeeder, day: int, path: str | Path, milliseconds: int = MILLISECONDS
) -> None:
    """Write every step of a day, as `draw_map` draws it, into an animated GIF; folders are made as needed.

    Parameters
    ----------
    runs, feeder, day
        See `draw_map`.
    path
        Of the file, which ends in .gif.
    milliseconds
        That each step is shown.

    Raises
    ------
    InputError
        See `draw_map`; also if the name does not end in .gif.
    """
    from neomflex_jax.plots.feeder_map import images_of_day
    from neomflex_jax.plots.gif import write_gif
    from neomflex_jax.plots.phase_map import images_of_day_by_phase

    if Path(path).suffix != ".gif":
        raise InputError(f"{path}: a day is written as an animated .gif; name it so")
    if isinstance(feeder, UnbalancedFeeder):
        images = images_of_day_by_phase(runs, feeder, day)
    else:
        images = images_of_day(runs, feeder, day)
    write_gif(images, Path(path), milliseconds)


def fit_to_print(figure: Figure, size: str) -> Figure:
    """Change a figure to the width of one or two columns of a printed page, with letters to be read there.

    Parameters
    ----------
    figure
        Drawn by a function of this package.
    size
        ``single`` (88 mm) or ``double`` (183 mm): the columns that it spans.

    Returns
    -------
    figure
        The same object; of one column its legend stands below.

    Raises
    ------
    InputError
        If there is no such size.
    """
    from neomflex_jax.plots import print_size

    return print_size.fit_to_print(figure, size)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure, in the format that the path's ending names; folders are made as needed.

    Raises
    ------
    InputError
        If the ending names no format that can be written.
    """
    path = Path(path)
    formats = figure.canvas.get_supported_filetypes()
    if path.suffix.removeprefix(".").lower() not in formats:
        raise InputError(f"{path}: cannot write {path.suffix or 'a file without ending'!r}; use .{', .'.join(formats)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        figure.savefig(partial, format=path.suffix.removeprefix(".").lower(), dpi=figure.get_dpi())
