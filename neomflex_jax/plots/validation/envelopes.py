"""Voltage envelopes over the day of the record and of pandapower, against the band and the hard limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neomflex_jax.plots import style
from neomflex_jax.plots.drawing import Figure

if TYPE_CHECKING:
    from validation import Validated


def draw(run: Validated) -> Figure:
    """Draw the lowest and highest voltage of all buses and days at every step of the day."""
    trajectory = run.trajectory
    scenario, limits = trajectory.scenario, trajectory.scenario.limits
    steps = scenario.steps_per_day
    figure, axes = style.new_figure(f"Voltage of all buses and days: {trajectory.run}", "voltage (pu)")
    hours = (np.arange(steps) + 0.5) * scenario.step_hours
    low, high = envelope(run.replayed.vm_pu, steps)
    axes.axhspan(limits.band_min_pu, limits.band_max_pu, color=style.GREEN, alpha=0.13, linewidth=0, label="band")
    axes.fill_between(hours, low, high, color=style.BLUE, alpha=0.28, linewidth=0, label=run.report.referee)
    low, high = envelope(np.asarray(trajectory.vm_pu, float), steps)
    for values, label in ((low, f"recorded ({trajectory.power_flow})"), (high, "")):
        axes.plot(hours, values, color=style.VERMILLION, linewidth=1.3, linestyle="--", label=label)
    bottom, top = axes.get_ylim()
    for limit in (limits.hard_min_pu, limits.hard_max_pu):
        if bottom <= limit <= top:  # a limit far away would flatten what there is to see
            axes.axhline(limit, color=style.INK, linewidth=1.0, linestyle=":", label=f"hard limit {limit:g}")
    axes.set_xlim(0, steps * scenario.step_hours)
    axes.set_xticks(np.linspace(0, steps * scenario.step_hours, 9))
    axes.set_xlabel("hour of the day")
    style.legend(figure, axes)
    return figure


def envelope(vm_pu: np.ndarray, steps_per_day: int) -> tuple[np.ndarray, np.ndarray]:
    """Return lowest and highest voltage of each step of the day over buses and days, NaN where none is known."""
    known = np.isfinite(vm_pu)
    by_step = (-1, steps_per_day, vm_pu.shape[1])
    low = np.where(known, vm_pu, np.inf).reshape(by_step).min(axis=(0, 2))
    high = np.where(known, vm_pu, -np.inf).reshape(by_step).max(axis=(0, 2))
    return np.where(np.isfinite(low), low, np.nan), np.where(np.isfinite(high), high, np.nan)
