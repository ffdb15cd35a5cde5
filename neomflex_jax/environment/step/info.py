"""What `TimeStep.info` says of the grid and the devices, beside observation and reward."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
from jax import Array

from neomflex_jax.environment.step.constraint_costs import constraint_costs
from neomflex_jax.environment.step.dispatch import Delivered, Stores
from neomflex_jax.powerflow import PowerFlowResult

if TYPE_CHECKING:
    from neomflex_jax.environment.environment import Environment


def grid_info(
    env: Environment,
    flow: PowerFlowResult,
    vm_pu: Array,
    p_mw: Array,
    q_mvar: Array,
    delivered: Delivered,
    stores: Stores,
    row: Array,
) -> dict[str, Array]:
    """Answers of the step; grid quantities are NaN where the power flow failed."""
    grid = {name: getattr(flow, name) for name in ("vm_pu", "loss_mw", "slack_p_mw", "slack_q_mvar")}
    price = jnp.zeros(()) if env.profiles.price is None else env.profiles.price[row]
    set_points = {name: value for name, value in vars(delivered).items() if name != "clipped"}
    max_i_ka = jnp.asarray(env.feeder.max_i_ka) if env.has_ratings else None
    return {
        **{name: jnp.where(flow.converged, value, jnp.nan) for name, value in grid.items()},
        **set_points,
        "converged": flow.converged,
        "residual_mva": flow.residual_mva,
        "p_injection_mw": p_mw,
        "q_injection_mvar": q_mvar,
        "battery_soc": stores.battery_soc,
        "load_owed_mwh": stores.load_owed_mwh,
        "dataset_index": row,
        "price": price,
        "constraint_cost": constraint_costs(
            env.scenario, env.layout, flow, vm_pu=vm_pu, delivered=delivered, max_i_ka=max_i_ka
        ),
    }
