"""The feeder at a moment of recorded runs, side by side, above the day's sun, demand and price; and its whole day.

Sizes of arrows and colours mean the same in every step and in both runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from neomflex_jax.errors import InputError
from neomflex_jax.evaluation import Trajectory
from neomflex_jax.evaluation.branch_flows import flows_are_known
from neomflex_jax.grid import Feeder
from neomflex_jax.grid.places import bus_places
from neomflex_jax.plots import style
from neomflex_jax.plots.days import describe_days
from neomflex_jax.plots.drawing import Axes, Figure, FigureCanvasAgg, Line2D
from neomflex_jax.plots.gif import GIF_DPI
from neomflex_jax.plots.map_panel import AWAY, BACK, MapPanel, MapRun
from neomflex_jax.plots.symbols import legend_handle, symbol_of

INCH = {1: 8.0, 2: 13.0}  # width, by the number of runs
ROW_INCH, LEAST_INCH, MOST_INCH, STRIP_INCH, AROUND_INCH = 0.66, 2.2, 9.0, 0.8, 1.9
PAGE_INCH, PRINTED_DPI = 7.2, 300  # of two columns
DPI = 100
CALLED = {"baseline": "without control", "no_control": "without control", "controlled": "with control"}


class FeederMap:
    """Maps of one or two runs; `show` moves both to a step of a day."""

    def __init__(self, runs: Sequence[Trajectory], feeder: Feeder, *, stacked: bool = False) -> None:
        """Draw what stands; `stacked` maps lie above each other, as wide as a printed page."""
        _check(runs, feeder)
        self._runs = runs
        shown = [MapRun.of(run, feeder) for run in runs]
        n_rows = float(np.ptp(bus_places(feeder.topology)[:, 1])) + 1.0
        n_high, n_wide = (len(runs), 1) if stacked else (1, len(runs))
        map_inch = min(max(ROW_INCH * n_rows, LEAST_INCH), MOST_INCH / n_high)
        self.figure = Figure(
            figsize=(PAGE_INCH if stacked else INCH[n_wide], n_high * map_inch + STRIP_INCH + AROUND_INCH),
            dpi=PRINTED_DPI if stacked else DPI,
            layout="constrained",
        )
        self._canvas: Any = FigureCanvasAgg(self.figure)
        grid = self.figure.add_gridspec(n_high + 1, n_wide, height_ratios=(*[map_inch] * n_high, STRIP_INCH))
        flows = [np.nan_to_num(np.abs(each.flow_mw)).max() for each in shown if each.flow_mw is not None]
        largest_mw = max([*flows, 1e-9])
        self._panels = [
            MapPanel(
                self.figure.add_subplot(grid[index, 0] if stacked else grid[0, index]),
                each,
                CALLED.get(each.run.run, style.shown_text(each.run.run)),
                map_inch / n_rows,
                largest_mw,
            )
            for index, each in enumerate(shown)
        ]
        dots = self._panels[0].dots
        bar = self.figure.colorbar(
            dots.dots, ax=self.figure.axes, label="voltage (pu)", extend="both", pad=0.01, fraction=0.02, aspect=30
        )
        dots.mark(bar)
        self._strip = self.figure.add_subplot(grid[-1, :])
        self._day, self._cursor = -1, self._strip.axvline(0.0, color=style.VERMILLION, linewidth=1.5, zorder=5)
        self._title = self.figure.suptitle(" ", x=0.01, ha="left", fontsize=12, color=style.INK, parse_math=False)
        self._draw_legend(shown[0], 4 * n_wide)

    def show(self, day: int, step: int) -> Figure:
        """Show a step of a day, both counted from 0; returns the same figure in every call."""
        run = self._runs[0]
        row = _row(run, day, step)
        if day != self._day:
            self._draw_strip(run, day)
        for panel in self._panels:
            panel.show(row)
        self._cursor.set_xdata([(step + 0.5) * run.scenario.step_hours] * 2)
        said = f"demand {run.demand[row]:.2f}, sun {run.solar[row]:.2f}"
        if run.scenario.tariff_column:
            said += f", price {run.price[row]:.4g} per MWh"
        title = f"{style.shown_text(run.scenario.name)}: day {day}, {_clock(run, step)}  ({said})"
        self._title.set_text(title)
        return self.figure

    def frame(self, day: int, step: int) -> np.ndarray:
        """Show a step as an image, (height, width, 3) uint8, on what stands all day, which is drawn once."""
        new_day = day != self._day
        self.show(day, step)
        changing = [self._title, self._cursor, *(each for panel in self._panels for each in panel.changing)]
        if new_day:
            self._canvas.draw()
            self.figure.set_layout_engine("none")  # frames stay where the first one was put
            for artist in changing:
                artist.set_animated(True)
            self._canvas.draw()
            self._standing = self._canvas.copy_from_bbox(self.figure.bbox)
        self._canvas.restore_region(self._standing)
        for artist in sorted(changing, key=lambda each: each.get_zorder()):
            artist.draw(self._canvas.get_renderer())
        return np.array(self._canvas.buffer_rgba())[..., :3]

    def _draw_strip(self, run: Trajectory, day: int) -> None:
        """Draw the day's sun, demand and price, over which a line moves."""
        axes, self._day = self._strip, day
        rows, hours = run.day == day, run.scenario.step_hours
        at = (run.step[rows] + 0.5) * hours
        for artist in [*axes.collections, *[line for line in axes.lines if line is not self._cursor]]:
            artist.remove()
        axes.fill_between(at, run.solar[rows], step="mid", color=style.ORANGE, alpha=0.35, linewidth=0, label="sun")
        axes.plot(at, run.demand[rows], drawstyle="steps-mid", color=style.GREY, linewidth=1.2, label="demand")
        axes.set_xlim(0, run.scenario.steps_per_day * hours)
        axes.set_ylim(0, 1.08 * max(1.0, float(np.max([run.solar[rows], run.demand[rows]]))))
        axes.set_ylabel("per unit", fontsize=8)
        axes.set_xlabel("hour of the day", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.set_xticks(np.arange(9) * run.scenario.steps_per_day * hours / 8)
        axes.spines["top"].set_visible(False)
        if run.scenario.tariff_column:
            self._draw_price(axes, at, run.price[rows])
        axes.legend(loc="upper left", bbox_to_anchor=(0.0, 1.0), ncols=2, frameon=False, fontsize=7, borderpad=0.0)

    def _draw_price(self, axes: Axes, at: np.ndarray, price: np.ndarray) -> None:
        if not hasattr(self, "_price"):
            self._price = axes.twinx()
            self._price.spines["top"].set_visible(False)
            self._price.set_ylabel("price\n(per MWh)", fontsize=8, color=style.BLUE)
            self._price.tick_params(labelsize=8, colors=style.BLUE)
        for line in list(self._price.lines):
            line.remove()
        self._price.plot(at, price, drawstyle="steps-mid", color=style.BLUE, linewidth=1.2)

    def _draw_legend(self, shown: MapRun, most_columns: int) -> None:
        handles, labels = self.figure.axes[0].get_legend_handles_labels()
        for kind in dict.fromkeys(kind for kind, _, _ in shown.devices):
            handles.append(legend_handle(symbol_of(kind)))
            labels.append(symbol_of(kind).label)
        if reason := flows_are_known(shown.feeder):
            handles.append(Line2D([], [], linestyle=""))
            labels.append(f"no flows: {reason}")
        else:
            for colour, text in ((AWAY, "flow away from the slack"), (BACK, "flow back to the slack")):
                handles.append(Line2D([], [], marker=">", linestyle="-", color=colour, markersize=6))
                labels.append(text)
        ring = Line2D([], [], marker="o", linestyle="", markerfacecolor="none", color=style.VERMILLION, markersize=9)
        self.figure.legend(
            [*handles, ring],
            [*labels, "outside the hard limits"],
            loc="outside lower center",
            ncols=min(len(labels) + 1, most_columns),
            frameon=False,
            fontsize=8,
            handlelength=1.6,
        )


def worst_step(runs: Sequence[Trajectory], day: int) -> int:
    """Return the step of a day at which a voltage of any run is farthest from the band's middle."""
    _row(runs[0], day, 0)
    limits = runs[0].scenario.limits
    middle = 0.5 * (limits.band_min_pu + limits.band_max_pu)
    rows = runs[0].day == day
    away = [np.nan_to_num(np.abs(run.vm_pu[rows] - middle), nan=-1.0).max(axis=1) for run in runs]
    return int(np.max(away, axis=0).argmax())


def images_of_day(runs: Sequence[Trajectory], feeder: Feeder, day: int) -> Iterator[np.ndarray]:
    """Draw a day's steps, one after the other."""
    feeder_map = FeederMap(runs, feeder)
    feeder_map.figure.set_dpi(GIF_DPI)
    for step in range(runs[0].scenario.steps_per_day):
        yield feeder_map.frame(day, step)


def _row(run: Trajectory, day: int, step: int) -> int:
    n_days, steps = run.n_steps // run.scenario.steps_per_day, run.scenario.steps_per_day
    if not 0 <= day < n_days:
        raise InputError(f"run {run.run!r} has no day {day}; its days: {describe_days(range(n_days))}")
    if not 0 <= step < steps:
        raise InputError(f"a day has no step {step}; its steps: 0..{steps - 1}")
    return day * steps + step


def _clock(run: Trajectory, step: int) -> str:
    minutes = round(60 * step * run.scenario.step_hours)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _check(runs: Sequence[Trajectory], feeder: Feeder) -> None:
    if not 1 <= len(runs) <= len(INCH):
        raise InputError(f"a map shows one run, or two side by side; {len(runs)} are given")
    first = runs[0]
    for run in runs:
        if run.nodes.labels != feeder.node_labels:
            raise InputError(f"run {run.run!r} was recorded on other buses than those of feeder {feeder.name!r}")
        if not np.array_equal(run.dataset_index, first.dataset_index) or run.scenario.kinds != first.scenario.kinds:
            raise InputError(f"runs {first.run!r} and {run.run!r} are of other days or devices; record both together")
