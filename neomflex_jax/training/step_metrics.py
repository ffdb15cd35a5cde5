"""What training says of the steps it makes: means over copies and steps, sums for counts."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from neomflex_jax.environment import Environment, TimeStep

Metrics = dict[str, Array]
ORDER = ("day_cost", "loss_mw", "share_outside_band", "violations", "failed_power_flows")  # of all algorithms; in front
COUNTS = ("violations", "failed_power_flows")  # summed; everything else is averaged


def step_metrics(env: Environment, timestep: TimeStep) -> Metrics:
    """Return the figures of one step, by name; `timestep` has a leading axis of copies."""
    info, limits = timestep.info, env.scenario.limits
    inside = (info["vm_pu"] >= limits.band_min_pu) & (info["vm_pu"] <= limits.band_max_pu)  # NaN is outside
    solved = info["converged"]
    return {
        "day_cost": -info["local_reward"].sum(-1).mean() * env.scenario.steps_per_day,
        "loss_mw": jnp.where(solved, info["loss_mw"], 0.0).sum() / jnp.maximum(solved.sum(), 1),
        "share_outside_band": (~inside).mean(),  # not 1 - mean: in float32 that is below zero where all are inside
        "violations": info["violated"].sum(),
        "failed_power_flows": (~solved).sum(),
    }


def summed_up(metrics: Metrics, mesh_axis: str | None = None) -> Metrics:
    """Return figures over a leading axis of steps, and the devices of a mesh axis: counts summed, the rest averaged."""
    summary = {name: values.sum(axis=0) if name in COUNTS else values.mean(axis=0) for name, values in metrics.items()}
    if mesh_axis is None:
        return summary
    psum: Any = lax.psum
    pmean: Any = lax.pmean
    return {
        name: psum(value, mesh_axis) if name in COUNTS else pmean(value, mesh_axis) for name, value in summary.items()
    }
