"""The voltage unbalance factor from voltages and angles, a second time: negative over positive sequence, in per cent.

``V1 = (Va + a Vb + a^2 Vc) / 3``, ``V2 = (Va + a^2 Vb + a Vc) / 3`` with a = 1 at 120 degrees (C. L. Fortescue, "Method
of symmetrical co-ordinates", Trans. AIEE 37, 1918), at the buses that have the phases 1, 2 and 3.
"""

from __future__ import annotations

import numpy as np

from neomflex_jax.grid import UnbalancedFeeder

TURN = np.exp(2j * np.pi / 3)


def vuf_percent(feeder: UnbalancedFeeder, vm_pu: np.ndarray, va_degree: np.ndarray) -> np.ndarray:
    """Factors at voltages (n, n_node), (n, n_three_phase_bus); NaN where there is no voltage."""
    place = {label: number for number, label in enumerate(feeder.node_labels)}
    at = [[place[f"{bus}.{phase}"] for phase in (1, 2, 3)] for bus in feeder.three_phase_buses]
    volts = (vm_pu * np.exp(1j * np.deg2rad(va_degree)))[:, np.array(at, int).reshape(-1, 3)]
    positive, negative = (np.abs(volts @ np.array([1, turn, turn**2])) for turn in (TURN, TURN**2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return 100.0 * negative / positive
