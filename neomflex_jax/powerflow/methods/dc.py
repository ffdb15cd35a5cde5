"""DC power flow: angles from active power, all voltages at the slack's value, no losses.

``theta = B^-1 p / v0^2`` with ``B`` the susceptance matrix of the branches' reactances alone, per unit, injections
positive into the grid. Source: B. Stott, J. Jardim, O. Alsac, "DC power flow revisited", IEEE Trans. Power Systems
24(3), 2009.

Neglected: resistance, losses, reactive power, voltage magnitude. Active flows are too small by the losses below them.
On a distribution feeder (r about x) it says nothing of voltages, so it hides every violation; it is here as the bottom
of the ladder and for active flows. Series losses are reported as 0, line charging and shunts as they draw at the
slack's voltage; ratios that differ around a loop drive their current, although the voltages do not show it. Not for
anything where a voltage matters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax import Array

from neomflex_jax.grid.parts import STATIC
from neomflex_jax.powerflow.methods.linear import enter_linear, linear_flows, linear_result, with_slack
from neomflex_jax.powerflow.methods.method import Method
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.result import PowerFlowResult


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Dc(Method):
    """Angles from active power."""

    name: str = field(default="dc", kw_only=True, metadata=STATIC)
    angles_only = True

    def solve(self, grid: PerUnitFeeder, p_injection_mw: Array, q_injection_mvar: Array) -> PowerFlowResult:
        """Solve one case, shapes (n_bus,), on a grid whose network was built without resistances."""
        p, _ = enter_linear(grid, p_injection_mw, jnp.zeros_like(q_injection_mvar))
        _, turn = grid.network.linear_drop(p, jnp.zeros_like(p))
        wr, wi = grid.network.no_load
        va = grid.network.leave(jnp.arctan2(wi, wr) + turn / grid.slack_vm**2)
        vm, va, solved = with_slack(grid, jnp.broadcast_to(grid.slack_vm, va.shape).astype(va.dtype), va)
        zero = jnp.zeros((), va.dtype)
        return linear_result(
            grid,
            p_injection_mw,
            q_injection_mvar,
            vm=vm,
            va=va,
            loss=zero,
            q_loss=zero,
            current=linear_flows(grid, *enter_linear(grid, p_injection_mw, q_injection_mvar)),
            converged=solved,
        )
