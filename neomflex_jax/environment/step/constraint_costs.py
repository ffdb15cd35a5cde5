"""Constraint costs, apart from the reward, for safe learning: (n_agents, n_constraints), all 0 or more.

voltage   sum over the agent's buses of the distance outside the hard limits, in pu; a collapsed grid's where the power
          flow failed
clipping  sum over its devices in service of the share of the rating that was asked for and could not be delivered
loading   sum over the branches of the loading above 100 %, as a fraction, times the agent's share of all buses; only
          where the feeder states ratings, and branches without one do not count
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from neomflex_jax.environment.step.dispatch import Delivered
from neomflex_jax.grid.territories import TerritoryLayout
from neomflex_jax.powerflow import PowerFlowResult
from neomflex_jax.scenario import Scenario


def constraint_costs(
    scenario: Scenario,
    layout: TerritoryLayout,
    flow: PowerFlowResult,
    *,
    vm_pu: Array,
    delivered: Delivered,
    max_i_ka: Array | None,
) -> Array:
    """Costs of one step; `vm_pu` is finite also where the power flow failed, `max_i_ka` is None without any rating."""
    limits = scenario.limits
    excess_pu = jnp.maximum(vm_pu - limits.hard_max_pu, 0.0) + jnp.maximum(limits.hard_min_pu - vm_pu, 0.0)
    owns = [layout.owns(own) for own in (layout.batteries, layout.pv_inverters, layout.flexible_loads)]
    columns = [
        jnp.sum(jnp.asarray(layout.membership) * excess_pu, axis=1),
        jnp.sum(jnp.asarray(np.concatenate(owns, axis=1)) * delivered.clipped, axis=1),
    ]
    if max_i_ka is not None:
        rated = jnp.isfinite(max_i_ka) & flow.converged
        loading = jnp.where(rated, flow.branch_i_ka, 0.0) / jnp.where(rated, max_i_ka, 1.0)
        columns.append(jnp.sum(jnp.maximum(loading - 1.0, 0.0)) * jnp.asarray(layout.bus_share))
    return jnp.stack(columns, axis=1)


def constraint_names(*, has_ratings: bool) -> tuple[str, ...]:
    """Names of the columns of `constraint_costs`."""
    return ("voltage", "clipping", "loading") if has_ratings else ("voltage", "clipping")
