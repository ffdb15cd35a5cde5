"""Constraint costs, apart from the reward, for safe learning: (n_agents, n_constraints), all 0 or more.

voltage   sum over the agent's nodes of the distance outside the hard limits, in pu; a collapsed grid's where the power
          flow failed
clipping  sum over its devices in service of the share of the rating that was asked for and could not be delivered
loading   sum over the branches of the loading above the scenario's hard limits (100 % where it limits nothing), as a
          fraction, times the agent's share of all buses; only where the feeder states ratings, and branches without one
          do not count; a collapsed grid's where limits are stated and the power flow failed
band      sum over the agent's nodes of the distance outside the band that the reward asks for, likewise
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from neomflex_jax.environment.step.agent_sums import sums_by_agent
from neomflex_jax.environment.step.outcome import Outcome
from neomflex_jax.environment.task import Task
from neomflex_jax.grid.feeder import Feeder
from neomflex_jax.powerflow import PowerFlowResult

# Cost of the team above which a step counts as breaking a constraint: what rounding clips breaks none.
COUNTED_ABOVE = {"voltage": 0.0, "clipping": 1e-3, "loading": 0.0, "band": 0.0}


def constraint_costs(task: Task, flow: PowerFlowResult, outcome: Outcome) -> Float[Array, "n_agents n_constraints"]:
    """Costs of one step."""
    limits, layout, vm_pu, delivered = task.scenario.limits, task.layout, outcome.vm_pu, outcome.delivered
    clipped = jnp.concatenate([delivery.clipped for delivery in delivered.by_table.values()])
    owns = np.concatenate([layout.owns(table) for table in delivered.by_table], axis=1)
    columns = [
        sums_by_agent(layout.membership, _outside(vm_pu, limits.hard_min_pu, limits.hard_max_pu)),
        sums_by_agent(owns, clipped),
    ]
    if task.has_ratings:
        columns.append(_overload(task, flow, outcome) * jnp.asarray(layout.bus_share, float))
    columns.append(sums_by_agent(layout.membership, _outside(vm_pu, limits.band_min_pu, limits.band_max_pu)))
    return jnp.stack(columns, axis=1)


def _outside(vm_pu: Array, low_pu: float, high_pu: float) -> Array:
    return jnp.maximum(vm_pu - high_pu, 0.0) + jnp.maximum(low_pu - vm_pu, 0.0)


def _overload(task: Task, flow: PowerFlowResult, outcome: Outcome) -> Array:
    if task.limited is not None and outcome.loading_percent is not None:
        above_percent = outcome.loading_percent - jnp.asarray(task.limited.hard_percent, outcome.loading_percent.dtype)
        return jnp.sum(jnp.maximum(above_percent, 0.0)) / 100.0
    assert isinstance(task.feeder, Feeder)  # others have no ratings here
    max_i_ka = jnp.asarray(task.feeder.max_i_ka)
    rated = jnp.isfinite(max_i_ka) & flow.converged
    loading = jnp.where(rated, flow.branch_i_ka, 0.0) / jnp.where(rated, max_i_ka, 1.0)
    return jnp.sum(jnp.maximum(loading - 1.0, 0.0))
