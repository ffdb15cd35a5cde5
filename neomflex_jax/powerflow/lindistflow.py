"""LinDistFlow: squared voltages linear in the injections.

``v^2 = v0^2 + 2 (R p + X q)`` per unit, with ``R + jX`` the bus impedance matrix and injections positive into the grid;
losses ``sum_b r_b (P_b^2 + Q_b^2) / v0^2`` from the lossless branch flows, angles ``(X p - R q) / v0^2``.
Source: M. E. Baran, F. F. Wu, "Optimal sizing of capacitors placed on a radial distribution system", IEEE Trans. Power
Delivery 4(1), 1989.

Neglected: the losses' own flow. So voltages come out too high at every bus (proved for radial feeders: L. Gan et al.,
IEEE Trans. Automatic Control 60(1), 2015): it hides under-voltage and over-reports over-voltage; at case33bw's nominal
load by up to 0.003 pu, and losses are 13 % too low. Not for final numbers.
"""

from jax import Array

from neomflex_jax.powerflow.per_unit import PerUnitFeeder, linear_result, root_or_nan
from neomflex_jax.powerflow.result import PowerFlowResult


def solve_lindistflow(grid: PerUnitFeeder, p_injection_mw: Array, q_injection_mvar: Array) -> PowerFlowResult:
    """Solve one case, shapes (n_bus,)."""
    p, q = grid.without_slack(p_injection_mw), grid.without_slack(q_injection_mvar)
    vm_squared = grid.slack_vm**2 + 2.0 * (grid.r_bus @ p + grid.x_bus @ q)
    squared_current = (grid.branch_flow(p) ** 2 + grid.branch_flow(q) ** 2) / grid.slack_vm**2
    return linear_result(
        grid,
        p,
        q,
        vm=root_or_nan(vm_squared),  # where the model says v^2 < 0 it has no answer: reported as not converged
        va=(grid.x_bus @ p - grid.r_bus @ q) / grid.slack_vm**2,
        loss=squared_current @ grid.r,
        q_loss=squared_current @ grid.x,
    )
