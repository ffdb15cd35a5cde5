"""The README's picture: the feeder at its worst step, and the voltages of two days, without and with control.

    make demo
    .venv/bin/python docs/images/overview.py results/demo/evaluation/step_metrics.csv docs/images/overview.png

The step is the one with the lowest voltage without control; the days are its own and the next.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from neomflex_jax import Feeder, Scenario, load_feeder, load_scenario
from neomflex_jax.evaluation.tables import read_step_metrics
from neomflex_jax.grid.places import bus_places
from neomflex_jax.plots import save, style
from neomflex_jax.plots.drawing import Axes, Figure, TwoSlopeNorm, offset_copy
from neomflex_jax.plots.feeder import draw_branches

RUNS = {"baseline": "without control", "controlled": "with control: after 90 s of training"}


def main(table: str, output: str) -> None:
    """Draw the step table of an evaluation of `neom33` with its baseline."""
    scenario, steps = load_scenario("neom33"), read_step_metrics(Path(table))
    feeder = load_feeder(scenario.feeder)
    runs = {run: steps[steps["run"] == run].reset_index(drop=True) for run in RUNS}
    worst = int(runs["baseline"]["voltage_min_pu"].idxmin())
    first = worst // scenario.steps_per_day * scenario.steps_per_day
    figure = Figure(figsize=(11.0, 6.2), dpi=110, layout="constrained")
    panels = figure.subplots(2, 2, gridspec_kw={"height_ratios": [1.0, 0.9]})
    for column, (run, title) in enumerate(RUNS.items()):
        dots = draw_map(figure, panels[0, column], feeder, scenario, runs[run].loc[worst])
        panels[0, column].set_title(title, loc="left", fontsize=12, color=style.INK)
        draw_days(panels[1, column], scenario, runs[run][first : first + 2 * scenario.steps_per_day])
    figure.colorbar(dots, ax=panels[0, :], label="voltage (pu)", pad=0.01)
    panels[1, 0].set_ylabel("voltage of all buses (pu)")
    style.legend(figure, panels[0, 1], panels[1, 1])
    save(figure, output)


def draw_map(figure: Figure, axes: Axes, feeder: Feeder, scenario: Scenario, step: pd.Series) -> object:
    """Draw one step's voltages on the feeder's tree; returns what the colour bar describes."""
    place, band = bus_places(feeder.topology), scenario.limits
    draw_branches(axes, feeder.topology, place)
    vm_pu = [step[f"voltage_bus_{bus}_pu"] for bus in feeder.bus_labels]
    colours = TwoSlopeNorm(1.0, 0.91, 1.09)
    look = {"cmap": "RdYlBu", "edgecolors": style.INK, "linewidths": 0.5}
    dots = axes.scatter(*place.T, c=vm_pu, norm=colours, s=62, zorder=3, **look)
    below = offset_copy(axes.transData, figure, y=-9.0, units="points")
    for devices, marker, colour, name in (
        (scenario.batteries, "s", style.GREEN, "battery"),
        (scenario.pv_inverters, "*", style.ORANGE, "PV inverter"),
    ):
        x, y = place[[feeder.bus_position(each.bus) for each in devices]].T
        axes.scatter(x, y, marker=marker, s=48, color=colour, transform=below, zorder=4, linewidths=0, label=name)
    axes.set_xticks([])
    axes.margins(y=0.13)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    below_band = sum(each < band.band_min_pu for each in vm_pu)
    said = f"lowest {min(vm_pu):.3f} pu, {below_band} of {len(vm_pu)} buses below {band.band_min_pu:g} pu"
    axes.text(0.0, 0.96, said, transform=axes.transAxes, fontsize=9, color=style.INK)
    return dots


def draw_days(axes: Axes, scenario: Scenario, steps: pd.DataFrame) -> None:
    """Draw the lowest to the highest voltage of all buses over the days, and the band that the reward asks for."""
    hours, limits = (np.arange(len(steps)) + 0.5) * scenario.step_hours, scenario.limits
    axes.axhspan(
        limits.band_min_pu,
        limits.band_max_pu,
        color=style.GREEN,
        alpha=0.13,
        linewidth=0,
        label=f"band {limits.band_min_pu:g} to {limits.band_max_pu:g} pu",
    )
    lowest, highest = steps["voltage_min_pu"], steps["voltage_max_pu"]
    axes.fill_between(hours, lowest, highest, color=style.BLUE, alpha=0.28, linewidth=0, label="lowest to highest bus")
    axes.plot(hours, steps["voltage_mean_pu"], color=style.BLUE, label="mean of all buses")
    axes.set_xlim(0, 48)
    axes.set_ylim(0.9, 1.05)
    axes.set_xticks(range(0, 49, 12), ["0", "12", "24", "12", "24"])
    axes.set_xlabel("hour of the day")
    axes.grid(axis="y", color=style.PALE, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main(*sys.argv[1:])
