"""What both sweeps of `calibrated` take of each row: the fit, turned from currents into flows towards the slack.

The fit's squared current is ``|J|^2 (a + b Re J + c Im J)`` in currents from -> to; a row has ``J = (P - jQ) / v`` or
its negative. Shunts and charging inject what they do at the samples' mean voltages.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.sweeps.depth_first import depth_first


def coefficients(grid: PerUnitFeeder, gain: Array, vm_squared: Array) -> list[Array]:
    """Of each row from 1 on, (n_bus - 1,): own_p, own_q, r, x, half_z_squared, a, b, c of `calibrated_kernel.py`."""
    tree = depth_first(grid.topology)
    r, x, v = grid.r[tree.branch], grid.x[tree.branch], grid.slack_vm
    own = jnp.zeros((2, len(tree.bus)))
    if grid.bus_admittance is not None:
        g, b = (grid.network.leave(part)[tree.bus] for part in grid.bus_admittance)
        own = jnp.stack([-g, b]) * vm_squared[tree.bus]
    # the fit is in currents from -> to, (P - jQ) / v towards the slack
    to_flow = jnp.stack([jnp.ones(len(tree.bus)), tree.towards / v, -tree.towards / v]) / v**2
    return [*own, r, x, 0.5 * (r**2 + x**2), *(gain[:, tree.branch] * to_flow)]
