"""Voltage error over the day: when a surrogate goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import Figure
from neomflex_jax.plots.validation.spread import draw_spread, vm_error_pu

if TYPE_CHECKING:
    from validation import Validated


def draw(run: Validated) -> Figure:
    """Draw the spread of all buses' and days' errors at every step of the day, at the step's middle."""
    trajectory = run.trajectory
    scenario = trajectory.scenario
    steps = scenario.steps_per_day
    figure, axes = style.new_figure(
        f"Voltage error over the day, {trajectory.power_flow} - {run.report.referee}: {trajectory.run}",
        "voltage error (pu)",
    )
    errors = vm_error_pu(trajectory.vm_pu, run.replayed.vm_pu)
    by_step = errors.reshape(-1, steps, errors.shape[1]).swapaxes(1, 2).reshape(-1, steps)
    draw_spread(axes, (np.arange(steps) + 0.5) * scenario.step_hours, by_step)
    axes.set_xlim(0, steps * scenario.step_hours)
    axes.set_xticks(np.linspace(0, steps * scenario.step_hours, 9))
    axes.set_xlabel(f"hour of the day; all buses, {trajectory.n_steps // steps} days")
    style.legend(figure, axes)
    return figure
