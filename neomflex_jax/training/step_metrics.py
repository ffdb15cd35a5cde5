"""What training says of the steps it makes: means over copies and steps, sums for counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from neomflex_jax.environment import Environment, TimeStep

Metrics = dict[str, Array]
Values: TypeAlias = dict[str, np.ndarray]  # metrics on the host
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


def summed_up(metrics: Metrics, mesh_axis: str | None = None, n_rows: Array | None = None) -> Metrics:
    """Return figures over a leading axis of steps, and the devices of a mesh axis: counts summed, the rest averaged.

    Of the leading axis the first `n_rows` count, and the others are 0; None: all count.
    """

    def mean(values: Array) -> Array:
        return values.mean(axis=0) if n_rows is None else values.sum(axis=0) / n_rows

    summary = {name: values.sum(axis=0) if name in COUNTS else mean(values) for name, values in metrics.items()}
    if mesh_axis is None:
        return summary
    psum: Any = lax.psum
    pmean: Any = lax.pmean
    return {
        name: psum(value, mesh_axis) if name in COUNTS else pmean(value, mesh_axis) for name, value in summary.items()
    }


def joined(parts: Sequence[tuple[int, Values]]) -> Values:
    """Return the figures of several stretches, each with its number of rounds, as one: as `summed_up` does."""
    if len(parts) == 1:
        return parts[0][1]
    n_rounds = sum(n for n, _ in parts)
    return {
        name: np.sum([values[name] * (1 if name in COUNTS else n / n_rounds) for n, values in parts], axis=0)
        for name in parts[0][1]
    }
