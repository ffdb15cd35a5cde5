"""LinDistFlow: squared voltages linear in the injections.

``v^2 = v0^2 + 2 (R p + X q)`` per unit, with ``R + jX`` the bus impedance matrix and injections positive into the grid;
losses ``sum_b r_b (P_b^2 + Q_b^2) / v0^2`` from the lossless branch flows, angles ``(X p - R q) / v0^2``; shunts and
line charging draw what they draw at the slack's voltage. On a meshed feeder R + jX is the meshed network's matrix.
Source: M. E. Baran, F. F. Wu, "Optimal sizing of capacitors placed on a radial distribution system", IEEE Trans. Power
Delivery 4(1), 1989.

Neglected: the losses' own flow. So voltages come out too high at every bus (proved for radial feeders: L. Gan et al.,
IEEE Trans. Automatic Control 60(1), 2015): it hides under-voltage and over-reports over-voltage; at case33bw's nominal
load by up to 0.003 pu, and losses are 13 % too low. Not for final numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax import Array

from neomflex_jax.grid.parts import STATIC
from neomflex_jax.powerflow.methods.linear import enter_linear, keep_voltages, linear_flows, linear_result, with_slack
from neomflex_jax.powerflow.methods.method import Method
from neomflex_jax.powerflow.methods.needs import GENERATORS
from neomflex_jax.powerflow.methods.results import root_or_nan
from neomflex_jax.powerflow.network.per_unit import PerUnitFeeder
from neomflex_jax.powerflow.result import PowerFlowResult


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class LinDistFlow(Method):
    """Squared voltages linear in the injections."""

    name: str = field(default="lindistflow", kw_only=True, metadata=STATIC)
    can = frozenset({GENERATORS})

    def solve(self, grid: PerUnitFeeder, p_injection_mw: Array, q_injection_mvar: Array) -> PowerFlowResult:
        """Solve one case, shapes (n_bus,)."""
        p, q = enter_linear(grid, p_injection_mw, q_injection_mvar)
        q, added = keep_voltages(grid, p, q)
        vm_squared, va = squared_voltages(grid, p, q)
        # where the model says v^2 < 0 there is no voltage: reported as not converged
        vm, va, solved = with_slack(grid, root_or_nan(vm_squared), va)
        jr, ji = linear_flows(grid, p, q)
        return linear_result(
            grid,
            p_injection_mw,
            q_injection_mvar,
            vm=vm,
            va=va,
            loss=(jr**2 + ji**2) @ grid.r,
            q_loss=(jr**2 + ji**2) @ grid.x,
            current=(jr, ji),
            converged=solved,
            added=added,
        )


def squared_voltages(grid: PerUnitFeeder, p: Array, q: Array) -> tuple[Array, Array]:
    """Squared magnitudes and angles of u without the slack, (n_bus - 1,), from injections in the network's layout."""
    network = grid.network
    wr, wi = network.no_load
    rise, turn = network.linear_drop(p, -q)
    squared = wr**2 + wi**2
    return network.leave(squared + 2.0 * rise), network.leave(jnp.arctan2(wi, wr) + turn / squared)
