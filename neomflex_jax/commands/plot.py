"""``neomflex plot``."""

from __future__ import annotations

import tempfile
import webbrowser
from dataclasses import dataclass
from pathlib import Path

import tyro

from neomflex_jax.commands.console import console
from neomflex_jax.errors import InputError

IMAGES = (".png", ".pdf", ".svg")


@dataclass(frozen=True)
class PlotCommand:
    """Draw a figure from the tables of an evaluation."""

    figure: tyro.conf.Positional[str]
    """soc, voltage, reactive-power, dispatch or comparison."""
    table: tyro.conf.Positional[Path]
    """step_metrics.csv of an evaluation."""
    run: str = "controlled"
    """Which run to draw."""
    days: tuple[int, ...] | None = None
    """Days to draw, counted from 0, for example --days 0 1. If not given: the first two (comparison: all)."""
    output: Path | None = None
    """Image file (.png, .pdf or .svg). If not given: shown by what opens pictures here."""

    def execute(self, started: float) -> int:
        """Draw; gives the exit status."""
        from neomflex_jax.evaluation.tables import read_step_metrics
        from neomflex_jax.plots import draw_figure, save

        if self.output is not None and self.output.suffix not in IMAGES:
            raise InputError(f"{self.output}: the name must end in one of {', '.join(IMAGES)}")
        steps = read_step_metrics(self.table)
        days = self.days
        if days is None and self.figure != "comparison":
            days = tuple(sorted(steps.loc[steps["run"] == self.run, "day"].unique())[:2]) or None
        options = (
            {"overlay": ("baseline",)}
            if self.figure == "voltage" and "baseline" in set(steps["run"]) - {self.run}
            else {}
        )
        figure = draw_figure(self.figure, steps, self.run, days, **options)
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
