"""Two-ports in symmetrical components, and what they are between phases.

``v_abc = T v_012`` with ``T = [[1, 1, 1], [1, a^2, a], [1, a, a^2]]`` and a = e^{j 120 degrees}, and the same for
currents: so ``Y_abc = T diag(y0, y1, y2) T^-1`` between any two ends. Source: C. L. Fortescue, AIEE Transactions 37,
1918.
"""

from __future__ import annotations

import cmath
import math

import numpy as np

_A = cmath.exp(2j * math.pi / 3)
TO_PHASES = np.array([[1, 1, 1], [1, _A**2, _A], [1, _A, _A**2]])
TO_SEQUENCES = np.linalg.inv(TO_PHASES)


def two_port(
    z_ohm: complex, from_siemens: complex, to_siemens: complex, ratio: complex = 1.0, levels: float = 1.0
) -> np.ndarray:
    """Admittance (2, 2) of a pi behind an ideal transformer at its `from` end.

    Parameters
    ----------
    z_ohm, from_siemens, to_siemens
        Series impedance and what is across each end, at the voltage level of the `to` end.
    ratio
        Off-nominal ratio of the voltages, with its turn.
    levels
        Nominal voltage of the `to` end over that of the `from` end.
    """
    y, n = 1 / z_ohm, ratio / levels
    return np.array([[(y + from_siemens) / abs(n) ** 2, -y / n.conjugate()], [-y / n, y + to_siemens]])


def seen_from(y: np.ndarray, end: int) -> np.ndarray:
    """What is left of (3, 2, 2) at one end if the other one hangs open, (3, 2, 2)."""
    far = 1 - end
    left = np.zeros_like(y)
    own = y[:, far, far]
    through = np.divide(y[:, end, far] * y[:, far, end], own, out=np.zeros_like(own), where=own != 0)
    left[:, end, end] = y[:, end, end] - through
    return left


def between_phases(y: np.ndarray) -> np.ndarray:
    """Primitive admittance of (3, 2, 2) in zero, positive and negative sequence: (6, 6), end after end."""
    blocks = [[TO_PHASES @ np.diag(y[:, row, column]) @ TO_SEQUENCES for column in (0, 1)] for row in (0, 1)]
    return np.block(blocks)
