"""``neomflex plot``."""

from __future__ import annotations

import tempfile
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from neomflex_jax.commands.answering import Answering
from neomflex_jax.commands.console import console
from neomflex_jax.commands.images import IMAGES, check_image
from neomflex_jax.commands.imported_modules import Modules
from neomflex_jax.commands.optional_values import MayOmit, Several
from neomflex_jax.commands.plotted import recorded_beside, scenario_beside, step_table, without_control
from neomflex_jax.errors import InputError, unknown_name
from neomflex_jax.loose_types import Keywords

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from neomflex_jax.evaluation import Trajectory
    from neomflex_jax.grid import AnyFeeder
    from neomflex_jax.scenario import Scenario

CURVES = "curves"  # of trainings; all other figures are of days
MAP = "map"  # of recorded steps
DISTANCE = "distance"  # likewise, of feeders with phases
FIGURE_NAMES = (
    "{soc,voltage,bus,loading,reactive-power,dispatch,device,price,positions,unbalance,comparison,map,distance,curves}"
)
TAKES = {  # which figures show a choice, by option
    "buses": ("bus",),
    "branches": ("loading",),
    "step": (MAP, DISTANCE),
    "devices": ("device", "soc", "dispatch", "reactive-power", "price", "positions"),
}
SCREEN = "screen"
GIF = ".gif"  # of a map


@dataclass(frozen=True)
class PlotCommand(Answering):
    """Draw a figure from the tables of an evaluation, or the learning curves of trainings."""

    figure: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar=FIGURE_NAMES)]]
    """What to draw."""
    sources: Several[Path]
    """step_metrics.csv of an evaluation, or its folder, or that of its training.
    For curves: output folders of trainings or sweeps."""
    run: str = "controlled"
    """Which run to draw."""
    days: MayOmit[tuple[int, ...]] = None
    """Days to draw, counted from 0, for example --days 0 1. If not given: the first two.
    Of comparison all, of a map the first."""
    buses: MayOmit[tuple[str, ...]] = None
    """bus: which, for example --buses 17 32. If not given: those with the lowest and the highest voltage."""
    branches: MayOmit[tuple[str, ...]] = None
    """loading: which, for example --branches 0-1 5-6. If not given: all, of many their range and the highest."""
    devices: MayOmit[tuple[str, ...]] = None
    """device: which, by kind and bus or by its name in the scenario, for example --devices battery_7.
    If not given: the first; other figures of devices: all."""
    against: Annotated[str, tyro.conf.arg(metavar="{steps,seconds}")] = "steps"
    """What curves are drawn over."""
    day: MayOmit[int] = None
    """One day to draw, the same as --days with one."""
    step: MayOmit[int] = None
    """map, distance: step of the day. If not given: the one with the worst voltage; a .gif has all of them."""
    size: Annotated[str, tyro.conf.arg(metavar="{screen,single,double}")] = SCREEN
    """Size: screen, or the width of one or two columns of a printed page."""
    modules: Modules = ()
    output: MayOmit[Path] = None
    """Image file (.png, .pdf or .svg; a map's whole day: .gif). If not given: shown by what opens pictures here."""

    def execute(self, started: float) -> int:
        """Draw; returns the exit status."""
        from neomflex_jax.plots import FIGURES

        if self.figure not in (known := (*FIGURES, MAP, DISTANCE, CURVES)):
            raise unknown_name("figure", self.figure, known)
        check_image(self.output, (*IMAGES, GIF) if self.figure == MAP else IMAGES)
        self._check_choices()
        path = self.output or Path(tempfile.mkdtemp(prefix="neomflex-")) / f"{self.figure}.png"
        self._write(path)
        if self.output is None:
            webbrowser.open(path.as_uri())
        console.print(f"figure: {path}")
        console.found(figure=self.figure, files=[path])
        return 0

    def _write(self, path: Path) -> None:
        from neomflex_jax.plots import fit_to_print, save, save_day

        if path.suffix == GIF:
            if self.step is not None or self.size != SCREEN:
                raise InputError(f"{path}: shows a whole day on screens; leave out --step and --size, or write a .png")
            save_day(*self._recorded(), self._map_day, path)
            return
        figure = self.drawn()
        save(figure if self.size == SCREEN or self.figure == MAP else fit_to_print(figure, self.size), path)

    def drawn(self) -> Figure:
        """Draw without writing."""
        if self.figure == MAP:
            return self._map()
        if self.figure == DISTANCE:
            return self._distance()
        if self.figure != CURVES:
            return self._of_days()
        from neomflex_jax.plots import draw_curves

        return draw_curves(self.sources, self.against)

    def _map(self) -> Figure:
        from neomflex_jax.plots import draw_map

        if self.size not in (SCREEN, "double"):
            raise InputError(f"a map needs two columns of a page; give --size double, not {self.size!r}")
        runs, feeder = self._recorded()
        return draw_map(runs, feeder, self._map_day, self.step, stacked=self.size != SCREEN)

    def _distance(self) -> Figure:
        from neomflex_jax.grid import Feeder
        from neomflex_jax.plots.distance import draw_distance
        from neomflex_jax.plots.feeder_map import worst_step

        runs, feeder = self._recorded()
        if isinstance(feeder, Feeder):
            raise InputError(f"feeder {feeder.name!r} has no phases; a distance is drawn of feeders that have some")
        day = self._map_day
        return draw_distance(runs, feeder, day, worst_step(runs, day) if self.step is None else self.step)

    def _recorded(self) -> tuple[tuple[Trajectory, ...], AnyFeeder]:
        """Return the run and no control before it, as they were recorded, and their feeder."""
        from neomflex_jax.evaluation.tables import read_step_metrics
        from neomflex_jax.grid import load_feeder

        table = self._table()
        runs = recorded_beside(table, read_step_metrics(table)["run"], self.run)
        return runs, load_feeder(runs[-1].scenario.feeder)

    @property
    def _map_day(self) -> int:
        days = self._days or (0,)
        if len(days) > 1:
            raise InputError(f"a map shows one day; --days names {len(days)}")
        return days[0]

    @property
    def _days(self) -> tuple[int, ...] | None:
        if self.day is not None and self.days is not None:
            raise InputError("--day and --days say the same; give one of them")
        return self.days if self.day is None else (self.day,)

    def _table(self) -> Path:
        if len(self.sources) != 1:
            raise InputError(f"figure {self.figure!r} takes one step_metrics.csv; {len(self.sources)} files are given")
        return step_table(self.sources[0])

    def _of_days(self) -> Figure:
        from neomflex_jax.evaluation.tables import read_step_metrics
        from neomflex_jax.plots import draw_figure

        table, days = self._table(), self._days
        steps = read_step_metrics(table)
        if days is None and self.figure != "comparison":
            days = tuple(sorted(steps.loc[steps["run"] == self.run, "day"].unique())[:2]) or None
        options = self._options(without_control(steps["run"], self.run), scenario_beside(table, self.run))
        return draw_figure(self.figure, steps, self.run, days, **options)

    def _options(self, overlay: tuple[str, ...], scenario: Scenario | None) -> Keywords:
        """Return what the figure is told beside the table: choices, the run without control, and limits."""
        options: Keywords = {
            name: getattr(self, name)
            for name, figures in TAKES.items()
            if self.figure in figures and getattr(self, name) is not None
        }
        if "devices" in options and scenario is not None:
            named = {each.label: f"{each.prefix}_{each.bus}" for each in scenario.devices}
            options["devices"] = tuple(named.get(name, name) for name in options["devices"])
        if self.figure in ("voltage", "bus", "device", "unbalance"):
            options["overlay"] = overlay
        if self.figure in ("voltage", "bus") and scenario is not None:
            options["limits"] = scenario.limits
        if self.figure == "device":
            options["scenario"] = scenario
        return options

    def _check_choices(self) -> None:
        """Refuse a choice that the figure does not show, saying which figures do."""
        for name, figures in TAKES.items():
            if getattr(self, name) is not None and self.figure not in figures:
                raise InputError(f"figure {self.figure!r} takes no --{name}, which is for {', '.join(figures)}")
