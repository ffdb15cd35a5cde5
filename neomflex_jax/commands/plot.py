"""``neomflex plot``."""

from __future__ import annotations

import tempfile
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from neomflex_jax.commands.console import console
from neomflex_jax.commands.optional_values import MayOmit, Several
from neomflex_jax.errors import InputError, unknown_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVES = "curves"  # of trainings; all other figures are of days
FIGURE_NAMES = "{soc,voltage,loading,reactive-power,dispatch,positions,comparison,curves}"
IMAGES = (".png", ".pdf", ".svg")


@dataclass(frozen=True)
class PlotCommand:
    """Draw a figure from the tables of an evaluation, or the learning curves of trainings."""

    figure: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar=FIGURE_NAMES)]]
    """What to draw."""
    sources: Several[Path]
    """step_metrics.csv of an evaluation; for curves: output folders of trainings or sweeps."""
    run: str = "controlled"
    """Which run to draw."""
    days: MayOmit[tuple[int, ...]] = None
    """Days to draw, counted from 0, for example --days 0 1. If not given: the first two (comparison: all)."""
    against: Annotated[str, tyro.conf.arg(metavar="{steps,seconds}")] = "steps"
    """What curves are drawn over."""
    output: MayOmit[Path] = None
    """Image file (.png, .pdf or .svg). If not given: shown by what opens pictures here."""

    def execute(self, started: float) -> int:
        """Draw; returns the exit status."""
        from neomflex_jax.plots import FIGURES, save

        if self.figure not in (*FIGURES, CURVES):
            raise unknown_name("figure", self.figure, (*FIGURES, CURVES))
        if self.output is not None and self.output.suffix not in IMAGES:
            raise InputError(f"{self.output}: the name must end in one of {', '.join(IMAGES)}")
        figure = self.drawn()
        if self.output is None:
            shown = Path(tempfile.mkdtemp(prefix="neomflex-")) / f"{self.figure}.png"
            save(figure, shown)
            webbrowser.open(shown.as_uri())
            console.print(f"figure: {shown}")
            return 0
        self.output.parent.mkdir(parents=True, exist_ok=True)
        save(figure, self.output)
        console.print(f"figure: {self.output}")
        return 0

    def drawn(self) -> Figure:
        """Draw without writing."""
        return self._curves() if self.figure == CURVES else self._of_days()

    def _curves(self) -> Figure:
        from neomflex_jax.plots.curves import draw, power_flow_of, read_curves

        found = [(source, read_curves(source, self.against)) for source in self.sources]
        names = [name for _, runs in found for name in runs]
        return draw(
            {
                name if names.count(name) == 1 else f"{source}/{name}": curves
                for source, runs in found
                for name, curves in runs.items()
            },
            self.against,
            power_flow_of(self.sources),
        )

    def _of_days(self) -> Figure:
        from neomflex_jax.evaluation.tables import read_step_metrics
        from neomflex_jax.plots import draw_figure

        if len(self.sources) != 1:
            raise InputError(f"figure {self.figure!r} takes one step_metrics.csv; {len(self.sources)} files are given")
        steps = read_step_metrics(self.sources[0])
        days = self.days
        if days is None and self.figure != "comparison":
            days = tuple(sorted(steps.loc[steps["run"] == self.run, "day"].unique())[:2]) or None
        options = (
            {"overlay": ("baseline",)}
            if self.figure == "voltage" and "baseline" in set(steps["run"]) - {self.run}
            else {}
        )
        return draw_figure(self.figure, steps, self.run, days, **options)
