"""Constraint costs, apart from the reward, for safe learning: (n_agents, n_constraints), all 0 or more.

voltage   sum over the agent's nodes of the distance outside the hard limits, in pu; a collapsed grid's where the power
          flow failed
clipping  sum over its devices in service of the share of the rating that was asked for and could not be delivered
loading   sum over the branches of the loading above 100 %, as a fraction, times the agent's share of all buses; only
          where the feeder states ratings, and branches without one do not count
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from neomflex_jax.environment.step.dispatch import Delivered
from neomflex_jax.environment.task import Task
from neomflex_jax.powerflow import PowerFlowResult


def constraint_costs(
    task: Task, flow: PowerFlowResult, vm_pu: Float[Array, " n_node"], delivered: Delivered
) -> Float[Array, "n_agents n_constraints"]:
    """Costs of one step; `vm_pu` is finite also where the power flow failed."""
    limits, layout = task.scenario.limits, task.layout
    excess_pu = jnp.maximum(vm_pu - limits.hard_max_pu, 0.0) + jnp.maximum(limits.hard_min_pu - vm_pu, 0.0)
    clipped = jnp.concatenate([delivery.clipped for delivery in delivered.by_table.values()])
    owns = np.concatenate([layout.owns(table) for table in delivered.by_table], axis=1)
    columns = [
        jnp.sum(jnp.asarray(layout.membership, float) * excess_pu, axis=1),
        jnp.sum(jnp.asarray(owns, float) * clipped, axis=1),
    ]
    if task.has_ratings:
        max_i_ka = jnp.asarray(task.feeder.max_i_ka)
        rated = jnp.isfinite(max_i_ka) & flow.converged
        loading = jnp.where(rated, flow.branch_i_ka, 0.0) / jnp.where(rated, max_i_ka, 1.0)
        columns.append(jnp.sum(jnp.maximum(loading - 1.0, 0.0)) * jnp.asarray(layout.bus_share, float))
    return jnp.stack(columns, axis=1)
