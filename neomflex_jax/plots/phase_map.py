"""A feeder with phases at a moment of recorded runs: a line for each phase that a branch carries, a dot for each bus.

Buses stand where the feeder's coordinates have them, those without beside a neighbour; without coordinates, in a tree
from the source. Lines have the phases' colours, side by side. A dot has the colour of the bus's voltage that is
farthest from the band's middle, on a scale of the scenario's hard limits; around it stands what devices the bus has.
All is laid out in inches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation import Trajectory
from neomflex_jax.grid import UnbalancedFeeder
from neomflex_jax.grid.nodes import PHASES
from neomflex_jax.grid.places import bus_places
from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import Axes, Figure, FigureCanvasAgg, Line2D, LineCollection
from neomflex_jax.plots.gif import GIF_DPI
from neomflex_jax.plots.symbols import symbol_of
from neomflex_jax.plots.voltage import PHASE_COLOURS
from neomflex_jax.plots.voltage_dots import VoltageDots

WIDTH_INCH, LEAST_INCH, MOST_INCH, ROW_INCH = 6.2, 2.6, 7.0, 0.3  # of one map
APART_INCH, AROUND_INCH = 0.026, 0.25  # from phase to phase; free room at the edges
MOST_LABELS = 50  # buses that are named
KNOWN_SHARE = 0.5  # of the buses whose coordinates must be known to draw by them
CALLED = {"baseline": "without control", "no_control": "without control", "controlled": "with control"}


def draw_phase_map(runs: Sequence[Trajectory], feeder: UnbalancedFeeder, day: int, step: int) -> Figure:
    """Draw the feeder at a step of one run or two, side by side.

    Parameters
    ----------
    runs
        Of the same days, as `evaluation.Trajectory.load` reads them.
    feeder
        That they were played on.
    day, step
        Counted from 0.

    Raises
    ------
    InputError
        If there is no such day or step, there are more than two runs, or they are of another feeder.
    """
    steps = runs[0].scenario.steps_per_day
    n_days = runs[0].n_steps // steps
    if not 1 <= len(runs) <= 2:
        raise InputError(f"a map shows one run, or two side by side; {len(runs)} are given")
    if not (0 <= day < n_days and 0 <= step < steps):
        raise InputError(f"day {day}, step {step}: the run has days 0..{n_days - 1} of {steps} steps")
    for run in runs:
        if run.nodes.labels != feeder.node_labels:
            raise InputError(f"run {run.run!r} was recorded on other nodes than those of feeder {feeder.name!r}")
    place = _places_inch(feeder)
    width, height = place.max(axis=0) + 2 * AROUND_INCH
    figure = Figure(figsize=(len(runs) * width + 1.3, height + 1.3), dpi=100, layout="constrained")
    panels = [figure.add_subplot(1, len(runs), number + 1) for number in range(len(runs))]
    row = day * steps + step
    for axes, run in zip(panels, runs, strict=True):
        _draw_branches(axes, feeder, place)
        dots = _draw_run(axes, feeder, place, run, row)
        axes.set(xlim=(-AROUND_INCH, width - AROUND_INCH), ylim=(-AROUND_INCH, height - AROUND_INCH), aspect="equal")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    bar = figure.colorbar(
        dots.dots, ax=panels, label="voltage of the worst phase (pu)", extend="both", pad=0.01, fraction=0.03, aspect=30
    )
    dots.mark(bar)
    _draw_legend(figure, runs[0])
    minutes = round(60 * step * runs[0].scenario.step_hours)
    said = f"demand {runs[0].demand[row]:.2f}, sun {runs[0].solar[row]:.2f}"
    title = f"{style.shown_text(runs[0].scenario.name)}: day {day}, {minutes // 60:02d}:{minutes % 60:02d}  ({said})"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, color=style.INK, parse_math=False)
    return figure


def images_of_day_by_phase(
    runs: Sequence[Trajectory], feeder: UnbalancedFeeder, day: int
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Draw a day's steps, one after the other, each as `draw_phase_map` does."""
    for step in range(runs[0].scenario.steps_per_day):
        figure = draw_phase_map(runs, feeder, day, step)
        figure.set_dpi(GIF_DPI)
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()
        yield np.array(canvas.buffer_rgba())[..., :3]


def _places_inch(feeder: UnbalancedFeeder) -> Float[np.ndarray, "n_bus 2"]:
    """Places of the buses in inches from the lower left corner."""
    topology = feeder.topology
    known = np.array([label in feeder.coordinates for label in feeder.bus_labels])
    if known.mean() < KNOWN_SHARE:
        place = bus_places(topology).astype(float)
        span = np.maximum(np.ptp(place, axis=0), 1.0)
        high = np.clip(ROW_INCH * (span[1] + 1), LEAST_INCH, MOST_INCH)
        return np.asarray((place - place.min(axis=0)) / span * np.array([WIDTH_INCH, high]))
    place = np.array([feeder.coordinates.get(label, (np.nan, np.nan)) for label in map(str, feeder.bus_labels)], float)
    ends = np.array([topology.from_bus, topology.to_bus], int)
    for _ in range(feeder.n_bus):  # outwards, one bus further a time
        missing = np.flatnonzero(np.isnan(place[:, 0]))
        if not missing.size:
            break
        found = {
            bus: np.nanmean(beside, axis=0) for bus in missing.tolist() if len(beside := _beside(bus, ends, place))
        }
        if not found:
            place[missing] = np.nanmean(place, axis=0)
        for bus, at in found.items():
            place[bus] = at
    span = np.maximum(np.ptp(place, axis=0), 1e-9)
    return np.asarray((place - place.min(axis=0)) * min(WIDTH_INCH / span[0], MOST_INCH / span[1]))


def _beside(bus: int, ends: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Places of a bus's neighbours that have one."""
    others = np.concatenate([ends[1][ends[0] == bus], ends[0][ends[1] == bus]])
    return np.asarray(place[others[~np.isnan(place[others, 0])]])


def _draw_branches(axes: Axes, feeder: UnbalancedFeeder, place: np.ndarray) -> None:
    """Draw a line for each phase that two joined buses share."""
    topology, has = feeder.topology, {str(label) for label in feeder.node_labels}
    joined = zip(topology.from_bus, topology.to_bus, topology.in_service, strict=True)
    pairs = dict.fromkeys((int(a), int(b)) for a, b, closed in joined if closed)
    for phase, colour, side in zip(PHASES, PHASE_COLOURS, (1, 0, -1), strict=True):
        lines = []
        for a, b in pairs:
            if not {f"{feeder.bus_labels[a]}.{phase}", f"{feeder.bus_labels[b]}.{phase}"} <= has:
                continue
            along = place[b] - place[a]
            across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-9)
            lines.append(place[[a, b]] + side * APART_INCH * across)
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=1.1, zorder=2))
    slack = place[topology.slack]
    axes.plot(*slack, "s", color=style.INK, markersize=8, zorder=3)


def _draw_run(axes: Axes, feeder: UnbalancedFeeder, place: np.ndarray, run: Trajectory, row: int) -> VoltageDots:
    """Draw voltages, devices and names; return the dots."""
    limits, vm_pu = run.scenario.limits, np.asarray(run.vm_pu[row], float)
    middle, solved = 0.5 * (limits.band_min_pu + limits.band_max_pu), bool(run.converged[row])
    away = np.abs(vm_pu - middle)
    worst = np.array([at[np.argmax(away[at])] for at in map(np.asarray, feeder.nodes.at.values())])
    size = float(np.clip(2400.0 / feeder.n_bus, 6.0, 42.0))
    for device in run.scenario.devices:
        at, symbol = place[feeder.bus_position(device.bus)], symbol_of(type(device))
        axes.plot(*at, "o", color=symbol.colour, markersize=np.sqrt(size) + 3.5, zorder=2.5)
    dots = VoltageDots(axes, place, limits, size)
    shown = vm_pu[worst] if solved else np.full(len(worst), np.nan)
    outside = dots.show(shown, solved)
    if feeder.n_bus <= MOST_LABELS:
        for bus, label in enumerate(feeder.bus_labels):
            axes.annotate(str(label), place[bus], (4, 4), textcoords="offset points", fontsize=7, color=style.INK)
    said = "power flow failed: there are no voltages"
    if solved:
        low, high = int(np.nanargmin(vm_pu)), int(np.nanargmax(vm_pu))
        said = f"{vm_pu[low]:.3f} pu at {feeder.node_labels[low]} .. {vm_pu[high]:.3f} pu at {feeder.node_labels[high]}"
        for node, word in ((low, "lowest"), (high, "highest")):
            named = axes.annotate(
                f"{word} {feeder.node_labels[node]}",
                place[feeder.nodes.bus_position[node]],
                (8, 12 if word == "highest" else -16),
                textcoords="offset points",
                fontsize=8,
                fontweight="bold",
                bbox={"facecolor": "white", "edgecolor": style.GREY, "linewidth": 0.5, "pad": 1.2, "alpha": 0.9},
                zorder=6,
            )
            named.set_in_layout(False)  # which would move the map from step to step
    called = CALLED.get(run.run, style.shown_text(run.run))
    colour = style.VERMILLION if outside.any() or not solved else style.INK
    axes.set_title(f"{called}: {said}", loc="left", fontsize=9, color=colour, parse_math=False)
    return dots


def _draw_legend(figure: Figure, run: Trajectory) -> None:
    """Draw what lines and dots are."""
    handles = [Line2D([], [], color=colour, linewidth=1.6) for colour in PHASE_COLOURS]
    labels = [f"phase {phase}" for phase in PHASES]
    handles.append(Line2D([], [], marker="s", linestyle="", color=style.INK, markersize=7))
    labels.append("source")
    for kind in (kind for kind in run.scenario.kinds if run.scenario.of(kind)):
        handles.append(Line2D([], [], marker="o", linestyle="", color=symbol_of(kind).colour, markersize=7))
        labels.append(f"with {symbol_of(kind).label.partition(',')[0]}")
    ring = Line2D([], [], marker="o", linestyle="", markerfacecolor="none", color=style.VERMILLION, markersize=9)
    figure.legend(
        [*handles, ring],
        [*labels, "outside the hard limits"],
        loc="outside lower center",
        ncols=5,
        frameon=False,
        fontsize=8,
        handlelength=1.6,
    )
