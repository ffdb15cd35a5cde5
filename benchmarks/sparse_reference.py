"""The voltages that every benchmarked solver is compared with: sparse, float64, independent of the package's solvers.

For feeders of one voltage level with nothing but series impedances: the fixed point ``v <- w + Y^-1 conj(s / v)`` per
unit, with ``Y`` the bus admittance matrix without the slack and ``w`` the voltages without load, iterated for all cases
at once until nothing moves by more than `TOLERANCE_PU`.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import splu

from neomflex_jax.grid.feeder import Feeder

TOLERANCE_PU = 1e-12
MAX_ITERATIONS = 200


def solve_reference(
    feeder: Feeder, p_injection_mw: np.ndarray, q_injection_mvar: np.ndarray, must_converge: bool = True
) -> np.ndarray:
    """Voltage magnitudes per unit, shape (n_cases, n_bus), for injections of that shape, positive into the grid.

    Cases that do not converge are NaN, or raise `RuntimeError` where `must_converge`.
    """
    others, slack = feeder.topology.non_slack, feeder.topology.slack
    admittance = _admittance(feeder)
    factors = splu(admittance[others][:, others].tocsc())
    power = (p_injection_mw + 1j * q_injection_mvar)[:, others].T / feeder.s_base_mva
    slack_vm = complex(feeder.slack_vm_pu)
    unloaded = np.full((len(others), 1), slack_vm)  # no shunts: without load every bus is at the slack's voltage
    v = np.broadcast_to(unloaded, power.shape)
    for _ in range(MAX_ITERATIONS):
        with np.errstate(all="ignore"):
            new = unloaded + factors.solve(np.conj(power / v))
            change = np.abs(new - v).max(axis=0)
        v = new
        if not (change > TOLERANCE_PU).any():
            break
    vm_pu = np.full(p_injection_mw.shape, float(feeder.slack_vm_pu))
    vm_pu[:, others] = np.abs(v).T
    vm_pu[~(change <= TOLERANCE_PU)] = np.nan
    if must_converge and not np.isfinite(vm_pu).all():
        raise RuntimeError(f"the reference did not converge in every case of {feeder.name!r}")
    assert vm_pu[0, slack] == float(feeder.slack_vm_pu) or np.isnan(vm_pu[0, slack])
    return vm_pu


def _admittance(feeder: Feeder) -> coo_matrix:
    """Bus admittance matrix per unit, sparse, shape (n_bus, n_bus)."""
    topology = feeder.topology
    closed = np.array(topology.in_service)
    a, b = np.array(topology.from_bus)[closed], np.array(topology.to_bus)[closed]
    z_base_ohm = np.max(feeder.vn_kv) ** 2 / feeder.s_base_mva  # one voltage level
    y = z_base_ohm / (feeder.r_ohm + 1j * feeder.x_ohm)[closed]
    rows, columns = np.concatenate([a, b, a, b]), np.concatenate([a, b, b, a])
    size = (topology.n_bus, topology.n_bus)
    return coo_matrix((np.concatenate([y, y, -y, -y]), (rows, columns)), shape=size).tocsr()
