"""DC power flow: angles from active power, all voltages at the slack's value, no losses.

``theta = X p`` with ``X`` the imaginary part of the bus impedance matrix (on a radial feeder the inverse of the DC
susceptance matrix), per unit, injections positive into the grid. Source: B. Stott, J. Jardim, O. Alsac, "DC power flow
revisited", IEEE Trans. Power Systems 24(3), 2009.

Neglected: resistance, losses, reactive power, voltage magnitude. On a distribution feeder (r about x) it says nothing
of voltages; it is here as the bottom of the ladder and for active flows. Losses are reported as 0.
"""

import jax.numpy as jnp
from jax import Array

from neomflex_jax.powerflow.per_unit import PerUnitFeeder, linear_result
from neomflex_jax.powerflow.result import PowerFlowResult


def solve_dc(grid: PerUnitFeeder, p_injection_mw: Array, q_injection_mvar: Array) -> PowerFlowResult:
    """Solve one case, shapes (n_bus,)."""
    p, q = grid.without_slack(p_injection_mw), grid.without_slack(q_injection_mvar)
    zero = jnp.zeros((), p.dtype)
    return linear_result(
        grid,
        p,
        q,
        vm=jnp.broadcast_to(grid.slack_vm, p.shape).astype(p.dtype),
        va=grid.x_bus @ p,
        loss=zero,
        q_loss=zero,
    )
