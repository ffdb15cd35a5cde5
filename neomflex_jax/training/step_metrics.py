"""What training says of the steps it makes: means over copies and steps, sums for counts.

On the device there is a row of figures a round. Rows are summed up on the host, one after the other in the numbers'
own type, so that a chunk has the same figures bit for bit in however many parts it was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

from neomflex_jax.environment import Environment, TimeStep
from neomflex_jax.packing import Packing

Metrics = dict[str, Array]
Values: TypeAlias = dict[str, np.ndarray]  # metrics on the host
ORDER = ("day_cost", "loss_mw", "share_outside_band", "violations", "failed_power_flows")  # of all algorithms; in front
COUNTS = ("violations", "failed_power_flows")  # summed; everything else is averaged

AT_BOUND = 0.99  # of an action in -1..1, from where on it lies at a bound


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


def share_at_bounds(actions: Packing, played: Float[Array, "n_copies n_rows size"]) -> Float[Array, " n_agents"]:
    """Return the share of every agent's actions that lie at a bound."""
    return actions.sums(jnp.abs(played) >= AT_BOUND).mean(axis=0) / jnp.maximum(jnp.array(actions.sizes), 1)


def summed_up(metrics: Metrics) -> Metrics:
    """Return figures over a leading axis of steps: counts summed, the rest averaged."""
    return {name: values.sum(axis=0) if name in COUNTS else values.mean(axis=0) for name, values in metrics.items()}


def over_devices(metrics: Metrics, mesh_axis: str | None) -> Metrics:
    """Return figures over the devices of a mesh axis: counts summed, the rest averaged."""
    if mesh_axis is None:
        return metrics
    psum: Any = lax.psum
    pmean: Any = lax.pmean
    return {
        name: psum(value, mesh_axis) if name in COUNTS else pmean(value, mesh_axis) for name, value in metrics.items()
    }


def of_rounds(parts: Sequence[Values], axis: int = 0) -> Values:
    """Return figures over all rounds of several parts, whose arrays have the rounds along an axis."""

    def of_all(name: str) -> np.ndarray:
        rows = np.concatenate([part[name] for part in parts], axis)
        total = np.add.accumulate(rows, axis, rows.dtype).take(-1, axis)
        return total if name in COUNTS else total / rows.dtype.type(rows.shape[axis])

    return {name: of_all(name) for name in parts[0]}
