"""Loads that follow the voltage, a second time: what is consumed at a voltage of what is stated at 1 pu.

``p(v) = p (1 - c - z + c v + z v^2)`` with the shares c and z of the bus, apart for p and q; at the buses of external
grids nothing follows. Powers of a record are those at 1 pu, and what devices feed in is the same at any voltage.
"""

from __future__ import annotations

import numpy as np

from neomflex_jax.grid.feeder import Feeder


def factors_at(feeder: Feeder, vm_pu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Factors on the loads' p and q at voltages (n, n_bus), shapes as these."""
    shares, external = feeder.voltage_dependence, [feeder.topology.slack, *feeder.topology.further_slacks]
    if shares is None:
        return np.ones_like(vm_pu), np.ones_like(vm_pu)
    found = []
    for current, impedance in ((shares.p_current, shares.p_impedance), (shares.q_current, shares.q_impedance)):
        factor = 1 - current - impedance + current * vm_pu + impedance * vm_pu**2
        factor[:, external] = 1.0
        found.append(factor)
    return found[0], found[1]
